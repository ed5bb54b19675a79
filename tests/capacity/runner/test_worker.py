"""One run: interrupted and continued it is the same run; what fails says why and loses nothing."""

import errno
import json
import math
import signal
import subprocess
import time

import pytest
import torch
from safetensors.torch import load_file

from capacity.runner import run_in_folder, worker
from capacity.runner.claim import Process, acquire, started, this_machine
from capacity.runner.engine import ONE_THREAD, WorkerOptions, start_worker
from capacity.runner.run_in_folder import Run, log_spaced
from capacity.runner.worker import main
from capacity.spec.identity import stored
from capacity.store import provenance
from capacity.store.folders import FAILED, STOPPED, TAKEN
from capacity.store.records import COLUMNS, load
from tests.capacity.conftest import metrics_of, wait_for
from tests.train.test_loop import SETTINGS
from train.devices import pick_device
from train.export import load_weights
from train.loop import Trainer
from train.native.library import instruction_set

CPU = torch.device("cpu")


def alike(whole, parts, rows_of):
    """Whether two runs ended the same: results, metrics and weights, to the last bit."""
    for ours, theirs in zip(rows_of(whole), rows_of(parts), strict=True):
        assert ours | {"seconds": 0} == theirs | {"seconds": 0}
    assert metrics_of(parts.path) == metrics_of(whole.path)
    contents = [(folder.model / "model.safetensors").read_bytes() for folder in (whole, parts)]
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"layout": "rows", "quantize": "int8"},
        {"layout": "packed", "context": 16, "junk": "1/4"},
        {"dataset": "bios", "layout": "rows", "questions": "half"},
    ],
    ids=["rows", "packed with junk", "bios with questions"],
)
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_an_interrupted_run_has_the_result_of_an_undisturbed_one(prepare, do, rows_of, changes, optimizer):
    changes = changes | {"optimizer": optimizer}
    whole, parts = prepare("whole", **changes), prepare("parts", **changes)
    assert do(whole)
    assert not do(parts, steps=2)  # inside an exposure
    assert len(parts.checkpoints.paths) == 1
    assert not parts.done
    parts.metrics.write_text(parts.metrics.read_text() + '{"kind": "tra')  # cut off while writing
    assert not do(parts, steps=1)  # between two, where rows are in turn
    assert not do(parts, steps=3)
    assert do(parts)
    assert not parts.checkpoints.paths
    alike(whole, parts, rows_of)


