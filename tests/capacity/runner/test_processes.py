"""One model trained by two processes: the same exposures in the same order, the same losses but for rounding."""

import json
import subprocess

import pytest

from capacity.runner.engine import ONE_THREAD, LocalJob, WorkerOptions, outcome, start_worker
from capacity.store.folders import STOPPED, TAKEN
from tests.capacity.conftest import be_done, metrics_of, wait_for, workers_of

TWO = WorkerOptions("cpu", processes=2, save_seconds=0.5)
PYTORCH = {"kernels": "pytorch", "precision": "fp32", "batch": 17}  # 17 rows don't divide by two


def alike(one, two):
    for ours, theirs in zip(metrics_of(one.path, "train"), metrics_of(two.path, "train"), strict=True):
        assert {k: ours[k] for k in ("steps", "tokens", "exposures", "lr")} == {
            k: theirs[k] for k in ("steps", "tokens", "exposures", "lr")
        }
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=2e-4)
    for ours, theirs in zip(metrics_of(one.path, "recall"), metrics_of(two.path, "recall"), strict=True):
        assert ours["loss_name"] == pytest.approx(theirs["loss_name"], rel=2e-3)


@pytest.mark.parametrize(
    "changes", [{"optimizer": "muon", "layout": "rows"}, {"optimizer": "adamw", "layout": "packed", "context": 16}]
)
def test_two_processes_have_the_losses_of_one(prepare, do, changes):
    one, two = (prepare(at, exposures=8, **PYTORCH, **changes) for at in ("one", "two"))
    assert do(one)
    worker = start_worker(two, 0, TWO, ONE_THREAD)
    assert outcome(worker.wait(600), two, TWO) == 0, two.log.read_text()
    alike(one, two)
    assert json.loads(two.result.read_text())["provenance"]["processes"] == 2
    assert not list(two.path.glob("claim*"))
    three = prepare("two", exposures=8, quantize="int8", **PYTORCH, **changes)
    assert outcome(start_worker(three, 0, TWO, ONE_THREAD).wait(600), three, TWO) == 0, three.log.read_text()
    assert json.loads(three.result.read_text())["provenance"]["training_of"] == two.path.name
    assert metrics_of(three.path) == metrics_of(two.path)


@pytest.mark.faults
@pytest.mark.parametrize("victim", ["all", "a rank"])
def test_two_processes_that_are_stopped_go_on(prepare, victim):
    changes = {"optimizer": "adamw", "layout": "rows", "exposures": 1500}
    whole, two = (prepare(at, **PYTORCH, **changes) for at in ("whole", "two"))
    assert start_worker(whole, 0, TWO, ONE_THREAD).wait(600) == 0
    worker = start_worker(two, 0, TWO, ONE_THREAD)
    wait_for(lambda: two.checkpoints.paths)
    if victim == "all":
        LocalJob(worker, two, TWO).stop()
    else:
        subprocess.run(["kill", "-9", str(max(workers_of(two.path)))], check=True)
    code = worker.wait(60)
    assert (code == 0) == (victim == "all")
    assert victim == "a rank" or not two.log.read_bytes()
    wait_for(lambda: not workers_of(two.path), 60)
    assert not two.done
    assert two.read_failure() is None
    worker = start_worker(two, 0, TWO, ONE_THREAD)
    assert outcome(worker.wait(600), two, TWO) == 0, two.log.read_text()
    for kind in ("train", "recall"):  # two processes repeat to the bit, too: a + b is b + a
        assert metrics_of(two.path, kind) == metrics_of(whole.path, kind)


def test_what_torchrun_says_is_told_from_the_folder(prepare):
    folder = prepare()
    assert outcome(None, folder, TWO) is None
    assert outcome(0, folder, TWO) == STOPPED
    assert outcome(1, folder, TWO) == 1
    assert outcome(0, folder, WorkerOptions("cpu")) == 0
    assert outcome(TAKEN, folder, WorkerOptions("cpu")) == TAKEN
    folder.failure.write_text("{}")
    assert outcome(0, folder, TWO) == 1
    be_done(folder)
    assert outcome(0, folder, TWO) == 0
