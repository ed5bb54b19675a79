"""Rotary positions (Su et al. 2021, arXiv 2104.09864): q, k and v come in; they go out with q and k turned."""

from typing import Any

import torch
from torch import Tensor

from train.sizes import Size

ROTARY_BASE = 10_000.0


def rotation(time: int, head_width: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines [time, head_width / 2] of the rotary angles position · base^(-2i / head_width).

    Single precision throughout, as in Hugging Face's GPT-NeoX, so that the exported logits agree.
    """
    frequency = 1.0 / ROTARY_BASE ** (torch.arange(0, head_width, 2, dtype=torch.float32) / head_width)
    angle = torch.arange(time, dtype=torch.float32)[:, None] * frequency
    return angle.cos(), angle.sin()


def qkv_rotation(time: int, size: Size) -> tuple[Tensor, Tensor]:
    """Factors (own, partner) [time, 3·width] such that x·own + swapped(x)·partner turns q and k and leaves v.

    Spelled out over the whole row of q, k and v, because one product over contiguous rows is several times
    faster on a CPU than products over the halves of each head.
    """
    cos, sin = rotation(time, size.head_width)
    turned = torch.cat((cos, cos), dim=1), torch.cat((-sin, sin), dim=1)
    kept = torch.ones_like(turned[0]), torch.zeros_like(turned[1])
    own, partner = (torch.cat((t, t, k), dim=1).repeat(1, size.heads) for t, k in zip(turned, kept, strict=True))
    return own, partner


class Rotate(torch.autograd.Function):
    """Turn feature i of each head's q and k together with feature i + head_width / 2 ("rotate half").

    In: x [batch, time, 3·width] with features [heads, 3, head_width]; `own` and `partner` of `qkv_rotation`.
    The gradient of a rotation is the rotation back, so nothing of x is kept. Compiled code takes `turn` itself, whose
    gradient the compiler finds: PyTorch 2.11 left out that of this class, without a word.
    """

    @staticmethod
    def turn(x: Tensor, own: Tensor, partner: Tensor, head_width: int, sign: int = 1) -> Tensor:
        """The rotation; with a sign of -1 back."""
        swapped = x.unflatten(-1, (-1, head_width)).roll(head_width // 2, dims=-1).view(x.shape)
        return (x * own).addcmul_(swapped, partner, value=sign)

    @staticmethod
    def forward(ctx: Any, x: Tensor, own: Tensor, partner: Tensor, head_width: int) -> Tensor:
        """Rotate; keeps the factors only."""
        ctx.save_for_backward(own, partner)
        ctx.head_width = head_width
        return Rotate.turn(x, own, partner, head_width)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        """Rotate back."""
        own, partner = ctx.saved_tensors
        return Rotate.turn(grads[0], own, partner, ctx.head_width, -1), None, None, None
