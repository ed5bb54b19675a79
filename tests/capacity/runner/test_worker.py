"""The process of a run: a signal leaves a checkpoint, and what fails says why and loses nothing."""

import errno
import json
import math
import signal
import subprocess
import time

import pytest
import torch

from capacity.runner import run_in_folder, worker
from capacity.runner.claim import Process, acquire, started, this_machine
from capacity.runner.run_in_folder import Run
from capacity.runner.worker import main
from capacity.store.folders import FAILED, STOPPED, TAKEN
from tests.capacity.conftest import metrics_of
from tests.capacity.runner.conftest import alike
from train.loop import Trainer

CPU = torch.device("cpu")


@pytest.mark.usefixtures("handlers")
def test_a_worker_ends_with_zero_when_its_run_is_done(prepare, capfd):
    folder = prepare()
    assert main([str(folder.path)]) == 0
    assert folder.done
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_worker_with_a_checkpoint(prepare, monkeypatch, number):
    folder = prepare()
    step = Trainer.step

    def interrupted(self, batch):
        if self.steps == 4:
            signal.raise_signal(number)
        return step(self, batch)

    monkeypatch.setattr(Trainer, "step", interrupted)
    assert main([str(folder.path)]) == STOPPED
    monkeypatch.undo()
    assert Run(folder, CPU).trainer.steps == 5
    assert not folder.done


@pytest.mark.usefixtures("handlers")
def test_a_worker_stops_when_its_driver_is_gone(prepare, monkeypatch):
    folder = prepare()
    driver = subprocess.Popen(["sleep", "1000"])
    process = Process(this_machine(), driver.pid, started(driver.pid))
    monkeypatch.setenv(worker.PARENT, json.dumps(vars(process)))
    monkeypatch.setattr(worker, "_LOOK_SECONDS", 0.0)
    step = Trainer.step

    def orphaned(self, batch):
        if self.steps == 4:
            driver.kill()
            driver.wait()
        return step(self, batch)

    monkeypatch.setattr(Trainer, "step", orphaned)
    assert main([str(folder.path)]) == STOPPED
    monkeypatch.undo()
    assert Run(folder, CPU).trainer.steps == 5


@pytest.mark.usefixtures("handlers")
def test_a_signal_while_measuring_ends_a_worker_at_once(prepare, monkeypatch):
    folder = prepare()

    def endless(*_, **__):
        signal.raise_signal(signal.SIGTERM)
        time.sleep(60)

    monkeypatch.setattr(run_in_folder, "measure_copies", endless)
    assert main([str(folder.path)]) == STOPPED
    monkeypatch.undo()
    assert Run(folder, CPU).trainer.exposures == 4
    assert main([str(folder.path)]) == 0


@pytest.mark.usefixtures("handlers")
def test_a_worker_leaves_a_run_alone_that_another_has(prepare):
    folder = prepare()
    with acquire(folder.path):
        assert main([str(folder.path)]) == TAKEN
    assert not folder.metrics.exists()
    assert main([str(folder.path)]) == 0


@pytest.mark.usefixtures("handlers")
def test_a_worker_that_has_lost_its_run_writes_no_more(prepare, monkeypatch):
    folder = prepare()
    step = Trainer.step

    def taken_over(self, batch):
        if self.steps == 4:
            (folder.path / "claim-2").write_text("{}")
        return step(self, batch)

    monkeypatch.setattr(Trainer, "step", taken_over)
    assert main([str(folder.path), "--save-seconds", "0"]) == TAKEN
    assert [int(path.stem) for path in folder.checkpoints.paths] == [3, 4]


def fails(folder, capfd):
    """The last line of a worker that fails."""
    assert main([str(folder.path)]) == FAILED
    assert not folder.done
    return capfd.readouterr().err.splitlines()


@pytest.mark.usefixtures("handlers")
def test_a_training_that_diverges_says_so(prepare, capfd, monkeypatch):
    folder = prepare()

    def step(self, batch):
        self.since.steps, self.since.loss = self.since.steps + 1, torch.tensor(math.nan)

    monkeypatch.setattr(Trainer, "step", step)
    reason = "loss: nan after 0.0 exposures; a smaller lr may help"
    assert fails(folder, capfd) == [f"error: {reason}"]
    assert folder.read_failure() == reason
    assert not folder.checkpoints.paths


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x"), "disk full: [Errno 28] No space left on device: 'x'"),
        (OSError(errno.EIO, "Input/output error"), "OSError: [Errno 5] Input/output error"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "x/y"), "x/y: Is a directory"),
        (MemoryError(), "out of memory: on the CPU"),
        (torch.OutOfMemoryError("CUDA out of memory.\nTried"), "out of memory: CUDA out of memory. Tried"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory: DefaultCPUAllocator"),
    ],
    ids=["full", "broken", "in the way", "memory", "cuda", "allocator"],
)
def test_a_failure_is_recorded_with_its_reason(prepare, do, rows_of, capfd, monkeypatch, error, reason):
    undisturbed, folder = prepare("other"), prepare()
    assert do(undisturbed)
    assert not do(folder, steps=5)

    def broken(*_, **__):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "step" if "memory" in reason else "state", broken)
        assert fails(folder, capfd)[-1].startswith(f"error: {reason}")
    assert folder.read_failure().startswith(reason)
    assert [int(path.stem) for path in folder.checkpoints.paths] == [5]
    assert main([str(folder.path)]) == 0
    assert folder.read_failure() is None
    alike(undisturbed, folder, rows_of)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize(
    ("error", "lines", "last"),
    [
        (ValueError("scheme = 'int8': no such kernel"), 1, "error: scheme = 'int8': no such kernel"),
        (RuntimeError("CUDA error: out of memory\nhint one\nhint two"), None, "error: RuntimeError: CUDA error: out"),
    ],
)
def test_a_measurement_that_fails_costs_no_training(prepare, rows_of, capfd, monkeypatch, error, lines, last):
    def broken(*_, **__):
        raise error

    undisturbed, folder = prepare("other"), prepare()
    monkeypatch.setattr(run_in_folder, "measure_copies", broken)
    printed = fails(folder, capfd)
    assert printed[-1].startswith(last)
    assert lines is None or len(printed) == lines
    monkeypatch.undo()

    monkeypatch.setattr(Trainer, "step", broken)  # nothing is left to train
    assert main([str(folder.path)]) == 0
    monkeypatch.undo()
    assert main([str(undisturbed.path)]) == 0
    assert rows_of(folder)[0] | {"seconds": 0} == rows_of(undisturbed)[0] | {"seconds": 0}
    assert metrics_of(folder.path) == metrics_of(undisturbed.path)
