"""A mixture of experts: GPT-2 whose MLPs are each many small ones, of which a router gives every token one.

As in the paper (Allen-Zhu and Li, arXiv 2404.05405, section 9): experts of two matrices with the width between them,
one a token. The router is Switch Transformer's (Fedus et al. 2021, arXiv 2101.03961): the output of the expert counts
by its probability, an expert takes `capacity` times its share of a batch's tokens in training and leaves the rest to
the residual stream, and `balance` times the sum of shares times probabilities is added to the loss. In measuring no
token is left out (the paper: a capacity of 8), so that what one gets doesn't depend on later ones. Experts have no
biases.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from train.architectures.causal_lm import Part
from train.architectures.transformer import NORM_EPS, Transformer
from train.native.form import KernelForm
from train.sizes import Size


class MoE(Transformer):
    """See above."""

    def __init__(
        self, size: Size, vocab: int, *, experts: int = 32, capacity: float = 2.0, balance: float = 0.01
    ) -> None:
        for name, value, allowed in (
            ("experts", experts, 1 <= experts <= 1024),
            ("capacity", capacity, 0 < capacity <= 1024),
            ("balance", balance, 0 <= balance <= 100),
        ):
            if not allowed:
                limits = {"experts": "1 to 1,024", "capacity": "more than 0, at most 1,024", "balance": "0 to 100"}
                raise ValueError(f"{name}: {value} is not allowed with architecture moe; allowed: {limits[name]}")
        form = KernelForm(
            layers=size.layers,
            width=size.width,
            heads=size.heads,
            vocab=vocab,
            norm="layer",
            norm_eps=NORM_EPS,
            mlp="none",
            hidden=0,
            activation="gelu_tanh",
            qkv_bias=True,
            out_bias=True,
            mlp_bias=False,
            tied=True,
        )
        super().__init__(form)
        self.experts = experts
        self.mlp_norms = nn.ModuleList(nn.LayerNorm(size.width, eps=NORM_EPS) for _ in range(size.layers))
        self.mixtures = nn.ModuleList(Mixture(size.width, experts, capacity, balance) for _ in range(size.layers))

    def layer(self, number: int, x: Tensor, own: Tensor, partner: Tensor) -> Tensor:
        """Attention, then the chosen experts."""
        x = self.blocks[number](x, own, partner)
        return x + self.mixtures[number](self.mlp_norms[number](x).flatten(0, 1)).view(x.shape)

    def part(self, name: str) -> Part | None:
        """The kind of the parameter `name`."""
        if name.startswith("mlp_norms."):
            return Part("norm", "vector")
        if name.startswith("mixtures."):
            return Part("router" if "router" in name else "experts", "matrix", residual=name.endswith(".down"))
        return super().part(name)

    def parameter_counts(self) -> dict[str, int]:
        """Trainable parameters by group, in closed form: every expert counts."""
        width, layers = self.size.width, self.size.layers
        counts = super().parameter_counts()
        counts["norm"] += 2 * layers * width
        return counts | {"experts": 2 * layers * self.experts * width**2, "router": layers * self.experts * width}

    @property
    def active_parameters(self) -> int:
        """Parameters that a token passes through: one expert a layer."""
        return sum(self.parameter_counts().values()) - 2 * self.size.layers * (self.experts - 1) * self.size.width**2

    @property
    def non_embedding(self) -> int:
        """Weights of the matrices inside the blocks, of all experts."""
        counts = self.parameter_counts()
        return super().non_embedding + counts["experts"] + counts["router"]

    def flops_per_token(self, context: int) -> int:
        """As the transformer's, with the router and one expert a layer."""
        width, layers = self.size.width, self.size.layers
        return super().flops_per_token(context) - 12 * layers * (self.experts - 1) * width**2


class Mixture(nn.Module):
    """Experts down(gelu(up(x))), and the router that gives each row of x [n, width] to one of them."""

    def __init__(self, width: int, experts: int, capacity: float, balance: float) -> None:
        super().__init__()
        self.capacity, self.balance = capacity, balance
        self.router = nn.Linear(width, experts, bias=False)
        self.up = nn.Parameter(torch.zeros(experts, width, width))  # [expert, out, in]
        self.down = nn.Parameter(torch.zeros(experts, width, width))

    def forward(self, x: Float[Tensor, "n width"]) -> Float[Tensor, "n width"]:
        """What the experts add."""
        n, experts = len(x), len(self.up)
        chances = self.router(x).softmax(dim=-1)  # [n, experts]
        gate, chosen = chances.max(dim=-1)
        counts = torch.bincount(chosen, minlength=experts)
        limit = math.ceil(self.capacity * n / experts) if self.training else int(counts.max())
        order = chosen.argsort(stable=True)  # expert by expert, each from the first token to the last
        place = torch.arange(n, device=x.device) - (counts.cumsum(0) - counts)[chosen[order]]
        order, place = order[place < limit], place[place < limit]
        slots = x.new_zeros(experts, limit, x.shape[1]).index_put((chosen[order], place), x[order])
        made = F.gelu(slots @ self.up.mT, approximate="tanh") @ self.down.mT
        out = made[chosen[order], place] * gate[order, None]
        added = out.new_zeros(x.shape).index_put((order,), out)
        if self.training and self.balance:
            added = _AlsoMinimize.apply(added, self.balance * experts * (counts / n * chances.mean(dim=0)).sum())
        return added


class _AlsoMinimize(torch.autograd.Function):
    """Hands x on, and has `loss` minimized beside the mean loss of the batch."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, loss: Tensor) -> Tensor:
        """x itself."""
        ctx.like = loss.new_ones(loss.shape)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient of x, and 1 for the loss."""
        return grads[0], ctx.like
