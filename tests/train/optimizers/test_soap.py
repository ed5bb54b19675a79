"""SOAP's steps turn with the gradients, and are those of another implementation."""

import pytest
import torch
from torch import Tensor, nn

from train.optimizers.soap import BASIS_STEPS, Soap

NUMBERS = {"lr": 0.01, "betas": (0.9, 0.95), "eps": 1e-8}
STEPS = 2 * BASIS_STEPS + 2
SHAPES = [(16, 16), (24, 8), (8, 24), (16, 16)]


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def gradients(seed: int) -> list[Tensor]:
    return [draw(10 * seed + i, *shape) for i, shape in enumerate(SHAPES)]


def trained(starts: list[Tensor], left: Tensor | None = None, right: Tensor | None = None, decay: float = 0.0):
    """The parameters after some steps on gradients that were turned."""
    parameters = [nn.Parameter(start.clone()) for start in starts]
    optimizer = Soap([{"params": parameters}], weight_decay=decay, **NUMBERS)
    for seed in range(STEPS):
        for parameter, gradient in zip(parameters, gradients(seed), strict=False):
            parameter.grad = gradient if left is None else left @ gradient @ right
        optimizer.step()
    return [parameter.detach() for parameter in parameters]


def test_turned_gradients_give_turned_steps() -> None:
    """As Adam's in the eigenbases must: neither their signs nor the basis in which weights are given count."""
    left, right = (torch.linalg.qr(draw(seed, 16, 16))[0] for seed in (90, 91))
    (plain,), (turned,) = trained([torch.zeros(16, 16)]), trained([torch.zeros(16, 16)], left, right)
    assert plain.norm() > 0.1
    torch.testing.assert_close(turned, left @ plain @ right, rtol=0, atol=1e-4)


def test_matrices_of_one_shape_step_as_each_alone() -> None:
    starts = [draw(i, *shape) for i, shape in enumerate(SHAPES)]
    alone = trained(starts[:1], decay=0.1)
    torch.testing.assert_close(trained(starts, decay=0.1)[:1], alone)


def test_the_steps_are_those_of_pytorch_optimizer() -> None:
    """Installed by `pip install --no-deps pytorch-optimizer==4.1.0`."""
    library = pytest.importorskip("pytorch_optimizer")
    starts = [draw(i, *shape) for i, shape in enumerate(SHAPES)]
    theirs = [nn.Parameter(start.clone()) for start in starts]
    optimizer = library.SOAP(theirs, weight_decay=0.0, **NUMBERS)
    for seed in range(STEPS):
        for parameter, gradient in zip(theirs, gradients(seed), strict=True):
            parameter.grad = gradient
        optimizer.step()
    for a, b in zip(trained(starts), theirs, strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=0, atol=1e-5)
