"""A training is restored from what it saved, and from nothing else: other names, types, shapes and numbers are refused
in one line, before anything is changed."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.train.test_checkpoint import advance, prepared
from tests.train.test_loop import make_trainer
from train.checkpoint import restore_training, training_tensors

OPTIMIZERS = ["adamw", "muon"]
NUMBERS = [0.5, math.nan, math.inf, -math.inf]


def saved(optimizer, steps=2):
    model, optimizers = prepared(optimizer, seed=0)
    advance(model, optimizers, range(steps))
    return {name: tensor.clone() for name, tensor in training_tensors(model, optimizers).items()}


SAVED = {optimizer: saved(optimizer) for optimizer in OPTIMIZERS}
TYPES = [torch.float64, torch.bfloat16, torch.int8, torch.int32, torch.int64, torch.bool]


def without(tensors, name, tensor, data):
    del tensors[name]


def renamed(tensors, name, tensor, data):
    tensors[data.draw(st.sampled_from([f"{name}.", f"{name}.x", name.upper(), f"model.{name}"]))] = tensors.pop(name)


def another(tensors, name, tensor, data):
    added = ["model.x", "optimizer.", "optimizer.0", "optimizer.x.y.z", "optimizer.0.99.exp_avg", "optimizer.9.0.step"]
    tensors[data.draw(st.sampled_from([*added, "optimizer.0.-1.exp_avg", "model." + "\x1b" * 300]))] = tensor


def retyped(tensors, name, tensor, data):
    tensors[name] = tensor.to(data.draw(st.sampled_from(TYPES)))


def reshaped(tensors, name, tensor, data):
    shapes = [(), (0,), (1,), (*tensor.shape, 1), tensor.shape[::-1], (tensor.numel() + 1,), tensor.shape[:-1]]
    tensors[name] = torch.zeros(data.draw(st.sampled_from([shape for shape in shapes if shape != tensor.shape])))


def not_finite(tensors, name, tensor, data):
    tensor.view(-1)[data.draw(st.integers(0, tensor.numel() - 1))] = data.draw(st.sampled_from(NUMBERS[1:]))


ALTERATIONS = [without, renamed, another, retyped, reshaped, not_finite]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("alter", ALTERATIONS)
@settings(max_examples=12)
@given(data=st.data())
def test_tensors_of_another_training_are_refused_and_nothing_is_changed(optimizer, alter, data):
    tensors = {name: tensor.clone() for name, tensor in SAVED[optimizer].items()}
    name = data.draw(st.sampled_from(sorted(tensors)))
    alter(tensors, name, tensors[name], data)
    model, optimizers = prepared(optimizer, seed=1)
    before = copy.deepcopy(training_tensors(model, optimizers))
    with pytest.raises(ValueError, match=r"; must be|is not finite$") as caught:
        restore_training(model, optimizers, tensors)
    assert str(caught.value).isprintable()
    after = training_tensors(model, optimizers)
    assert after.keys() == before.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_tensor_that_is_wrong_is_named_with_what_it_must_be(optimizer):
    tensors = dict(SAVED[optimizer])
    name = next(name for name in tensors if name.endswith(("exp_avg", "momentum_buffer")) and tensors[name].ndim == 2)
    shape = list(tensors[name].shape)
    tensors[name] = torch.tensor(0.5)
    model, optimizers = prepared(optimizer, seed=1)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        restore_training(model, optimizers, tensors)
    assert str(caught.value) == f"'{name}': float32 [] is not allowed; must be float32 {shape}"


def test_other_names_are_not_looked_at():
    model, optimizers = prepared("muon", seed=1)
    restore_training(model, optimizers, SAVED["muon"] | {"batches.model.x": torch.tensor(math.nan)})
    found = training_tensors(model, optimizers)
    assert all(torch.equal(tensor, found[name]) for name, tensor in SAVED["muon"].items())


def test_one_training_is_none_of_another_optimizer():
    model, optimizers = prepared("adamw", seed=1)
    with pytest.raises(ValueError, match=r"^'optimizer\.0\.0\.exp_avg': is missing; must be float32 \[11, 16\]$"):
        restore_training(model, optimizers, SAVED["muon"])


class Experts(nn.Module):
    """Two vectors, of which a pass may use one: an optimizer has no state for the other yet."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = (nn.Parameter(torch.ones(3)) for _ in range(2))


@pytest.mark.parametrize("unused", [True, False])
@pytest.mark.parametrize("momentum", [0.9, 0.0])  # without momentum SGD has no states
def test_parameters_without_a_state_stay_without_one(unused, momentum):
    pairs = [(model := Experts(), torch.optim.SGD(model.parameters(), 0.1, momentum)) for _ in range(2)]
    for (model, optimizer), steps in zip(pairs, (1, 2), strict=True):
        for _ in range(steps):
            model.used.grad = torch.ones(3)
            model.unused.grad = None if unused else torch.ones(3)
            optimizer.step()
    (model, optimizer), (other, other_optimizer) = pairs
    restore_training(other, [other_optimizer], training_tensors(model, [optimizer]))
    expected, found = training_tensors(model, [optimizer]), training_tensors(other, [other_optimizer])
    assert expected.keys() == found.keys()
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


PROGRESS = {"steps": 3, "tokens": 40, "exposures": 1.5, "loss_since": [2, 0.5]}
odd = st.sampled_from(["x", None, math.nan, math.inf, -1, -0.5, 10**400, [], {}, [1, 2, 3], "3", [1, "x"], [-1, 0.0]])


@given(name=st.sampled_from(sorted(PROGRESS)), value=odd | st.just(...))
def test_progress_of_other_types_is_refused(name, value):
    trainer = make_trainer()
    before = trainer.state()
    state = {key: PROGRESS[key] if key != name else value for key in PROGRESS if key != name or value is not ...}
    with pytest.raises(ValueError, match=r"^training: .* is not allowed; must be finite steps") as caught:
        trainer.restore(state)
    assert len(str(caught.value)) < 400
    assert trainer.state() == before


@pytest.mark.parametrize("state", [{}, [], None, 3, "steps"])
def test_what_is_no_progress_is_refused(state):
    with pytest.raises(ValueError, match=r"^training: "):
        make_trainer().restore(state)


def test_progress_comes_back():
    trainer = make_trainer()
    trainer.restore(PROGRESS)
    assert trainer.state() == PROGRESS
