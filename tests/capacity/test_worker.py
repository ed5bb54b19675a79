"""One run: interrupted and continued it is the same run; what fails says why and loses nothing."""

import json
import math
import signal

import pytest
import torch
from safetensors.torch import load_file

from capacity import worker
from capacity.store import STOPPED
from capacity.table import COLUMNS
from capacity.worker import Run, log_spaced, main, pick_device, provenance
from tests.train.test_loop import SETTINGS
from train.export import load_pretrained

CPU = torch.device("cpu")


def metrics_of(folder):
    """The metrics without what the clock decides."""
    records = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    return [
        {k: v for k, v in record.items() if k not in ("seconds", "tokens_per_second", "loss", "lr", "kind")}
        for record in records
        if record["kind"] == "recall"
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adamw", "layout": "rows", "quantize": "int8"},
        {"optimizer": "muon", "layout": "packed", "context": 16, "junk": "1/4"},
        {"dataset": "bios", "optimizer": "muon", "layout": "rows", "questions": "half"},
    ],
    ids=["adamw rows", "muon packed", "bios"],
)
def test_an_interrupted_run_has_the_result_of_an_undisturbed_one(prepare, do, rows_of, changes):
    whole, parts = prepare("whole", **changes), prepare("parts", **changes)
    assert do(whole)
    assert not do(parts, steps=2)
    assert parts.checkpoint.exists()
    assert not parts.done
    parts.metrics.write_text(parts.metrics.read_text() + '{"kind": "tra')  # cut off while writing
    assert not do(parts, steps=3)
    assert do(parts)
    assert not parts.checkpoint.exists()
    expected, found = rows_of(whole), rows_of(parts)
    for ours, theirs in zip(expected, found, strict=True):
        assert ours | {"seconds": 0} == theirs | {"seconds": 0}
    assert metrics_of(parts) == metrics_of(whole)
    weights, others = (load_file(folder.model / "model.safetensors") for folder in (whole, parts))
    assert all(torch.equal(tensor, others[name]) for name, tensor in weights.items())


def test_a_result_says_what_a_table_needs(prepare, do, rows_of):
    folder = prepare(quantize=["int4", "int4-g8"])
    assert do(folder)
    result = json.loads(folder.result.read_text())
    assert result["run_id"] == folder.path.name
    assert result["config"] == folder.read_config().model_dump(mode="json")
    assert result["provenance"].keys() >= {"finished", "commit", "device", "processor", "threads", "torch"}
    assert [row["quantization"] for row in rows_of(folder)] == ["none", "int4", "int4-g8"]
    row = rows_of(folder)[0]
    questions = {"question_accuracy_trained", "question_accuracy_held_out"}  # this data set has none
    assert row.keys() >= set(COLUMNS) - questions
    assert row["params"] == sum(p.numel() for p in load_pretrained(folder.model).parameters())
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
    curve = metrics_of(folder)
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
    assert main([str(folder.path), "cpu"]) == 0
    assert folder.done
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_worker_with_a_checkpoint(prepare, monkeypatch, number):
    folder = prepare()
    step = worker.Trainer.step

    def interrupted(self, batch):
        if self.steps == 4:
            signal.raise_signal(number)
        return step(self, batch)

    monkeypatch.setattr(worker.Trainer, "step", interrupted)
    assert main([str(folder.path), "cpu"]) == STOPPED
    monkeypatch.undo()
    assert Run(folder, CPU).trainer.steps == 5
    assert not folder.done


@pytest.mark.usefixtures("handlers")
def test_a_worker_stops_when_its_driver_is_gone(prepare, monkeypatch):
    folder = prepare()
    parents = iter([10, 10, 10, 1, 1])
    monkeypatch.setattr(worker.os, "getppid", lambda: next(parents))
    assert main([str(folder.path), "cpu"]) == STOPPED
    monkeypatch.undo()
    assert Run(folder, CPU).trainer.steps == 3


def fails(folder, capfd):
    """The last line of a worker that fails."""
    assert main([str(folder.path), "cpu"]) == 1
    assert not folder.done
    return capfd.readouterr().err.splitlines()


@pytest.mark.usefixtures("handlers")
def test_a_training_that_diverges_says_so(prepare, capfd, monkeypatch):
    folder = prepare()

    def step(self, batch):
        self.steps += 1
        return torch.tensor(math.nan)

    monkeypatch.setattr(worker.Trainer, "step", step)
    assert fails(folder, capfd) == ["error: loss: nan after 0.0 exposures; a smaller lr may help"]
    assert not folder.checkpoint.exists()


@pytest.mark.usefixtures("handlers")
def test_a_damaged_checkpoint_is_named(prepare, do, capfd):
    folder = prepare()
    assert not do(folder, steps=2)
    folder.checkpoint.write_bytes(folder.checkpoint.read_bytes()[:1000])
    (line,) = fails(folder, capfd)
    assert line.startswith(f"error: checkpoint: {folder.checkpoint} is damaged")


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
    monkeypatch.setattr(worker, "measure_copies", broken)
    printed = fails(folder, capfd)
    assert printed[-1].startswith(last)
    assert lines is None or len(printed) == lines
    monkeypatch.undo()

    monkeypatch.setattr(worker.Trainer, "step", broken)  # nothing is left to train
    assert main([str(folder.path), "cpu"]) == 0
    monkeypatch.undo()
    assert main([str(undisturbed.path), "cpu"]) == 0
    assert rows_of(folder)[0] | {"seconds": 0} == rows_of(undisturbed)[0] | {"seconds": 0}
    assert metrics_of(folder) == metrics_of(undisturbed)


@pytest.mark.parametrize(
    ("exposures", "marks"),
    [(1, []), (2, [1]), (5, [1, 2]), (6, [1, 2, 5]), (100, [1, 2, 5, 10, 20, 50]), (101, [1, 2, 5, 10, 20, 50, 100])],
)
def test_a_curve_has_log_spaced_points(exposures, marks):
    assert log_spaced(exposures) == marks


def test_the_device_is_the_fastest_at_hand(monkeypatch):
    assert pick_device("cpu") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("auto").type == "mps"


def test_numbers_carry_where_they_come_from(monkeypatch, tmp_path):
    record = provenance(CPU, SETTINGS)
    assert record["torch"] == torch.__version__
    assert record["device"] == "cpu"
    monkeypatch.setattr(worker, "__file__", str(tmp_path / "worker.py"))  # outside a checkout
    assert provenance(CPU, SETTINGS)["commit"] is None
