"""One run: interrupted and continued it is the same run, and its result says what a table needs."""

import json
import math

import pytest
from safetensors.torch import load_file

from capacity.runner.engine import ONE_THREAD, WorkerOptions, start_worker
from capacity.runner.run_in_folder import log_spaced
from capacity.spec.identity import stored
from capacity.store import provenance
from capacity.store.counted import with_counts
from capacity.store.folders import STOPPED
from capacity.store.options import options_of
from capacity.store.records import COLUMNS
from tests.capacity.conftest import metrics_of, wait_for
from tests.capacity.runner.conftest import alike
from train.native.library import instruction_set


@pytest.mark.parametrize(
    "changes",
    [
        {"layout": "rows", "quantize": "int8"},
        {"layout": "packed", "context": 16, "junk": "1/4"},
        {"dataset": "bios", "layout": "rows", "questions": "half"},
        {"layout": "rows", "exposures": "none", "tokens": 1305, "schedule": "wsd", "heldout_tokens": 300},
        {"layout": "packed", "context": 16, "exposures": "none", "tokens": 1305, "junk": "1/4"},
    ],
    ids=["rows", "packed with junk", "bios with questions", "tokens and held-out loss", "tokens, packed with junk"],
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


def test_tokens_end_a_run_within_an_exposure(prepare, do, rows_of):
    folder = prepare(exposures="none", tokens=1305, heldout_tokens=300, quantize="int8")
    assert "-t1305-" in folder.path.name
    assert do(folder)
    row, copy = rows_of(folder)
    assert row["tokens"] == copy["tokens"] == 1305
    assert row["exposures"] == pytest.approx(1305 / 400, abs=0.2)
    assert folder.done
    curve = [record for record in metrics_of(folder.path) if record["kind"] == "heldout"]
    assert curve[-1]["tokens"] == 1305
    assert curve[-1]["heldout_loss"] == row["heldout_loss"] < curve[0]["heldout_loss"]
    assert [record["tokens"] for record in curve] == sorted(record["tokens"] for record in curve)
    assert len({record["steps"] for record in curve}) > 4
    assert "heldout_loss_at_1_1" in curve[0]
    assert not any("_at_" in name for name in row)
    assert "heldout_loss" not in copy


def test_a_result_names_the_parts_of_a_run_that_differ(prepare, do, monkeypatch):
    folder = prepare()
    assert not do(folder, steps=2)
    machine = provenance.processor
    monkeypatch.setattr(provenance, "processor", lambda: "another one")
    assert do(folder)
    parts = json.loads(folder.result.read_text())["provenance"]["parts"]
    assert [part["processor"] for part in parts] == [machine(), "another one"]
    assert [part["from"] for part in parts] == pytest.approx([0, 2 / 3], abs=0.1)


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
    counts = ("params_non_embedding", "flops_kaplan", "flops_chinchilla")
    earlier = {name: value for name, value in row.items() if name not in counts}
    assert with_counts(earlier, options_of(json.loads(folder.result.read_text()))) == row
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


@pytest.mark.parametrize(
    ("exposures", "marks"),
    [(1, []), (2, [1]), (5, [1, 2]), (6, [1, 2, 5]), (100, [1, 2, 5, 10, 20, 50]), (101, [1, 2, 5, 10, 20, 50, 100])],
)
def test_a_curve_has_log_spaced_points(exposures, marks):
    assert log_spaced(exposures) == marks
