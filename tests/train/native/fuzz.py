"""Random models of every form, windows and numbers through one library of kernels: for sanitizers, and against PyTorch.

    python -m tests.train.native.fuzz LIBRARY SEED BATCHES

Numbers that are not finite, or very large, are put into the parameters, too; then any answer will do.
"""

import math
import random
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tests.train.native.conftest import randomize
from tests.train.native.reference import reference_loss
from tests.train.native.test_form import FORMS, Formed, make_form
from tests.train.test_loop import SETTINGS
from train.loop import make_optimizers
from train.native.library import open_library
from train.native.update import NativeUpdate

SIZES = [
    f"{L}x{W}x{H}" for L in (1, 2) for W in (16, 32, 48, 80, 112, 144) for H in (1, 2, 3, 5, 8) if W % (2 * H) == 0
]
VOCABS = [1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 257]
WINDOWS = [
    (1, 1),
    (1, 2),
    (2, 1),
    (3, 5),
    (7, 13),
    (1, 47),
    (1, 48),
    (1, 49),
    (60, 1),
    (2, 33),
    (3, 64),
    (1, 97),
    (1, 257),
]
KINDS = [*["plain"] * 4, "nan", "inf", "-inf", "huge", "tiny", "zero"]
"""What becomes of a parameter, or of all of them (zero)."""


def spoil(model, kind, rng):
    """Change a model's parameters."""
    parameter = rng.choice(list(model.parameters()))
    with torch.no_grad():
        if kind in ("nan", "inf", "-inf"):
            parameter.view(-1)[rng.randrange(parameter.numel())] = float(kind)
        for each in model.parameters() if kind == "zero" else [parameter]:
            each.mul_({"huge": 1e25, "tiny": 1e-42, "zero": 0.0}.get(kind, 1.0))


def draw(vocab, rows, time, rng):
    """Tokens and targets, of which none, some or all are left out."""
    numbers = np.random.default_rng(rng.randrange(10**6))
    inputs, targets = numbers.integers(0, vocab, (2, rows, time), dtype=np.int32)
    targets[numbers.random(targets.shape) < rng.choice([0, 0.1, 1.0])] = -1
    return inputs, targets


def check(update, kind, inputs, targets):
    """A pass without and one with gradients, as the reference computes them."""
    native, model = update.native, update.model
    nats, _ = native.score(inputs, targets)
    grads = [torch.full_like(p, torch.nan) for p in native.parameters]
    total = native.gradients(inputs, targets, grads, 1.0)
    if kind in ("plain", "tiny", "zero"):
        assert math.isfinite(total)
        assert all(grad.isfinite().all() for grad in grads)
        with torch.no_grad():
            expected = reference_loss(model.form, model.parameters(), *map(torch.from_numpy, (inputs, targets))).numpy()
        np.testing.assert_allclose(nats, expected, atol=0.5 if native.kernels.kc_bf16() else 2e-3)


def one(kernels, rng):
    """A model of some form, two batches and two steps."""
    name, kind, vocab = rng.choice(list(FORMS)), rng.choice(KINDS), rng.choice(VOCABS)
    model = randomize(Formed(make_form(name, rng.choice(SIZES), vocab)), rng.randrange(1000))
    spoil(model, kind, rng)
    settings = replace(SETTINGS, optimizer=rng.choice(["muon", "adamw"]), native=True)
    update = NativeUpdate(model, make_optimizers(model, settings), 1.0, kernels)
    update.model = model
    rows, time = rng.choice(WINDOWS)
    for shape in ((rows, time), (max(1, rows // 2), time // 2 + 1)):  # a shorter one in the same buffers
        inputs, targets = draw(vocab, *shape, rng)
        check(update, kind, inputs, targets)
        update(inputs, targets, inputs.size)
        kind = "changed" if kind == "huge" else kind


def main(path, seed, batches):
    """Run so many models."""
    torch.set_num_threads(1)
    kernels, rng = open_library(Path(path)), random.Random(int(seed))
    for _ in range(int(batches)):
        one(kernels, rng)
    print(f"{batches} models")


if __name__ == "__main__":
    main(*sys.argv[1:])
