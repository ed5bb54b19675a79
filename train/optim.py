"""The optimizers of a run: a model comes in, one or two `torch.optim.Optimizer` go out.

AdamW as the paper trains with (Allen-Zhu and Li, arXiv 2404.05405), or Muon (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon) for the matrices inside the blocks with AdamW for the rest.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor

from train.model import GPT

Kind = Literal["adamw", "muon"]

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


def _as_stack(update: Tensor, qkv_heads: int) -> Tensor:
    """One parameter's matrix as [n, rows, columns], rows <= columns: q, k and v apart, tall ones transposed.

    q, k and v are three maps that only share a matrix for speed; each is orthogonalized on its own.
    """
    if qkv_heads:  # rows [heads, 3, head_width] -> three maps of all heads; the order of rows does not matter
        heads_first = update.view(qkv_heads, 3, -1, update.shape[1])
        return heads_first.transpose(0, 1).flatten(1, 2)
    return (update.mT if update.shape[0] > update.shape[1] else update)[None]


def _from_stack(stack: Tensor, parameter: Tensor, qkv_heads: int) -> Tensor:
    """Undo `_as_stack`."""
    if qkv_heads:
        return stack.unflatten(1, (qkv_heads, -1)).transpose(0, 1).reshape(parameter.shape)
    return stack[0].mT if parameter.shape[0] > parameter.shape[1] else stack[0]


class Muon(torch.optim.Optimizer):
    """Nesterov momentum whose update is orthogonalized, all equal-shaped matrices in one batched product.

    The step of a matrix [out, in] is lr · sqrt(max(1, out / in)) · orthogonal matrix, as in Jordan's
    original: with weights of 1/sqrt(in) the relative change does not depend on the width. Decay is decoupled:
    weights shrink by lr · weight_decay. A group with `qkv_heads` > 0 holds fused matrices whose rows are
    [heads, 3, head_width].
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
                stack = _as_stack(update, group["qkv_heads"])
                buckets[stack.shape[1:]].append((parameter, group, stack))
        for bucket in buckets.values():
            stacks = [stack for _, _, stack in bucket]
            orthogonal = orthogonalize(torch.cat(stacks)).split([len(stack) for stack in stacks])
            for (parameter, group, _), stack in zip(bucket, orthogonal, strict=True):
                outputs = parameter.shape[0] // (3 if group["qkv_heads"] else 1)
                lr = group["lr"] * math.sqrt(max(1.0, outputs / parameter.shape[1]))
                parameter.add_(_from_stack(stack, parameter, group["qkv_heads"]), alpha=-lr)

    def _average(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        return state["momentum_buffer"]


def make_optimizers(
    model: GPT,
    *,
    optimizer: Kind,
    lr: float,
    embedding_lr: float,
    weight_decay: float,
    betas: tuple[float, float],
    eps: float,
    momentum: float,
) -> list[torch.optim.Optimizer]:
    """Optimizers that together hold every parameter of `model` once.

    `adamw`: AdamW with `lr` on the blocks' matrices. `muon`: Muon on them, with `lr` and `momentum`. Both: AdamW with
    `embedding_lr` on embedding, norms and biases. Decay falls on matrices only, the embedding too. A schedule sets
    `group["lr"]` of every group from `group["initial_lr"]`. Checkpoints know parameters by their place in an optimizer:
    in AdamW tables, matrices, vectors; in Muon the matrices of q, k and v, then the others.
    """
    matrices = {name: p for name, p in model.blocks.named_parameters() if p.ndim == 2}
    chosen = {id(p) for p in matrices.values()}
    others = [p for p in model.parameters() if id(p) not in chosen]
    tables = {"params": [p for p in others if p.ndim >= 2], "lr": embedding_lr, "weight_decay": weight_decay}
    vectors = {"params": [p for p in others if p.ndim < 2], "lr": embedding_lr, "weight_decay": 0.0}
    by_adamw = [tables, vectors]
    optimizers: list[torch.optim.Optimizer] = []
    if optimizer == "adamw":
        inside = {"params": [*matrices.values()], "lr": lr, "weight_decay": weight_decay}
        by_adamw = [tables, inside, vectors]
    else:
        fused = [p for name, p in matrices.items() if name.endswith("qkv.weight")]
        single = [p for name, p in matrices.items() if not name.endswith("qkv.weight")]
        by_heads: list[dict[str, Any]] = [{"params": fused, "qkv_heads": model.size.heads}, {"params": single}]
        optimizers.append(Muon(by_heads, lr=lr, weight_decay=weight_decay, momentum=momentum))
    optimizers.append(torch.optim.AdamW(by_adamw, betas=betas, eps=eps, fused=True))
    for one in optimizers:
        for group in one.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers
