"""Parameters and training FLOPs as three papers count them; for small models they differ by several times.

In: the shape of a transformer, or a model. Out: numbers of parameters, and floating-point operations to train on one
token, forward and backward, where the backward pass counts as two forward passes.
"""

from typing import NamedTuple

from train.architectures.causal_lm import CausalLM

TRAINING = 3
"""Forward passes that the training on a token costs."""


class Counts(NamedTuple):
    """What a model has, and what it costs to train it on one token."""

    kaplan_parameters: int
    """Kaplan's N: weights of the matrices inside the blocks, all experts included."""
    flops: int
    """This project's own count, which is PaLM's (`palm_flops`) for transformers."""
    kaplan_flops: int
    """6·N, without attention over the context; of a mixture of experts, N of the experts that a token passes."""
    chinchilla_flops: int
    """With the embedding as a product of its own, and with the softmax (`chinchilla_flops`)."""


def counts_of(model: CausalLM, context: int) -> Counts:
    """Count a model of any architecture in windows of `context` tokens.

    Chinchilla's count is the architecture's own, with the embedding as a product and, where attention looks at the
    context, the softmax. For a transformer it is exactly `chinchilla_flops`.
    """
    own, size = model.flops_per_token(context), model.size
    attends = model.flops_per_token(2 * context) > own
    softmax = 3 * size.layers * size.heads * context if attends else 0
    idle = sum(model.parameter_counts().values()) - model.active_parameters
    return Counts(
        kaplan_parameters=model.non_embedding,
        flops=own,
        kaplan_flops=kaplan_flops(model.non_embedding - idle),
        chinchilla_flops=own + TRAINING * (2 * model.vocab * size.width + softmax),
    )


def kaplan_parameters(layers: int, width: int, attention: int, hidden: int) -> int:
    """Kaplan's N = 2·d·L·(2·d_attn + d_ff), without embeddings, biases and norms (arXiv 2001.08361, table 1)."""
    return 2 * width * layers * (2 * attention + hidden)


def kaplan_flops(parameters: int, layers: int = 0, attention: int = 0, context: int = 0) -> int:
    """Kaplan's 6·N, and with a context three times C_forward = 2·N + 2·L·n_ctx·d_attn (arXiv 2001.08361, table 1)."""
    return TRAINING * (2 * parameters + 2 * layers * context * attention)


def palm_flops(parameters: int, layers: int, heads: int, head_width: int, context: int) -> int:
    """PaLM's 6·N + 12·L·H·Q·T (arXiv 2204.02311, appendix B).

    Six for each weight in a matrix product, and the two products of attention over the whole context, not halved for
    causality.
    """
    return 6 * parameters + 12 * layers * heads * head_width * context


def chinchilla_flops(
    weights: int, layers: int, heads: int, head_width: int, context: int, *, width: int = 0, vocab: int = 0
) -> int:
    """Chinchilla's count (arXiv 2203.15556, appendix F), for one token of a sequence.

    Args:
        weights: of the matrices inside all blocks: q, k and v, the projection, the dense block.
        layers: number of blocks.
        heads: of attention.
        head_width: `key_size` in the paper.
        context: tokens of the sequence.
        width: `d_model`.
        vocab: tokens of the vocabulary; at 0 the embedding and the final logits are left out. The paper's formula has
            both; the ratios in its table A4 come out without them.

    """
    logits = reduction = 2 * context * heads * head_width
    softmax = 3 * heads * context
    embedding = final_logits = 2 * vocab * width
    return TRAINING * (embedding + 2 * weights + layers * (logits + softmax + reduction) + final_logits)
