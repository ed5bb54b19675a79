"""A checkpoint gives back what went in, to the bit; it is whole or as it was; a damaged one says so in one line."""

import errno
import json
import os
import pickle
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from tests.train.test_loop import SETTINGS
from train.architectures.gpt2 import GPT2
from train.checkpoint import (
    Checkpoints,
    read_checkpoint,
    replace_file,
    restore_training,
    training_tensors,
    write_checkpoint,
)
from train.loop import make_optimizers
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
    write_checkpoint(path, tensors, {})
    found = read_checkpoint(path).tensors
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == dtype
        assert found[name].shape == tensor.shape
        assert torch.equal(found[name], tensor)


def test_odd_numbers_come_back(tmp_path):
    odd = torch.tensor([float("nan"), float("inf"), -0.0, 1e-45, 3e38])
    write_checkpoint(tmp_path / "c", {"odd": odd}, {})
    (found,) = read_checkpoint(tmp_path / "c").tensors.values()
    assert torch.equal(found.view(torch.int32), odd.view(torch.int32))


@settings(max_examples=30)
@given(record=st.dictionaries(st.text(), json_values))
def test_every_record_comes_back(tmp_path_factory, record):
    path = tmp_path_factory.getbasetemp() / "record"
    write_checkpoint(path, {"x": torch.ones(1)}, record)
    assert read_checkpoint(path).record == record


OPERATIONS = ("open", "write", "fsync", "replace")
"""What writing a file asks of the system; each may be the last thing that happens."""


def disturb(monkeypatch, number, happens):
    """Count the operations; at the one with this number, `happens(operation, call)` takes its place."""
    count = 0
    real = {name: getattr(os, name) for name in OPERATIONS}

    def watched(name):
        def operation(*arguments):
            nonlocal count
            count += 1
            call = lambda *given: real[name](*(given or arguments))  # noqa: E731
            return happens(name, call, arguments) if count == number else call()

        return operation

    for name in OPERATIONS:
        monkeypatch.setattr(os, name, watched(name))
    return lambda: count


def operations_of(monkeypatch, folder):
    """How many operations saving a checkpoint takes."""
    with monkeypatch.context() as patched:
        counted = disturb(patched, 0, None)
        saved(folder, 3)
        return counted()


def saved(folder, *steps):
    """Checkpoints of these steps, each told by its content."""
    checkpoints = Checkpoints(folder)
    for step in steps:
        checkpoints.save(step, {"x": torch.full((1000,), float(step))}, {"steps": step})
    return checkpoints


