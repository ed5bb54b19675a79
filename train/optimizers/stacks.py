"""Matrices inside the blocks as stacks [n, rows, columns], so that one batched product takes all of a shape."""

from typing import Any

from torch import Tensor

from train.architectures.causal_lm import ParameterGroups


def groups_by_heads(groups: ParameterGroups) -> list[dict[str, Any]]:
    """Parameter groups of the matrices inside the blocks, each with its `qkv_heads` (0: not fused)."""
    return [
        {"params": [parameter for parameter, fused in groups.matrices if fused == heads], "qkv_heads": heads}
        for heads in sorted({matrix.qkv_heads for matrix in groups.matrices}, reverse=True)
    ]


def as_stack(update: Tensor, qkv_heads: int) -> Tensor:
    """One parameter's matrices as [n, rows, columns], rows <= columns: q, k and v apart, tall ones transposed.

    q, k and v are three maps that only share a matrix for speed; each has a step of its own.
    """
    if qkv_heads:  # rows [heads, 3, head_width] -> three maps of all heads; the order of rows does not matter
        heads_first = update.view(qkv_heads, 3, -1, update.shape[1])
        return heads_first.transpose(0, 1).flatten(1, 2)
    stack = update.view(-1, *update.shape[-2:])
    return stack.mT if update.shape[-2] > update.shape[-1] else stack


def from_stack(stack: Tensor, parameter: Tensor, qkv_heads: int) -> Tensor:
    """Undo `as_stack`."""
    if qkv_heads:
        return stack.unflatten(1, (qkv_heads, -1)).transpose(0, 1).reshape(parameter.shape)
    return (stack.mT if parameter.shape[-2] > parameter.shape[-1] else stack).reshape(parameter.shape)
