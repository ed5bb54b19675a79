"""GPTQ: round so that the outputs of a layer on real texts change least (Frantar et al. 2022, arXiv 2210.17323).

Weights w of an output channel become values q one column after another, and the later columns compensate the error:
with H the sum of x xᵀ over the inputs x of the layer and U the upper factor of H⁻¹ = Uᵀ U, the error of
column i is (w_i − q_i)/U_ii, and U_ij times as much is taken off every later column j. This makes
(w − q)ᵀ H (w − q) small, the squared change of the output.

As in the package AutoGPTQ by default, which the paper used (Allen-Zhu and Li, arXiv 2404.05405, section 8): H is damped
by 0.01 of its mean diagonal, columns go by falling diagonal ("act-order"), scales are symmetric and follow from max|w|,
and layers are quantized in the order in which the model runs them, on the activations of the layers quantized before.
Two things differ: groups are neighbors in a row, with scales of the weights as they were (AutoGPTQ's `static_groups`),
so that the model is stored as by round to nearest; and columns whose input is always 0 are rounded, not set to 0.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eval.quantizers.schemes import Scheme

DAMPING = 0.01
"""Added to the diagonal of H, as a share of its mean."""
SHARES = tuple(step / 100 for step in range(100, 29, -1))
"""Scales that are tried for the least error, as shares of the one that reaches the largest weight."""


class _Stop(Exception):
    """Ends a forward pass: the rest of it is not needed."""


@torch.no_grad()
def gptq(
    model: nn.Module, matrices: Mapping[str, Tensor], scheme: Scheme, calibration: Callable[[], Sequence[Tensor]]
) -> None:
    """A `Quantizer` for integers; see the module's docstring. Raises ValueError for matrices that no text reaches."""
    _quantize(model, matrices, scheme, calibration, least_error=False)


@torch.no_grad()
def gptq_least_error(
    model: nn.Module, matrices: Mapping[str, Tensor], scheme: Scheme, calibration: Callable[[], Sequence[Tensor]]
) -> None:
    """As `gptq`, but each scale is the one with the least squared error of rounding (`least_error_scales`)."""
    _quantize(model, matrices, scheme, calibration, least_error=True)


def _quantize(
    model: nn.Module,
    matrices: Mapping[str, Tensor],
    scheme: Scheme,
    calibration: Callable[[], Sequence[Tensor]],
    *,
    least_error: bool,
) -> None:
    texts = calibration()
    waiting = dict(matrices)
    while waiting:
        hessians = next_hessians(model, waiting, texts)
        if not hessians:
            raise ValueError(f"quantize: {scheme} is not possible; no text runs through {next(iter(waiting))}")
        for name, hessian in hessians.items():
            weight = waiting.pop(name)
            values = gptq_values(weight, hessian, bits=scheme.value_bits, group=scheme.group, least_error=least_error)
            weight.copy_(values)


def next_hessians(model: nn.Module, waiting: Mapping[str, Tensor], texts: Sequence[Tensor]) -> dict[str, Tensor]:
    """Σ x xᵀ [in, in] over the inputs of the first of the waiting matrices that a forward pass reaches.

    Matrices that read the very same input, such as those of queries, keys and values, come together.
    """
    names = {weight.data_ptr(): name for name, weight in waiting.items()}
    hessians: dict[str, Tensor] = {}
    first: list[Tensor] = []

    def add_inputs(module: Any, inputs: tuple[Tensor, ...]) -> None:
        if first and inputs[0] is not first[0]:
            raise _Stop
        first[:] = [inputs[0]]
        x = inputs[0].flatten(0, -2).to(_widest(inputs[0].device))
        name = names[module.weight.data_ptr()]
        hessians[name] = hessians.get(name, 0) + x.T @ x

    owners = [m for m in model.modules() if any(p.data_ptr() in names for p in m.parameters(recurse=False))]
    hooks = [module.register_forward_pre_hook(add_inputs) for module in owners]
    device = next(model.parameters()).device
    try:
        for tokens in texts:
            first.clear()
            with suppress(_Stop):
                model(tokens.to(device))
    finally:
        for hook in hooks:
            hook.remove()
    return hessians


def gptq_values(
    weight: Float[Tensor, "out in"],
    hessian: Float[Tensor, "in in"],
    *,
    bits: int,
    group: int | None = None,
    least_error: bool = False,
) -> Float[Tensor, "out in"]:
    """The values of a matrix after GPTQ: integers of `bits` bits times their scales.

    hessian: Σ x xᵀ over inputs, up to a factor. group: neighbors in a row that share a scale; None: the whole row.
    least_error: scales are those of `least_error_scales`, not the ones that reach the largest weight.
    """
    width = weight.shape[1]
    steps = 2 ** (bits - 1)  # integers are -steps ... steps - 1
    groups = weight.float().unflatten(1, (-1, group or width))
    largest = groups.abs().amax(dim=2) / (steps - 0.5)
    scales = (least_error_scales(groups, steps) if least_error else largest).repeat_interleave(group or width, dim=1)
    order = hessian.diagonal().argsort(descending=True, stable=True)
    factor = inverse_factor(hessian[order][:, order])
    left, scales = weight.to(factor.dtype)[:, order], scales[:, order]
    values = torch.empty_like(left)
    for i in range(width):
        # as torchao rounds: times the reciprocal, in single precision
        integers = (left[:, i].float() * (1 / scales[:, i])).round().clamp(-steps, steps - 1)
        values[:, i] = torch.where(scales[:, i] > 0, integers * scales[:, i], 0)
        error = (left[:, i] - values[:, i]) / factor[i, i]
        left[:, i + 1 :] -= error[:, None] * factor[i, i + 1 :]
    return values[:, order.argsort()].to(weight.dtype)


def least_error_scales(groups: Float[Tensor, "out groups group"], steps: int) -> Float[Tensor, "out groups"]:
    """The scales, of shares of the one that reaches the largest weight, by which rounding has the least squared error.

    steps: integers are -steps ... steps - 1. The few largest weights are cut off where that makes the others finer.
    """
    largest = groups.abs().amax(dim=2) / (steps - 0.5)
    best, least = largest, torch.full_like(largest, torch.inf)
    for share in SHARES:
        scales = share * largest
        places = scales.clamp(min=torch.finfo(scales.dtype).tiny)[..., None]
        values = (groups / places).round().clamp(-steps, steps - 1) * places
        error = (values - groups).square().sum(dim=2)
        best, least = torch.where(error < least, scales, best), torch.minimum(error, least)
    return best


def inverse_factor(hessian: Float[Tensor, "in in"]) -> Float[Tensor, "in in"]:
    """The upper triangular U with Uᵀ U = (H + damping)⁻¹; the identity where H is 0."""
    identity = torch.eye(len(hessian), dtype=hessian.dtype, device=hessian.device)
    damping = DAMPING * hessian.diagonal().mean()
    if damping == 0:
        return identity
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian + damping * identity))
    return torch.linalg.cholesky(inverse, upper=True)


def _widest(device: torch.device) -> torch.dtype:
    """The widest floating-point type of a device: Apple's GPUs have no double precision."""
    return torch.float32 if device.type == "mps" else torch.float64
