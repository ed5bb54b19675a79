"""The form of a model for the compiled kernels: its shape, which decides the order of its parameters."""

import ctypes
from dataclasses import astuple, dataclass, fields
from typing import Literal, get_args

_NUMBERS = {"layer": 0, "rms": 1, "plain": 0, "gated": 1, "none": 2, "gelu_tanh": 0, "silu": 1}
"""The enumerations of form.h."""
_LARGEST = 1 << 24
"""The largest number in a form: indices in the kernels stay far below 2^31."""


@dataclass(frozen=True)
class KernelForm:
    """A model as the kernels see it; an architecture that they can train gives one (`None` where they cannot).

    The parameters come in this order, weights [out, in], each followed by its bias where it has one: `embedding`
    [vocab, width]; for layer i, each with `blocks.i.` in front, `attention_norm`, `qkv` (rows [heads, 3, head_width]),
    `attention_out`, and unless mlp is none `mlp_norm`, `mlp_gate` (gated alone), `mlp_in` and `mlp_out`; the last
    `norm`; and `head` [vocab, width] if untied. They bear these names, with `.weight` or `.bias` behind, or the kernels
    refuse the model.
    """

    layers: int
    width: int
    heads: int
    vocab: int
    norm: Literal["layer", "rms"]
    """layer: gain and bias; rms: gain alone, no mean is taken off."""
    norm_eps: float
    mlp: Literal["plain", "gated", "none"]
    """plain: out(act(in(x))); gated: out(act(gate(x)) * in(x)); none: no MLP and no norm of its own."""
    hidden: int
    """Features inside the MLP, a multiple of 16; 0 without one."""
    activation: Literal["gelu_tanh", "silu"]
    qkv_bias: bool
    out_bias: bool
    mlp_bias: bool
    tied: bool
    """Whether the embedding is also the output head."""

    def misfit(self) -> str | None:
        """Why the kernels cannot compute this form, in one line; None if they can."""
        needs = "is not allowed with native kernels; must be"
        for field in fields(self):
            value, names = getattr(self, field.name), get_args(field.type)
            if names and value not in names:
                return f"{field.name}: {value!r} {needs} {' or '.join(names)}"
            least = 0 if field.name == "hidden" else 1
            if field.type is int and not (type(value) is int and least <= value <= _LARGEST):
                return f"{field.name}: {value!r} {needs} {least} to {_LARGEST}"
        if self.width % 16:
            return f"width: {self.width} {needs} a multiple of 16"
        if self.width % (2 * self.heads):
            return f"heads: {self.heads} {needs} such that width {self.width} is an even number a head"
        if (self.mlp == "none") != (self.hidden == 0) or self.hidden % 16:
            return f"hidden: {self.hidden} {needs} {'0' if self.mlp == 'none' else 'a positive multiple of 16'}"
        return None


class FormStruct(ctypes.Structure):
    """A form as the kernels take it: the struct of form.h, whose fields have the same order."""

    _fields_ = [
        (field.name, ctypes.c_float if field.name == "norm_eps" else ctypes.c_int32) for field in fields(KernelForm)
    ]


def to_struct(form: KernelForm) -> FormStruct:
    """The same form for the kernels."""
    return FormStruct(*[_NUMBERS[value] if isinstance(value, str) else value for value in astuple(form)])
