"""minGRU: an architecture in one file. A recurrence takes the place of attention, and of positions.

Feng et al. 2024, arXiv 2410.01201: h_t = (1 - z_t) h_{t-1} + z_t c_t, where z_t = sigmoid(Z x_t) and c_t = C x_t.

capacity run --architecture mingru:MinGRU --architecture-options '{gain: 0.5}' --sizes 2x48 --people 500
"""

import torch
from torch import Tensor, nn

from train.architectures.causal_lm import CausalLM, Part
from train.sizes import Size


class MinGRU(CausalLM):
    """Layers that each add a gated memory of the normed residual stream. gain: with which they add it."""

    def __init__(self, size: Size, vocab: int, *, gain: float = 1.0) -> None:
        super().__init__(size, vocab)
        if gain <= 0:
            raise ValueError(f"gain: {gain} is not allowed; must be greater than 0")
        self.gain = gain
        self.embedding = nn.Embedding(vocab, size.width)
        self.layers = nn.ModuleList(Layer(size.width) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Hidden states [batch, time, width]."""
        x = self.embedding(tokens)
        for layer in self.layers:
            x = x + self.gain * layer(x)
        return self.norm(x)

    @property
    def head_weight(self) -> Tensor:
        """The embedding is also the output head."""
        return self.embedding.weight

    def part(self, name: str) -> Part | None:
        """What the parameter `name` is."""
        if name == "embedding.weight":
            return Part("embedding", "table")
        if "norm." in name:
            return Part("norm", "vector")
        return Part("recurrence", "matrix", residual=name.endswith("out.weight"))

    def flops_per_token(self, context: int) -> int:
        """Six for each weight of a matrix product, the embedding's as the head included."""
        return 6 * (self.non_embedding + self.vocab * self.size.width)


class Layer(nn.Module):
    """One recurrence, of as many features as the stream."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.update, self.candidate, self.out = (nn.Linear(width, width, bias=False) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """x [batch, time, width], from the first position to the last."""
        x = self.norm(x)
        z, c = self.update(x).sigmoid(), self.candidate(x)
        h, states = torch.zeros_like(x[:, 0]), []
        for t in range(x.shape[1]):
            h = h + z[:, t] * (c[:, t] - h)
            states.append(h)
        return self.out(torch.stack(states, dim=1))