PATHS = {
    "PyTorch": {"kernels": "pytorch", "precision": "fp32"},
    "PyTorch bf16": {"kernels": "pytorch", "precision": "bf16"},
    "native": {"kernels": "native", "precision": "fp32"},
    "native bf16": {"kernels": "native", "precision": "bf16"},
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_every_training_path_goes_on_to_the_bit(prepare, do, rows_of, path, optimizer):
    if path.startswith("native") and instruction_set(bf16=path.endswith("bf16")) is None:
        pytest.skip("no such kernels on this machine")
    changes = PATHS[path] | {"optimizer": optimizer}
    whole, parts = prepare("whole", **changes), prepare("parts", **changes)
    assert do(whole)
    for steps in (1, 2, 4):
        assert not do(parts, steps=steps)
    assert do(parts)
    alike(whole, parts, rows_of)


@pytest.mark.faults
def test_a_compiled_training_goes_on_to_the_bit(prepare, rows_of):
    """In processes of their own: the compiler does not get on with the type checks of the tests."""
    options = WorkerOptions("cpu", save_seconds=0.1)
    whole, parts = (prepare(at, compile="on", exposures=2000) for at in ("whole", "parts"))
    assert start_worker(whole, 0, options, ONE_THREAD).wait(900) == 0, whole.log.read_text()
    worker = start_worker(parts, 0, options, ONE_THREAD)
    wait_for(lambda: parts.checkpoints.paths, 900)
    worker.terminate()
    assert worker.wait(100) == STOPPED
    assert start_worker(parts, 0, options, ONE_THREAD).wait(900) == 0
    alike(whole, parts, rows_of)


@pytest.mark.parametrize("damaged", [1, 2])
def test_a_damaged_checkpoint_costs_time_alone(prepare, do, rows_of, capfd, damaged):
    whole, parts = prepare("whole"), prepare("parts")
    assert do(whole)
    assert not do(parts, steps=2)
    assert not do(parts, steps=3)
    for path in parts.checkpoints.paths[-damaged:]:
        path.write_bytes(path.read_bytes()[:1000])
    assert do(parts)
    said = capfd.readouterr().err.splitlines()
    assert len(said) == damaged
    assert said[0].startswith(f"warning: checkpoint: {parts.checkpoints.folder}/000000000005.safetensors is damaged")
    assert said[-1].endswith(f"going on from {0.0 if damaged == 2 else 0.7} exposures")
    alike(whole, parts, rows_of)


def test_a_result_names_the_parts_of_a_run_that_differ(prepare, do, monkeypatch):
    folder = prepare()
    assert not do(folder, steps=2)
    machine = provenance.processor
    monkeypatch.setattr(provenance, "processor", lambda: "another one")
    assert do(folder)
    parts = json.loads(folder.result.read_text())["provenance"]["parts"]
    assert [part["processor"] for part in parts] == [machine(), "another one"]
    assert [part["from"] for part in parts] == pytest.approx([0, 2 / 3], abs=0.1)


def no_step(*_):
    raise AssertionError("it trains")


@pytest.mark.parametrize("changes", [{"quantize": ["int4", "int2"]}, {"quantize": ["rtn-int8", "gptq-int4"]}], ids=str)
def test_a_trained_model_is_measured_in_another_way_without_training(prepare, do, rows_of, monkeypatch, capfd, changes):
    first, second, alone = prepare(quantize="int8"), prepare(**changes), prepare("alone", **changes)
    assert do(alone)
    machine = provenance.processor
    with monkeypatch.context() as patched:
        patched.setattr(provenance, "processor", lambda: "another one")
        assert do(first)
    monkeypatch.setattr(Trainer, "step", no_step)
    assert do(second)
    alike(alone, second, rows_of)
    assert capfd.readouterr().err == f"trained already, as {first.path.name}; it is only measured\n"
    made = json.loads(second.result.read_text())["provenance"]
    assert made["training_of"] == first.path.name
    assert [part["processor"] for part in made["parts"]] == ["another one", machine()]
    assert [part["from"] for part in made["parts"]] == [0, 4]
    assert rows_of(second)[0]["seconds"] == rows_of(first)[0]["seconds"]


def test_of_measurements_in_a_chain_none_is_taken_for_the_training(prepare, do, rows_of, monkeypatch):
    folders = [prepare(quantize=scheme) for scheme in ("int8", "int4", "int2", "bf16")]
    for number, folder in enumerate(folders):
        monkeypatch.setattr(provenance, "processor", lambda number=number: f"machine {number}")
        if number == 0:
            assert not do(folder, steps=5)
            monkeypatch.setattr(provenance, "processor", lambda: "machine of the end")
        assert do(folder)
        if number == 1:
            folders[0].result.unlink()  # so that only those are left that trained nothing
        monkeypatch.setattr(Trainer, "step", no_step)
    for number, folder in list(enumerate(folders))[1:]:
        made = json.loads(folder.result.read_text())["provenance"]
        assert made["training_of"] == folders[0].path.name
        machines = ["machine 0", "machine of the end", f"machine {number}"]
        assert [part["processor"] for part in made["parts"]] == machines
    frame = load(folders[0].path.parent)
    assert frame["run_id"].nunique() == 1
    assert set(frame["quantization"]) == {"none", *(f"rtn-{name}+embedding" for name in ("int4", "int2", "bf16"))}
    assert do(folders[0])
    in_order = ["none", *(f"rtn-{name}+embedding" for name in ("bf16", "int8", "int4", "int2"))]
    assert list(load(folders[0].path.parent)["quantization"]) == in_order


def test_a_measurement_that_was_cut_off_trains_nothing_either(prepare, do, rows_of, monkeypatch):
    alone, first, second = prepare("alone", quantize="int8"), prepare(), prepare(quantize="int8")
    assert do(alone)
    assert do(first)
    monkeypatch.setattr(Trainer, "step", no_step)
    run = Run(second, CPU)
    assert not run.go(lambda: True)
    second.metrics.write_text(second.metrics.read_text() + '{"kind": "rec')
    assert do(second)
    alike(alone, second, rows_of)


@pytest.mark.parametrize(
    "changes",
    [{"lr": 0.001}, {"seeds": 1}, {"eval_people": 7}],  # the last: its learning curve is another
    ids=["lr", "seed", "people measured"],
)
def test_no_other_training_is_taken_over(prepare, do, rows_of, capfd, changes):
    alone, first, second = prepare("alone", **changes), prepare(), prepare(**changes)
    for folder in (alone, first, second):
        assert do(folder)
    alike(alone, second, rows_of)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("model/model.safetensors", lambda content: None),
        ("model/model.safetensors", lambda content: content[:1000]),
        ("metrics.jsonl", lambda content: None),
        ("metrics.jsonl", lambda content: b""),
        ("metrics.jsonl", lambda content: content.rpartition(b'{"kind"')[0]),
        ("result.json", lambda content: b"[]"),
        ("result.json", lambda content: content.replace(b'"steps"', b'"stops"')),
        ("result.json", lambda content: content.replace(b'"provenance"', b'"origin"')),
    ],
)
def test_what_is_damaged_is_trained_once_more(prepare, do, rows_of, file, change):
    alone, first, second = prepare("alone", quantize="int8"), prepare(), prepare(quantize="int8")
    assert do(alone)
    assert do(first)
    path = first.path / file
    if (content := change(path.read_bytes())) is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert do(second)
    alike(alone, second, rows_of)


