"""Muon for the matrices inside the blocks, AdamW for the rest.

Muon: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from train.architectures.causal_lm import ParameterGroups
from train.optimizers.adamw import AdamW, adamw
from train.optimizers.stacks import as_stack, from_stack, groups_by_heads
from train.settings import Settings

# Jordan's quintic: five steps bring singular values between about 0.01 and 1 into about 0.7 to 1.2.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


def orthogonalize(matrices: Tensor) -> Tensor:
    """Replace the singular values of each matrix of a stack [n, rows, columns], rows <= columns, by about 1.

    In bf16 on a GPU, as is usual; on a CPU in the stack's own precision, where bf16 helps only some machines,
    and only from a width of about 100.
    """
    a, b, c = NEWTON_SCHULZ
    x = matrices / matrices.flatten(1).norm(dim=1).clamp_min(1e-7)[:, None, None]
    x = x.bfloat16() if x.is_cuda else x
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Nesterov momentum whose update is orthogonalized, all equal-shaped matrices in one batched product.

    The step of a matrix [out, in], and of each one in a stack [n, out, in], is lr · sqrt(max(1, out / in)) ·
    orthogonal matrix, as in Jordan's original: with weights of 1/sqrt(in) the relative change does not depend on the
    width. Decay is decoupled: weights shrink by lr · weight_decay. A group with `qkv_heads` > 0 holds fused matrices
    whose rows are [heads, 3, head_width].
    """

    def __init__(self, params: Iterable[dict[str, Any]], lr: float, weight_decay: float, momentum: float) -> None:
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "qkv_heads": 0}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        assert closure is None, "Muon takes one step per gradient"
        buckets: defaultdict[torch.Size, list[tuple[Tensor, dict[str, Any], Tensor]]] = defaultdict(list)
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            grads = [p.grad for p in parameters]
            averages = [self._average(p) for p in parameters]
            torch._foreach_lerp_(averages, grads, 1 - group["momentum"])
            updates = torch._foreach_lerp(grads, averages, group["momentum"])
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            for parameter, update in zip(parameters, updates, strict=True):
                stack = as_stack(update, group["qkv_heads"])
                buckets[stack.shape[1:]].append((parameter, group, stack))
        for bucket in buckets.values():
            stacks = [stack for _, _, stack in bucket]
            orthogonal = orthogonalize(torch.cat(stacks)).split([len(stack) for stack in stacks])
            for (parameter, group, _), stack in zip(bucket, orthogonal, strict=True):
                outputs = parameter.shape[-2] // (3 if group["qkv_heads"] else 1)
                lr = group["lr"] * math.sqrt(max(1.0, outputs / parameter.shape[-1]))
                parameter.add_(from_stack(stack, parameter, group["qkv_heads"]), alpha=-lr)

    def _average(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        return state["momentum_buffer"]


class MuonAndAdamW:
    """Muon with `lr` and `momentum` on the matrices inside the blocks, AdamW with `embedding_lr` on the rest."""

    uses = AdamW.uses | {"momentum"}
    native = True
    one_lr = False

    def make(self, groups: ParameterGroups, settings: Settings) -> list[torch.optim.Optimizer]:
        """Muon for the matrices of q, k and v and for the others; AdamW for tables and vectors."""
        by_heads = groups_by_heads(groups)
        muon = Muon(by_heads, lr=settings.lr, weight_decay=settings.weight_decay, momentum=settings.momentum)
        return [muon, adamw(groups, settings)]


MUON = MuonAndAdamW()
