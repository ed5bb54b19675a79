"""A run takes over the training of a finished run that differs from it in how it is measured, and no other training."""

import json

import pytest
import torch

from capacity.runner import run_in_folder
from capacity.runner.run_in_folder import Run
from capacity.runner.worker import main
from capacity.store import provenance
from capacity.store.folders import TAKEN
from capacity.store.records import load
from tests.capacity.runner.conftest import alike
from train.export import load_weights
from train.loop import Trainer


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
    run = Run(second, torch.device("cpu"))
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
