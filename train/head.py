"""The output head: hidden states and the tied matrix come in, cross-entropies (nats) and gradients go out.

At small widths most of a training step is this product and the softmax over the vocabulary. Here both are
done for a few hundred tokens at a time, in a buffer that stays in the cache, and the gradient is made while
the chunk's probabilities are still there: the logits of a whole batch never exist.
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

IGNORE = -1  # a target that is not scored
CHUNK = 256


def chunk_for(device: torch.device) -> int:
    """Tokens whose logits exist at a time: few enough for a CPU's cache, enough to keep a GPU busy."""
    return CHUNK if device.type == "cpu" else 8192


def _product_dtype(hidden: Tensor) -> torch.dtype:
    """The dtype of the matrix products: autocast's where it is on."""
    device = hidden.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype


def _chunks(
    hidden: Tensor, weight: Tensor, targets: Tensor, chunk: int
) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
    """For each chunk of c tokens: its slice, logits [c, vocab], targets [c, 1] and which count [c, 1].

    The logits share one buffer, of fp32 at least. Ignored targets read 0, so that they can index: nothing
    depends on a value that a GPU would have to send back.
    """
    tokens, vocab = hidden.shape[0], weight.shape[0]
    exact = torch.promote_types(hidden.dtype, torch.float32)
    buffer = torch.empty(min(chunk, tokens), vocab, dtype=exact, device=hidden.device)
    for start in range(0, tokens, chunk):
        part = slice(start, min(start + chunk, tokens))
        logits = buffer[: part.stop - start]
        if hidden.dtype == exact:
            torch.mm(hidden[part], weight.T, out=logits)
        else:
            logits.copy_(hidden[part] @ weight.T)
        target = targets[part, None].long()
        yield part, logits, target.clamp_min(0), target != IGNORE


class _LinearCrossEntropy(torch.autograd.Function):
    """Sum of cross-entropies whose forward pass leaves the gradients for the backward pass to scale."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, chunk: int, with_gradient: bool) -> Tensor:
        dtype = _product_dtype(hidden)
        with torch.autocast(hidden.device.type, enabled=False):
            return _LinearCrossEntropy._forward(ctx, hidden, weight, targets, chunk, with_gradient, dtype)

    @staticmethod
    def _forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        chunk: int,
        with_gradient: bool,
        dtype: torch.dtype,
    ) -> Tensor:
        h, w = hidden.to(dtype), weight.to(dtype)
        total = None
        d_hidden = torch.empty_like(hidden) if with_gradient else None
        d_weight = torch.zeros_like(weight) if with_gradient else None
        for part, logits, target, counts in _chunks(h, w, targets, chunk):
            logits.sub_(logits.amax(dim=1, keepdim=True))
            chosen = logits.gather(1, target)
            partition = logits.exp_().sum(dim=1, keepdim=True)
            loss = torch.where(counts, partition.log() - chosen, 0.0).sum()
            total = loss if total is None else total + loss
            if d_hidden is None or d_weight is None:
                continue
            # d loss / d logits = (exp / partition − one-hot) · counts. Dividing the products' rows by the
            # partition, not the probabilities', saves a pass over the largest array.
            scale = counts / partition
            logits.scatter_add_(1, target, -partition)
            p = logits.to(dtype)
            torch.mul(p @ w, scale, out=d_hidden[part])
            d_weight += p.T @ (h[part] * scale).to(dtype)
        if with_gradient:
            ctx.save_for_backward(d_hidden, d_weight)
        return total if total is not None else hidden.new_zeros(())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        d_hidden, d_weight = ctx.saved_tensors
        return d_hidden * grads[0], d_weight * grads[0], None, None, None


def linear_cross_entropy(
    hidden: Float[Tensor, "tokens width"],
    weight: Float[Tensor, "vocab width"],
    targets: Int[Tensor, " tokens"],
    chunk: int = CHUNK,
) -> Float[Tensor, ""]:
    """Sum over tokens of −ln softmax(hidden · weightᵀ)[target], in nats; targets of IGNORE add nothing.

    Never holds more than `chunk` tokens' logits. Under autocast the products are in its dtype, the softmax in
    fp32. Nothing here waits for a GPU. Gradients are made only where one is required; second derivatives do
    not exist.
    """
    with_gradient = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    return _LinearCrossEntropy.apply(hidden, weight, targets, chunk, with_gradient)


@torch.no_grad()
def token_scores(
    hidden: Float[Tensor, "tokens width"],
    weight: Float[Tensor, "vocab width"],
    targets: Int[Tensor, " tokens"],
    chunk: int = CHUNK,
) -> tuple[Float[Tensor, " tokens"], Bool[Tensor, " tokens"]]:
    """For each token −ln softmax(hidden · weightᵀ)[target] in nats, and whether its target has the top logit.

    Where the target is IGNORE: 0 nats and False.
    """
    dtype = _product_dtype(hidden)
    nats = torch.zeros(len(targets), dtype=torch.promote_types(hidden.dtype, torch.float32), device=hidden.device)
    correct = torch.zeros(len(targets), dtype=torch.bool, device=hidden.device)
    with torch.autocast(hidden.device.type, enabled=False):
        for part, logits, target, counts in _chunks(hidden.to(dtype), weight.to(dtype), targets, chunk):
            nll = logits.logsumexp(dim=1, keepdim=True) - logits.gather(1, target)
            nats[part] = torch.where(counts, nll, 0.0)[:, 0]
            correct[part] = ((logits.argmax(dim=1, keepdim=True) == target) & counts)[:, 0]
    return nats, correct
