"""GPT-2 with rotary positions: token windows come in, hidden states after the last norm go out.

Pre-norm, biases, tanh-approximated GELU, an MLP of four times the width, no dropout, and one matrix that is
both embedding and output head (the head's product lives in `train/head.py`). The parameters keep GPT-NeoX's
layout, so that exporting them is renaming (`train/export.py`). The paper trains this architecture (Allen-Zhu
and Li, arXiv 2404.05405).
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from train.sizes import Size

NORM_EPS = 1e-5
ROTARY_BASE = 10_000.0
MLP_RATIO = 4

Scheme = Literal["width", "gpt2"]


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


class Block(nn.Module):
    """Attention, then MLP: each reads the normed residual stream [batch, time, width] and adds to it."""

    def __init__(self, size: Size):
        super().__init__()
        width = size.width
        self.heads, self.head_width = size.heads, size.head_width
        self.attention_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.qkv = nn.Linear(width, 3 * width)  # rows are [heads, 3, head_width]
        self.attention_out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp_in = nn.Linear(width, MLP_RATIO * width)
        self.mlp_out = nn.Linear(MLP_RATIO * width, width)

    def attention(self, x: Tensor, own: Tensor, partner: Tensor) -> Tensor:
        """Causal self-attention of x [batch, time, width]."""
        batch, time, width = x.shape
        qkv = self.qkv(x)
        rotate = Rotate.turn if torch.compiler.is_compiling() else Rotate.apply
        qkv = rotate(qkv, own.to(qkv.dtype), partner.to(qkv.dtype), self.head_width)
        # Unbound before the transposition, so that the backward pass stacks into one contiguous gradient.
        parts = qkv.view(batch, time, self.heads, 3, self.head_width).unbind(dim=3)
        q, k, v = (part.transpose(1, 2) for part in parts)  # [batch, heads, time, head_width]
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.attention_out(mixed.transpose(1, 2).reshape(batch, time, width))

    def forward(self, x: Tensor, own: Tensor, partner: Tensor) -> Tensor:
        """One layer on the residual stream [batch, time, width]."""
        x = x + self.attention(self.attention_norm(x), own, partner)
        return x + self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x)), approximate="tanh"))


class GPT(nn.Module):
    """The model without its head's product: `hidden @ model.embedding.weight.T` are the logits.

    Its parameters hold PyTorch's defaults until `initialize` is called. Any length of window works.
    """

    own: Tensor
    partner: Tensor

    def __init__(self, size: Size, vocab: int):
        super().__init__()
        if vocab < 1:
            raise ValueError(f"vocab: {vocab} is not allowed; allowed: at least 1")
        self.size, self.vocab = size, vocab
        self.embedding = nn.Embedding(vocab, size.width)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.width, eps=NORM_EPS)
        own, partner = qkv_rotation(0, size)
        self.register_buffer("own", own, persistent=False)
        self.register_buffer("partner", partner, persistent=False)
        assert count_parameters(self) == parameter_counts(size, vocab)

    def grow_rotation(self, time: int) -> None:
        """Make the cached angles long enough for windows of `time` tokens: rarely, as compiled code depends on them."""
        if time > self.own.shape[0]:
            own, partner = qkv_rotation(max(512, 1 << (time - 1).bit_length()), self.size)
            self.own, self.partner = own.to(self.own), partner.to(self.partner)

    def forward(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time width"]:
        """Hidden states after the final norm; position t sees tokens 0..t."""
        time = tokens.shape[1]
        self.grow_rotation(time)
        own, partner = self.own[:time], self.partner[:time]
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, own, partner)
        return self.norm(x)


@torch.no_grad()
def initialize(model: GPT, scheme: Scheme, seed: int) -> None:
    """Draw every parameter anew, from `seed` alone and on the CPU: the same numbers on any device.

    `gpt2`: normal with standard deviation 0.02. `width`: 1/sqrt(inputs of the matrix), and 0.1 for the
    embedding, since 0.02 starves narrow models. Both: what adds to the residual stream is scaled by
    1/sqrt(2·layers) (GPT-2), biases are 0, norms the identity.
    """
    generator = torch.Generator("cpu").manual_seed(seed)

    def draw(parameter: Tensor, std: float) -> None:
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)

    gpt2 = scheme == "gpt2"
    draw(model.embedding.weight, 0.02 if gpt2 else 0.1)
    for name, module in model.named_modules():
        if isinstance(module, nn.LayerNorm):
            module.weight.fill_(1.0)
            module.bias.zero_()
        elif isinstance(module, nn.Linear):
            residual = name.endswith(("attention_out", "mlp_out"))
            std = 0.02 if gpt2 else module.in_features**-0.5
            draw(module.weight, std * (2 * model.size.layers) ** -0.5 if residual else std)
            module.bias.zero_()


def parameter_counts(size: Size, vocab: int) -> dict[str, int]:
    """Trainable parameters by group, in closed form; the tied embedding counts once."""
    layers, width = size.layers, size.width
    return {
        "embedding": vocab * width,
        "attention": layers * (4 * width**2 + 4 * width),
        "mlp": layers * (2 * MLP_RATIO * width**2 + (MLP_RATIO + 1) * width),
        "norm": (2 * layers + 1) * 2 * width,
    }


def count_parameters(model: GPT) -> dict[str, int]:
    """Trainable parameters by group, counted in the module's own tensors."""
    counts = dict.fromkeys(("embedding", "attention", "mlp", "norm"), 0)
    for name, parameter in model.named_parameters():
        module = name.split(".")[-2]
        if module.endswith("norm"):
            group = "norm"
        elif module in ("qkv", "attention_out"):
            group = "attention"
        else:
            group = "mlp" if module.startswith("mlp") else "embedding"
        counts[group] += parameter.numel()
    return counts


def non_embedding(size: Size) -> int:
    """N = 12·layers·width² (Kaplan et al. 2020, arXiv 2001.08361, table 1): no biases, norms, embedding."""
    return 12 * size.layers * size.width**2


def flops_per_token(size: Size, vocab: int, context: int) -> int:
    """Floating-point operations to train on one token, forward and backward.

    6·(12·layers·width² + vocab·width) + 12·layers·width·context: six for each weight in a matrix product,
    the tied matrix counted once, as the head, and the two products of attention over the whole context, not
    halved for causality (PaLM, arXiv 2204.02311, appendix B).
    """
    attention = 12 * size.layers * size.width * context
    return 6 * (non_embedding(size) + vocab * size.width) + attention
