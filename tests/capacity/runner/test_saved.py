"""A checkpoint with a right checksum and wrong insides fails its run, in one line that names file and field."""

import math

import pytest
import torch

from capacity.runner.saved import read_saved
from train.checkpoint import read_checkpoint, write_checkpoint

RECORD = {
    "training": {"steps": 3},
    "seconds": 1.5,
    "parts": [{"from": 0.0}],
    "metrics_bytes": 10,
    "metrics_sha256": "0" * 64,
}


@pytest.mark.parametrize("name", sorted(RECORD))
@pytest.mark.parametrize("value", [..., "x", None, -5, math.nan, math.inf, [1], {}, [{}] * 1000, "\x1b[31m" * 100])
def test_records_of_other_types_are_refused(name, value):
    if (name, value) == ("training", {}):  # the trainer refuses it
        return
    record = {key: RECORD[key] if key != name else value for key in RECORD if key != name or value is not ...}
    with pytest.raises(ValueError, match=f"^{name}: ") as caught:
        read_saved(record)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_a_record_comes_back_and_may_hold_more():
    assert read_saved(RECORD | {"later": 1}).model_dump() == RECORD


def scalar_moment(tensors, record):
    name = next(name for name, tensor in tensors.items() if name.endswith(("exp_avg", "momentum_buffer")))
    tensors[name] = torch.tensor(0.5)


def another_model(tensors, record):
    name = next(name for name in tensors if name.startswith("model."))
    tensors[name] = tensors[name][:-1].clone()


def not_finite(tensors, record):
    next(tensor for name, tensor in tensors.items() if name.startswith("model.")).view(-1)[3] = math.nan


def unlike_numpy(tensors, record):
    tensors["batches.position"] = tensors["batches.position"].bfloat16()


def short_random(tensors, record):
    tensors["random"] = tensors["random"][:10].clone()


def no_random(tensors, record):
    del tensors["random"]


def random_of_other_type(tensors, record):
    tensors["random"] = tensors["random"].float()


def far_away(tensors, record):
    tensors["batches.position"] = tensors["batches.position"] + 10**15


def batches_skipped(tensors, record):
    tensors["batches.position"][1] += 1


def no_training(tensors, record):
    del record["training"]


def text_for_number(tensors, record):
    record["training"]["steps"] = "x"


def other_exposures(tensors, record):
    record["training"]["exposures"] = 1.25


def not_a_number(tensors, record):
    record["training"]["exposures"] = math.nan


@pytest.mark.parametrize(
    ("alter", "told"),
    [
        (scalar_moment, r"float32 \[\] is not allowed; must be float32 \["),
        (another_model, r"model\.\S+: float32 \[.*\] is not allowed; must be float32 \["),
        (not_finite, r"model\.\S+: has a number that is not finite"),
        (unlike_numpy, "BFloat16"),
        (short_random, r"'random': uint8 \[10\] is not allowed; must be uint8 \[\d+\]"),
        (no_random, r"'random': is missing; must be uint8"),
        (random_of_other_type, r"'random': float32 \[\d+\] is not allowed"),
        (far_away, "chunk: 1000000000000000 is not allowed; must be at most 4"),
        (batches_skipped, r"exposures: \S+ is not allowed; must be \S+, as of the batches"),
        (no_training, "training: is required"),
        (text_for_number, r"training: .*'steps': 'x'.* is not allowed"),
        (other_exposures, r"exposures: 1\.25 is not allowed; must be"),
        (not_a_number, "training: .*nan.* is not allowed"),
    ],
)
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_wrong_insides_are_refused(prepare, do, alter, told, optimizer):
    folder = prepare(optimizer=optimizer)
    assert not do(folder, steps=2)
    (path,) = folder.checkpoints.paths
    found = read_checkpoint(path)
    tensors, record = {name: tensor.clone() for name, tensor in found.tensors.items()}, found.record
    alter(tensors, record)
    write_checkpoint(path, tensors, record)
    metrics = folder.metrics.read_bytes()
    with pytest.raises(ValueError, match=rf"^checkpoint: {path.name} is none of this run's \(.*{told}") as caught:
        do(folder)
    assert str(caught.value).isprintable()
    assert str(caught.value).endswith("; delete the run's checkpoints to train anew")
    assert folder.metrics.read_bytes() == metrics
    for path in folder.checkpoints.paths:
        path.unlink()
    assert do(folder)
