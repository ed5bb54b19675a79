"""A pre-norm transformer of a given form: token windows come in, hidden states after the last norm go out.

The form (`KernelForm`) says which norm, MLP, biases and head; the parameters stand in the form's order. The product of
the output head lives in train/head.py. An architecture names its form, and what Hugging Face calls it.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from train.architectures.causal_lm import CausalLM, Part
from train.architectures.rotary import Rotate, qkv_rotation
from train.counts import palm_flops
from train.native.form import KernelForm
from train.sizes import Size

NORM_EPS = 1e-5

_GROUPS = {
    "embedding": "embedding",
    **dict.fromkeys(("qkv", "attention_out"), "attention"),
    **dict.fromkeys(("mlp_gate", "mlp_in", "mlp_out"), "mlp"),
    **dict.fromkeys(("attention_norm", "mlp_norm", "norm"), "norm"),
    "head": "head",
}


def gated_hidden(width: int) -> int:
    """Features inside an MLP of three matrices that has the weights of one of two and of four times the width.

    8/3 of the width, rounded to a multiple of 16 (the vectors of the kernels).
    """
    return max(16, 16 * round(width / 6))


class Block(nn.Module):
    """Attention, then MLP: each reads the normed residual stream [batch, time, width] and adds to it."""

    def __init__(self, form: KernelForm) -> None:
        super().__init__()
        width, hidden = form.width, form.hidden
        self.form, self.head_width = form, form.width // form.heads
        self.attention_norm = _norm(form)
        self.qkv = nn.Linear(width, 3 * width, bias=form.qkv_bias)  # rows are [heads, 3, head_width]
        self.attention_out = nn.Linear(width, width, bias=form.out_bias)
        if form.mlp == "none":
            return
        self.mlp_norm = _norm(form)
        if form.mlp == "gated":
            self.mlp_gate = nn.Linear(width, hidden, bias=form.mlp_bias)
        self.mlp_in = nn.Linear(width, hidden, bias=form.mlp_bias)
        self.mlp_out = nn.Linear(hidden, width, bias=form.mlp_bias)

    def attention(self, x: Tensor, own: Tensor, partner: Tensor) -> Tensor:
        """Causal self-attention of x [batch, time, width]."""
        batch, time, width = x.shape
        qkv = self.qkv(x)
        rotate = Rotate.turn if torch.compiler.is_compiling() else Rotate.apply
        qkv = rotate(qkv, own.to(qkv.dtype), partner.to(qkv.dtype), self.head_width)
        # Unbound before the transposition, so that the backward pass stacks into one contiguous gradient.
        parts = qkv.view(batch, time, self.form.heads, 3, self.head_width).unbind(dim=3)
        q, k, v = (part.transpose(1, 2) for part in parts)  # [batch, heads, time, head_width]
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.attention_out(mixed.transpose(1, 2).reshape(batch, time, width))

    def mlp(self, x: Tensor) -> Tensor:
        """down(act(up(x))), or down(act(gate(x)) · up(x)) (Shazeer 2020, arXiv 2002.05202)."""
        if self.form.mlp == "gated":
            return self.mlp_out(self._activation(self.mlp_gate(x)) * self.mlp_in(x))
        return self.mlp_out(self._activation(self.mlp_in(x)))

    def _activation(self, x: Tensor) -> Tensor:
        return F.silu(x) if self.form.activation == "silu" else F.gelu(x, approximate="tanh")

    def forward(self, x: Tensor, own: Tensor, partner: Tensor) -> Tensor:
        """One layer on the residual stream [batch, time, width]."""
        x = x + self.attention(self.attention_norm(x), own, partner)
        return x if self.form.mlp == "none" else x + self.mlp(self.mlp_norm(x))


def _norm(form: KernelForm) -> nn.Module:
    kind = nn.LayerNorm if form.norm == "layer" else nn.RMSNorm
    return kind(form.width, eps=form.norm_eps)


class Transformer(CausalLM):
    """Embedding, blocks, a last norm, and a head of its own unless it is tied to the embedding."""

    own: Tensor
    partner: Tensor

    def __init__(self, form: KernelForm) -> None:
        super().__init__(Size(form.layers, form.width, form.heads), form.vocab)
        self.form = form
        self.embedding = nn.Embedding(form.vocab, form.width)
        self.blocks = nn.ModuleList(Block(form) for _ in range(form.layers))
        self.norm = _norm(form)
        if not form.tied:
            self.head = nn.Linear(form.width, form.vocab, bias=False)
        for name in ("own", "partner"):  # of no positions; `grow_rotation` has them as long as it takes
            self.register_buffer(name, torch.empty(0, 3 * form.width), persistent=False)

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
        for number in range(len(self.blocks)):
            x = self.layer(number, x, own, partner)
        return self.norm(x)

    def layer(self, number: int, x: Tensor, own: Tensor, partner: Tensor) -> Tensor:
        """One layer on the residual stream [batch, time, width]."""
        added: Tensor = self.blocks[number](x, own, partner)
        return added

    @property
    def head_weight(self) -> Tensor:
        """The matrix of the output head, [vocab, width]."""
        return self.embedding.weight if self.form.tied else self.head.weight

    def part(self, name: str) -> Part | None:
        """The kind of the parameter `name`, by the module that holds it."""
        module, kind = name.split(".")[-2:]
        if (group := _GROUPS.get(module)) is None:
            return None
        if kind == "bias" or group == "norm":
            return Part(group, "vector")
        if group in ("embedding", "head"):
            return Part(group, "table")
        return Part(group, "qkv" if module == "qkv" else "matrix", residual=module in ("attention_out", "mlp_out"))

    def parameter_counts(self) -> dict[str, int]:
        """Trainable parameters by group, in closed form; a tied embedding counts once."""
        form, layers, width = self.form, self.form.layers, self.form.width
        matrices = _mlp_matrices(form)
        mlp = matrices * width * form.hidden + form.mlp_bias * ((matrices - 1) * form.hidden + width)
        norms = (1 if form.mlp == "none" else 2) * layers + 1
        counts = {
            "embedding": form.vocab * width,
            "attention": layers * (4 * width**2 + 3 * width * form.qkv_bias + width * form.out_bias),
            "mlp": layers * mlp if matrices else 0,
            "norm": norms * width * (2 if form.norm == "layer" else 1),
        }
        return counts if form.tied else counts | {"head": form.vocab * width}

    @property
    def non_embedding(self) -> int:
        """Kaplan's N in closed form: 12·layers·width² with an MLP of two matrices of four times the width."""
        form = self.form
        return form.layers * (4 * form.width**2 + _mlp_matrices(form) * form.width * form.hidden)

    def flops_per_token(self, context: int) -> int:
        """Floating-point operations to train on one token, forward and backward.

        PaLM's count, with the embedding counted once, as the head.
        """
        size = self.size
        weights = self.non_embedding + self.vocab * size.width
        return palm_flops(weights, size.layers, size.heads, size.head_width, context)


def _mlp_matrices(form: KernelForm) -> int:
    return {"plain": 2, "gated": 3, "none": 0}[form.mlp]