def whole(folder):
    """The steps of the checkpoint that a training would go on from."""
    found = Checkpoints(folder).load()
    assert found is not None
    assert torch.equal(found.tensors["x"], torch.full((1000,), float(found.record["steps"])))
    return found.record["steps"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_failing_operation_leaves_what_was_there(tmp_path, monkeypatch, code):
    total = operations_of(monkeypatch, tmp_path / "count")
    assert total == 6  # open, write, sync and rename; then the folder is opened and synced
    for number in range(1, total + 1):
        folder = tmp_path / str(number)
        saved(folder, 1, 2)

        def fails(name, call, arguments):
            if name == "write":
                call(arguments[0], arguments[1][: len(arguments[1]) // 2])
            raise OSError(code, os.strerror(code))

        with monkeypatch.context() as patched:
            disturb(patched, number, fails)
            with pytest.raises(OSError, match=os.strerror(code)):
                saved(folder, 3)
        assert whole(folder) == (2 if number <= 4 else 3)
        assert not list(folder.glob(".*"))  # a full disk has its space back
        saved(folder, 4)
        assert whole(folder) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("when", ["before", "halfway", "after"])
def test_a_process_killed_at_any_operation_leaves_a_whole_checkpoint(tmp_path, monkeypatch, when):
    for number in range(1, operations_of(monkeypatch, tmp_path / "count") + 1):
        folder = tmp_path / str(number)
        saved(folder, 1, 2)

        def dies(name, call, arguments):
            if when == "after":
                call()
            elif when == "halfway" and name == "write":
                call(arguments[0], arguments[1][: len(arguments[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)

        child = os.fork()
        if child == 0:
            disturb(monkeypatch, number, dies)
            saved(folder, 3)
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        renamed = number > 4 or (number == 4 and when == "after")
        assert whole(folder) == (3 if renamed else 2)
        saved(folder, 4)
        assert whole(folder) == 4


def test_the_last_two_are_kept(tmp_path):
    checkpoints = saved(tmp_path / "c", 9, 10, 200)
    assert [int(path.stem) for path in checkpoints.paths] == [10, 200]
    checkpoints.clear()
    assert not (tmp_path / "c").exists()
    assert checkpoints.load() is None


@settings(max_examples=60)
@given(data=st.data())
def test_an_altered_byte_is_found_and_the_one_before_serves(tmp_path_factory, data):
    checkpoints = saved(tmp_path_factory.mktemp("c"), 1, 2)
    last = checkpoints.paths[-1]
    content = bytearray(last.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    blank = last.read_bytes()[place : place + 1].isspace() and bytes(content[place : place + 1]).isspace()
    last.write_bytes(content)
    assert whole(checkpoints.folder) == 1 or blank  # blanks fill up the header and say nothing


def test_a_damaged_one_is_reported_and_gone(tmp_path):
    checkpoints = saved(tmp_path, 1, 2)
    first, last = checkpoints.paths
    last.write_bytes(last.read_bytes()[:-1])
    assert checkpoints.load().record == {"steps": 1}
    assert [line.partition(" is damaged")[0] for line in checkpoints.damaged] == [f"checkpoint: {last}"]
    assert checkpoints.paths == [first]
    first.write_bytes(b"")
    assert checkpoints.load() is None
    assert checkpoints.paths == []
    assert len(checkpoints.damaged) == 2


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("nowhere"), os.mkfifo])
def test_what_is_no_file_is_named_and_left_alone(tmp_path, make):
    checkpoints = saved(tmp_path / "c", 1, 2)
    newer = checkpoints.folder / "000000000003.safetensors"
    make(newer)
    assert [path.stem for path in checkpoints.paths] == ["000000000001", "000000000002"]
    assert checkpoints.load().record == {"steps": 2}
    assert checkpoints.damaged == [f"checkpoint: {newer} is no file; it is left alone"]
    checkpoints.save(4, {"x": torch.ones(1)}, {"steps": 4})
    assert [int(path.stem) for path in checkpoints.paths] == [2, 4]
    checkpoints.clear()
    assert list(checkpoints.folder.iterdir()) == [newer]


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 20, 0.5, -1])
def test_a_file_cut_short_is_refused(tmp_path, kept):
    path = tmp_path / "checkpoint"
    write_checkpoint(path, {"x": torch.ones(30)}, {"steps": 1})
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
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_no_damaged_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "checkpoint")


def prepared(optimizer, seed):
    model = GPT2(parse_size("1x16"), 11)
    model.initialize("width", seed)
    return model, make_optimizers(model, replace(SETTINGS, optimizer=optimizer, embedding_lr=0.02, weight_decay=0.1))


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
    write_checkpoint(path, training_tensors(model, optimizers), {})
    other, other_optimizers = prepared(optimizer, seed=1)
    restore_training(other, other_optimizers, read_checkpoint(path).tensors)
    advance(model, optimizers, range(10, 13))
    advance(other, other_optimizers, range(10, 13))
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    expected, found = training_tensors(model, optimizers), training_tensors(other, other_optimizers)
    assert expected.keys() == found.keys()
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


def test_the_file_holds_nothing_but_names_numbers_and_text(tmp_path):
    path = tmp_path / "checkpoint"
    write_checkpoint(path, {"model.x": torch.ones(2)}, {"steps": 3})
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert header.keys() == {"model.x", "__metadata__"}
    assert json.loads(header["__metadata__"]["record"]) == {"steps": 3}


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_pickle_is_refused_and_not_run(tmp_path):
    evidence = tmp_path / "evidence"
    for path, content in (("pickle", pickle.dumps(Evil(str(evidence)))), ("torch", None)):
        if content is None:
            torch.save({"x": Evil(str(evidence))}, tmp_path / path)
        else:
            (tmp_path / path).write_bytes(content)
        refused(tmp_path / path)
    assert not evidence.exists()


@settings(max_examples=200)
@given(
    content=st.binary(max_size=300), header=st.dictionaries(st.text(), json_values), length=st.integers(0, 2**64 - 1)
)
def test_no_content_does_more_than_be_refused(tmp_path_factory, content, header, length):
    path = tmp_path_factory.getbasetemp() / "fuzz"
    text = json.dumps(header).encode()
    for made in (content, length.to_bytes(8, "little") + content, len(text).to_bytes(8, "little") + text + content):
        path.write_bytes(made)
        refused(path)


def test_a_header_that_promises_terabytes_is_refused(tmp_path):
    for shape, end in (([1 << 40], 1 << 42), ([1 << 62, 4], 1 << 62), ([-1], 4)):
        header = {"x": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}, "__metadata__": {"record": "{}"}}
        text = json.dumps(header).encode()
        (tmp_path / "c").write_bytes(len(text).to_bytes(8, "little") + text + b"1234")
        refused(tmp_path / "c")


def test_a_record_of_deep_brackets_is_refused(tmp_path):
    save_file({"x": torch.ones(3)}, tmp_path / "c", metadata={"record": "[" * 100_000, "checksum": "0"})
    refused(tmp_path / "c")


def test_replacing_a_file_is_all_or_nothing(tmp_path):
    replace_file(tmp_path / "f", b"one")
    replace_file(tmp_path / "f", b"")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("f", b"")]
    with pytest.raises(FileNotFoundError):
        replace_file(tmp_path / "none" / "f", b"one")


def test_a_state_that_is_no_tensor_is_refused():
    model, (optimizer,) = prepared("adamw", seed=0)
    optimizer.state[next(model.parameters())]["count"] = 3
    with pytest.raises(ValueError, match=r"^optimizer: AdamW's count is no tensor but 3; a state holds tensors alone$"):
        training_tensors(model, [optimizer])
