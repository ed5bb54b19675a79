"""Compiled steps: the optimizers of PyTorch, to rounding; loss curves alike; states that go on on the other path."""

import ctypes
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.train.native.test_form import make_formed
from tests.train.test_loop import SETTINGS, Rows
from train.checkpoint import restore_training, training_tensors
from train.loop import Trainer
from train.native.update import NativeUpdate

CPU = torch.device("cpu")
OPTIMIZERS = ["adamw", "muon"]
VOCAB = 40
TURNED = {"adamw": 0.012, "muon": 0.006}
"""How far rounding to bf16 may turn a few steps; a wrong coefficient or a round of Newton and Schulz less is more."""


@pytest.fixture
def make_trainer(make_model):
    """A trainer by these kernels, or by PyTorch's operators."""

    def make(optimizer, kernels=None, size="2x32x1", form=None, **settings):
        model = make_formed(form, size, VOCAB) if form else make_model(size, VOCAB)
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
    same = {"size": size, "clip": clip, "eps": 1e-3, "weight_decay": 0.5}
    trainers = [make_trainer(optimizer, k, **same) for k in (kernels, None)]
    for seed in range(3):
        losses = [float(trainer.step(rows(make_windows, seed))) for trainer in trainers]
        assert losses[0] == pytest.approx(losses[1], rel=5e-3 if kernels.kc_bf16() else 1e-4)
    assert furthest(*trainers) < (TURNED[optimizer] if kernels.kc_bf16() else 1e-4)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("form", ["llama, untied", "quarter", "no MLP"])
def test_steps_of_every_form_are_those_of_pytorch(kernels, make_trainer, make_windows, optimizer, form):
    trainers = [make_trainer(optimizer, k, form=form, eps=1e-3, weight_decay=0.5) for k in (kernels, None)]
    for seed in range(3):
        losses = [float(trainer.step(rows(make_windows, seed))) for trainer in trainers]
        assert losses[0] == pytest.approx(losses[1], rel=5e-3 if kernels.kc_bf16() else 1e-4)
    assert furthest(*trainers) < (TURNED[optimizer] if kernels.kc_bf16() else 1e-4)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_loss_curves_over_250_steps_are_alike(kernels, make_trainer, make_windows, optimizer):
    trainers = [make_trainer(optimizer, k, lr=0.003) for k in (kernels, None)]
    curves = []
    for trainer in trainers:
        curves.append([float(trainer.step(rows(make_windows, step % 8))) for step in range(250)])
    mine, theirs = (np.reshape(curve, (5, 50)).mean(axis=1) for curve in curves)
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
    assert furthest(other, whole) < (TURNED[optimizer] if kernels.kc_bf16() else 1e-4)


def test_nothing_to_predict_changes_only_by_decay(kernels, make_trainer, make_windows):
    trainer = make_trainer("adamw", kernels, weight_decay=0.5)
    before = [p.detach().clone() for p in trainer.model.parameters()]
    batch = rows(make_windows, 0)
    batch.targets[:] = -1
    assert trainer.step(batch) == 0
    decay = {id(p): g["lr"] * g["weight_decay"] for g in trainer.optimizers[0].param_groups for p in g["params"]}
    for old, new in zip(before, trainer.model.parameters(), strict=True):
        assert (decay[id(new)] > 0) == (old.dim() == 2)
        torch.testing.assert_close(new.detach(), old * (1 - decay[id(new)]), rtol=1e-6, atol=0)


def test_small_numbers_are_not_flushed_to_zero(kernels, make_trainer, make_windows):
    make_trainer("muon", kernels).step(rows(make_windows, 0))
    assert np.float32(1e-40) * np.float32(1) > 0
    assert (torch.tensor([1e-40]) * 1).item() > 0


def test_clipping_is_that_of_pytorch(kernels):
    for length in (0.5, 3.0, float("nan")):
        grad = torch.full((40,), length / 40**0.5)
        parameter = torch.zeros(40, requires_grad=True)
        parameter.grad = grad.clone()
        torch.nn.utils.clip_grad_norm_([parameter], 2.0)
        where, sizes = (ctypes.c_void_p * 1)(grad.data_ptr()), (ctypes.c_int64 * 1)(40)
        factor = kernels.kc_clip_factor(where, sizes, 1, 2.0)
        torch.testing.assert_close(grad * factor, parameter.grad, equal_nan=True)


class Halved(torch.optim.AdamW):
    def step(self, closure=None):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda p: torch.optim.SGD(p, lr=0.1), "SGD is not allowed with native kernels; must be AdamW or Muon"),
        (Halved, "Halved is not allowed with native kernels; must be AdamW or Muon"),
        (lambda p: torch.optim.AdamW(p, amsgrad=True), "AdamW with amsgrad is not allowed with native kernels"),
        (lambda p: torch.optim.AdamW(p, maximize=True), "AdamW with maximize is not allowed with native kernels"),
    ],
)
def test_an_optimizer_without_a_kernel_is_refused(kernels, make_model, make, told):
    model = make_model("1x16", VOCAB)
    with pytest.raises(ValueError, match=f"^optimizer: {told}"):
        NativeUpdate(model, [make(model.parameters())], 1.0, kernels)


SHORT_OF_MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np, torch
from train.native.library import open_library
kernels = open_library(Path(sys.argv[1]))
assert kernels.kc_permitted()  # tiles, where the library has them
muon, shape = kernels.kc_muon(), (64, 64_000)  # large, and few operations
weight, grad, average = (np.ones(shape, np.float32) for _ in range(3))
step = lambda: kernels.kc_muon_step(
    muon, weight.ctypes.data, grad.ctypes.data, average.ctypes.data, *shape, 0, 1, 0.1, 0, 0.9
)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
limits = resource.getrlimit(resource.RLIMIT_AS)
for spare in (0, 20_000_000, 40_000_000):
    resource.setrlimit(resource.RLIMIT_AS, (used + spare, limits[1]))
    assert not step()
assert (weight == 1).all()
resource.setrlimit(resource.RLIMIT_AS, limits)
assert step()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limit of memory")
def test_a_step_without_memory_changes_nothing_and_works_once_there_is_some(kernels):
    subprocess.run([sys.executable, "-c", SHORT_OF_MEMORY, kernels._name], check=True)
