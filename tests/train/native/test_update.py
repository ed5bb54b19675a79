"""Compiled steps: the optimizers of PyTorch, to rounding; loss curves alike; states that go on on the other path."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.train.test_loop import SETTINGS, Rows
from train.checkpoint import restore_training, training_tensors
from train.loop import Trainer
from train.native.update import NativeUpdate

CPU = torch.device("cpu")
OPTIMIZERS = ["adamw", "muon"]
VOCAB = 40
TURNED = 0.02
"""How far rounding to bf16 may turn a few steps: Newton and Schulz's five rounds each round again."""


@pytest.fixture
def make_trainer(make_model):
    """A trainer by these kernels, or by PyTorch's operators."""

    def make(optimizer, kernels=None, size="2x32x1", **settings):
        model = make_model(size, VOCAB)
        changes = {"optimizer": optimizer, "warmup_steps": 0, "native": False} | settings
        trainer = Trainer(model, replace(SETTINGS, **changes), CPU)
        if kernels is not None:
            trainer._native = NativeUpdate(model, trainer.optimizers, trainer.settings.clip, kernels)
        return trainer

    return make


def rows(make_windows, seed, count=4, time=20):
    return Rows(*make_windows(VOCAB, count, time, seed), exposures=0.0)


def furthest(one, other):
    """The largest change of a parameter, as a share of its norm."""
    pairs = zip(one.model.parameters(), other.model.parameters(), strict=True)
    return max(float((a - b).detach().norm() / (b.detach().norm() + 1e-3)) for a, b in pairs)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("clip", [0.01, 1e9])
@pytest.mark.parametrize("size", ["1x16", "2x48x1", "1x96x3"])
def test_steps_are_those_of_pytorch(kernels, make_trainer, make_windows, optimizer, clip, size):
    # An eps that no gradient is small beside: else AdamW turns a rounding error of zero into a whole step.
    trainers = [make_trainer(optimizer, k, size=size, clip=clip, eps=1e-3) for k in (kernels, None)]
    for seed in range(3):
        losses = [float(trainer.step(rows(make_windows, seed))) for trainer in trainers]
        assert losses[0] == pytest.approx(losses[1], rel=5e-3 if kernels.kc_bf16() else 1e-4)
    assert furthest(*trainers) < (TURNED if kernels.kc_bf16() else 1e-4)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_loss_curves_over_500_steps_are_alike(kernels, make_trainer, make_windows, optimizer):
    trainers = [make_trainer(optimizer, k, lr=0.003) for k in (kernels, None)]
    curves = []
    for trainer in trainers:
        curves.append([float(trainer.step(rows(make_windows, step % 8))) for step in range(500)])
    mine, theirs = (np.reshape(curve, (10, 50)).mean(axis=1) for curve in curves)
    assert theirs[-1] < 0.7 * theirs[0]  # it learns
    np.testing.assert_allclose(mine, theirs, rtol=0.05, atol=0.06)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_same_steps_give_the_same_bits(kernels, make_trainer, make_windows, optimizer):
    trainers = [make_trainer(optimizer, kernels) for _ in range(2)]
    for seed in range(5):
        first, second = (trainer.step(rows(make_windows, seed)) for trainer in trainers)
        assert first == second
    assert furthest(*trainers) == 0


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("native_first", [True, False])
def test_a_checkpoint_goes_on_on_either_path(kernels, make_trainer, make_windows, optimizer, native_first):
    paths = (kernels, None) if native_first else (None, kernels)
    first, other, whole = (make_trainer(optimizer, path, eps=1e-3) for path in (*paths, None))
    other.step(rows(make_windows, 99))  # so that its kernels point at states that are replaced
    for seed in range(2):
        first.step(rows(make_windows, seed))
        whole.step(rows(make_windows, seed))
    tensors = {name: tensor.clone() for name, tensor in training_tensors(first.model, first.optimizers).items()}
    restore_training(other.model, other.optimizers, tensors)
    for seed in range(2, 4):
        other.step(rows(make_windows, seed))
        whole.step(rows(make_windows, seed))
    assert furthest(other, whole) < (TURNED if kernels.kc_bf16() else 1e-4)


def test_nothing_to_predict_changes_only_by_decay(kernels, make_trainer, make_windows):
    trainer = make_trainer("adamw", kernels, weight_decay=0.0)
    before = [p.clone() for p in trainer.model.parameters()]
    batch = rows(make_windows, 0)
    batch.targets[:] = -1
    assert trainer.step(batch) == 0
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True))


def test_small_numbers_are_not_flushed_to_zero(kernels, make_trainer, make_windows):
    make_trainer("muon", kernels).step(rows(make_windows, 0))
    assert np.float32(1e-40) * np.float32(1) > 0
    assert (torch.tensor([1e-40]) * 1).item() > 0
