"""A checkpoint gives back what went in, to the bit; it is whole or as it was; a damaged one says so in one line."""

import errno
import json
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from train.checkpoint import load_checkpoint, restore_training, save_checkpoint, training_tensors
from train.model import GPT, initialize
from train.optim import make_optimizers
from train.sizes import parse_size

DTYPES = [
    *(torch.float32, torch.float64, torch.float16, torch.bfloat16),
    *(torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool),
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_shape_comes_back(tmp_path, dtype):
    torch.manual_seed(0)
    shapes = {"scalar": (), "none": (0, 3), "row": (5,), "block": (2, 3, 4)}
    tensors = {name: (torch.randn(shape) * 9).to(dtype) for name, shape in shapes.items()}
    tensors["transposed"] = tensors["block"].transpose(0, 2)
    path = tmp_path / "checkpoint"
    save_checkpoint(path, tensors, {})
    found, _ = load_checkpoint(path)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == dtype
        assert found[name].shape == tensor.shape
        assert torch.equal(found[name], tensor)


def test_odd_numbers_come_back(tmp_path):
    odd = torch.tensor([float("nan"), float("inf"), -0.0, 1e-45, 3e38])
    save_checkpoint(tmp_path / "c", {"odd": odd}, {})
    (found,) = load_checkpoint(tmp_path / "c")[0].values()
    assert torch.equal(found.view(torch.int32), odd.view(torch.int32))


@settings(max_examples=30)
@given(record=st.dictionaries(st.text(), json_values))
def test_every_record_comes_back(tmp_path_factory, record):
    path = tmp_path_factory.getbasetemp() / "record"
    save_checkpoint(path, {"x": torch.ones(1)}, record)
    assert load_checkpoint(path)[1] == record


@pytest.mark.parametrize("failing", ["fsync", "write"])
def test_a_failing_write_leaves_the_old_file(tmp_path, monkeypatch, failing):
    path = tmp_path / "checkpoint"
    save_checkpoint(path, {"x": torch.ones(3)}, {"steps": 1})
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    if failing == "write":
        monkeypatch.setattr(type(path), "open", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, {"x": torch.zeros(9999)}, {"steps": 2})
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint"]


def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "checkpoint"
    save_checkpoint(path, {"x": torch.ones(3)}, {"steps": 1})
    (tmp_path / ".checkpoint.1.tmp").write_bytes(b"half of a")
    assert load_checkpoint(path)[1] == {"steps": 1}
    save_checkpoint(path, {"x": torch.ones(3)}, {"steps": 2})
    assert load_checkpoint(path)[1] == {"steps": 2}


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 20, 0.5, -1])
def test_a_file_cut_short_is_refused(tmp_path, kept):
    path = tmp_path / "checkpoint"
    save_checkpoint(path, {"x": torch.ones(30)}, {"steps": 1})
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    refused(path)


@pytest.mark.parametrize("content", [b"\0" * 500, b"\xff" * 500, b"{}", b"\x02" + b"\0" * 7 + b"[]"])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "checkpoint").write_bytes(content)
    refused(tmp_path / "checkpoint")


@pytest.mark.parametrize("metadata", [None, {"other": "1"}, {"record": "{"}])
def test_tensors_without_a_record_are_refused(tmp_path, metadata):
    save_file({"x": torch.ones(3)}, tmp_path / "checkpoint", metadata=metadata)
    refused(tmp_path / "checkpoint")


def refused(path):
    with pytest.raises(ValueError, match=f"^checkpoint: {path} is damaged") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_no_damaged_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "checkpoint")


def prepared(optimizer, seed):
    model = GPT(parse_size("1x16"), 11)
    initialize(model, "width", seed)
    numbers = {"lr": 0.01, "embedding_lr": 0.02, "weight_decay": 0.1, "betas": (0.9, 0.98), "eps": 1e-8}
    return model, make_optimizers(model, optimizer=optimizer, momentum=0.9, **numbers)


def advance(model, optimizers, seeds):
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        for optimizer in optimizers:
            optimizer.step()


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("steps", [0, 3])
def test_a_training_goes_on_from_its_tensors(tmp_path, optimizer, steps):
    path = tmp_path / "checkpoint"
    model, optimizers = prepared(optimizer, seed=0)
    advance(model, optimizers, range(steps))
    save_checkpoint(path, training_tensors(model, optimizers), {})
    other, other_optimizers = prepared(optimizer, seed=1)
    restore_training(other, other_optimizers, load_checkpoint(path)[0])
    advance(model, optimizers, range(10, 13))
    advance(other, other_optimizers, range(10, 13))
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    expected, found = training_tensors(model, optimizers), training_tensors(other, other_optimizers)
    assert expected.keys() == found.keys()
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


def test_the_file_holds_nothing_but_names_numbers_and_text(tmp_path):
    path = tmp_path / "checkpoint"
    save_checkpoint(path, {"model.x": torch.ones(2)}, {"steps": 3})
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert header.keys() == {"model.x", "__metadata__"}
    assert json.loads(header["__metadata__"]["record"]) == {"steps": 3}
