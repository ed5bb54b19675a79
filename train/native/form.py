"""What the compiled kernels must know of a model: its shape, and the order of its parameters follows from it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class KernelForm:
    """A model as the kernels see it; an architecture that they can train gives one (`None` where they cannot).

    The parameters come in this order, weights [out, in], each followed by its bias where it has one: the embedding
    [vocab, width]; for every layer the attention's norm, `qkv` (rows [heads, 3, head_width]), `out`, and unless mlp is
    `none` the MLP's norm, `gate` (gated alone), `up` and `down`; the last norm; and the head [vocab, width] if untied.
    """

    layers: int
    width: int
    heads: int
    vocab: int
    norm: Literal["layer", "rms"]
    """layer: gain and bias; rms: gain alone, no mean is taken off."""
    norm_eps: float
    mlp: Literal["plain", "gated", "none"]
    """plain: down(act(up(x))); gated: down(act(gate(x)) * up(x)); none: no MLP and no norm of its own."""
    hidden: int
    """Features inside the MLP; 0 without one."""
    activation: Literal["gelu_tanh", "silu"]
    qkv_bias: bool
    out_bias: bool
    mlp_bias: bool
    tied: bool
    """Whether the embedding is also the output head."""

    def misfit(self) -> str | None:
        """Why the kernels cannot compute this form, in one line; None: they can."""
        needs = "is not allowed with native kernels; must be"
        if self.width % 16:
            return f"width: {self.width} {needs} a multiple of 16"
        if self.norm == "rms" or self.mlp != "plain" or self.hidden != 4 * self.width:
            return (
                f"mlp: {self.mlp} of {self.hidden} features with {self.norm} norm {needs} plain, four times the width"
            )
        return None