@pytest.mark.usefixtures("handlers")
def test_a_run_that_is_lost_takes_nothing_over(prepare, do, monkeypatch):
    first, second = prepare(), prepare(quantize="int8")
    assert do(first)

    def taken_over(*_):
        (second.path / "claim-2").write_text("{}")
        return load_weights(*_)

    monkeypatch.setattr(run_in_folder, "load_weights", taken_over)
    assert main([str(second.path)]) == TAKEN
    assert not second.metrics.exists()


def test_a_result_says_what_a_table_needs(prepare, do, rows_of):
    folder = prepare(quantize=["int4", "int4-g8"])
    assert do(folder)
    result = json.loads(folder.result.read_text())
    assert result["run_id"] == folder.path.name
    assert result["config"] == stored(folder.read_config())
    assert result["provenance"].keys() >= {"finished", "commit", "device", "processor", "threads", "torch"}
    assert [row["quantization"] for row in rows_of(folder)] == [
        "none",
        "rtn-int4+embedding",
        "rtn-int4-g8+embedding",
    ]
    row = rows_of(folder)[0]
    questions = {"question_accuracy_trained", "question_accuracy_held_out"}  # this data set has none
    assert row.keys() >= set(COLUMNS) - questions
    assert row["params"] == sum(tensor.numel() for tensor in load_file(folder.model / "model.safetensors").values())
    assert row["bits_per_param"] == row["bits"] / row["params"]
    assert (row["people"], row["exposures"], row["steps"], row["tokens"]) == (40, 4, 12, 1600)
    assert sorted(file.name for file in folder.path.iterdir()) == [
        "config.yaml",
        "metrics.jsonl",
        "model",
        "result.json",
    ]


def test_the_learning_curve_ends_with_the_result(prepare, do, rows_of):
    folder = prepare(eval_people=7)
    assert do(folder)
    curve = metrics_of(folder.path, "recall")
    assert [record["exposures"] for record in curve] == [1, 2, 4]
    assert curve[-1]["loss_value"] == rows_of(folder)[0]["loss_value"]
    assert {record["people_measured"] for record in curve} == {7}


@pytest.mark.parametrize("people", [1, 2])
def test_a_person_or_two_can_be_learned(prepare, do, rows_of, people):
    folder = prepare(people=people, quantize="int8")
    assert do(folder)
    assert all(math.isfinite(row["bits"]) for row in rows_of(folder))


@pytest.fixture
def handlers():
    """Puts back the signal handlers that a worker's main sets."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


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
        (MemoryError(), "out of memory: on the CPU"),
        (torch.OutOfMemoryError("CUDA out of memory.\nTried"), "out of memory: CUDA out of memory. Tried"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory: DefaultCPUAllocator"),
    ],
    ids=["full", "broken", "memory", "cuda", "allocator"],
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


@pytest.mark.parametrize(
    ("exposures", "marks"),
    [(1, []), (2, [1]), (5, [1, 2]), (6, [1, 2, 5]), (100, [1, 2, 5, 10, 20, 50]), (101, [1, 2, 5, 10, 20, 50, 100])],
)
def test_a_curve_has_log_spaced_points(exposures, marks):
    assert log_spaced(exposures) == marks


def test_of_devices_cuda_is_taken_and_apples_only_by_name(monkeypatch):
    assert pick_device("cpu") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("auto").type == "cpu"  # never tried on one: only by its name


def test_numbers_carry_where_they_come_from(monkeypatch, tmp_path):
    record = provenance.provenance(CPU, SETTINGS)
    assert record["torch"] == torch.__version__
    assert record["device"] == "cpu"
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))  # outside a checkout
    assert provenance.provenance(CPU, SETTINGS)["commit"] is None
