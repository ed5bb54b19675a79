"""The protocol of a model: hidden states, a head, and its parameters by group.

In: an architecture's name, a size, a vocabulary and options. Out: a `CausalLM`. A new architecture must define four
things (`forward`, `head_weight`, `part`, `flops_per_token`). All else has a default that is right for any model:
PyTorch trains it, and only this project can read its export.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from train.architectures import ARCHITECTURES
from train.architectures.huggingface import HuggingFaceForm
from train.native.form import KernelForm
from train.sizes import Size

Scheme = Literal["width", "gpt2"]
Role = Literal["table", "matrix", "qkv", "vector"]

_DIMENSIONS = {"table": (2,), "matrix": (2, 3), "qkv": (2,), "vector": (1,)}


class Part(NamedTuple):
    """The kind of a parameter."""

    group: str
    """Where it is counted: embedding, attention, mlp, norm, head, or a group of the architecture's own."""
    role: Role
    """table: a row a token, [vocab, width]; matrix: inside the blocks, [out, in], or a stack of such [n, out, in]; qkv:
    such a matrix that holds three, its rows being [heads, 3, head_width]; vector: gains and biases."""
    residual: bool = False
    """Whether its product is added to the residual stream."""


class Matrix(NamedTuple):
    """A matrix inside the blocks."""

    parameter: nn.Parameter
    qkv_heads: int
    """Heads of a fused q, k and v; 0 for other matrices."""


@dataclass(frozen=True)
class ParameterGroups:
    """All parameters of a model, each once, in the model's order, as optimizers tell them apart."""

    tables: list[nn.Parameter]
    matrices: list[Matrix]
    vectors: list[nn.Parameter]


class CausalLM(nn.Module, ABC):
    """A model without the product of its head: the logits are `model(tokens) @ model.head_weight.T`.

    Its parameters hold PyTorch's defaults until `initialize` is called. Any length of window works.
    """

    def __init__(self, size: Size, vocab: int) -> None:
        super().__init__()
        if vocab < 1:
            raise ValueError(f"vocab: {vocab} is not allowed; allowed: at least 1")
        self.size, self.vocab = size, vocab

    @abstractmethod
    def forward(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time width"]:
        """Hidden states as the head takes them; position t sees tokens 0..t."""

    @property
    @abstractmethod
    def head_weight(self) -> Tensor:
        """The matrix of the output head, [vocab, width]: the embedding's where they are tied."""

    @abstractmethod
    def part(self, name: str) -> Part | None:
        """The kind of the parameter `name`; None for a name that the architecture does not know."""

    @abstractmethod
    def flops_per_token(self, context: int) -> int:
        """Floating-point operations to train on one token of a window of `context` tokens, forward and backward."""

    def grow_rotation(self, time: int) -> None:
        """Extend tables over positions, if there are any, to windows of `time` tokens."""

    def parts(self) -> dict[str, Part]:
        """The kind of every parameter by name. Raises ValueError for one without a kind, or with another shape."""
        found = {}
        for name, parameter in self.named_parameters():
            part = self.part(name)
            if part is None:
                raise ValueError(f"{name}: belongs to no group; {type(self).__name__}.part must say what it is")
            if parameter.ndim not in (allowed := _DIMENSIONS[part.role]):
                numbers = " or ".join(map(str, allowed))
                shape = list(parameter.shape)
                raise ValueError(
                    f"{name}: shape {shape} is not allowed for a {part.role}; must have {numbers} dimensions"
                )
            found[name] = part
        return found

    def parameter_counts(self) -> dict[str, int]:
        """Trainable parameters by group; a tied embedding counts once."""
        return count_parameters(self)

    @property
    def active_parameters(self) -> int:
        """Parameters that a token passes through: all of them, unless the architecture chooses among experts."""
        return sum(self.parameter_counts().values())

    @property
    def non_embedding(self) -> int:
        """Kaplan's N (2020, arXiv 2001.08361, table 1): weights of the matrices inside the blocks, without biases."""
        parts = self.parts()
        return sum(p.numel() for name, p in self.named_parameters() if parts[name].role in ("matrix", "qkv"))

    def parameter_groups(self) -> ParameterGroups:
        """The parameters as optimizers tell them apart. Raises ValueError as `parts` does."""
        groups = ParameterGroups([], [], [])
        for name, part in self.parts().items():
            parameter = self.get_parameter(name)
            if part.role == "table":
                groups.tables.append(parameter)
            elif part.role == "vector":
                groups.vectors.append(parameter)
            else:
                groups.matrices.append(Matrix(parameter, self.size.heads if part.role == "qkv" else 0))
        return groups

    @torch.no_grad()
    def initialize(self, scheme: Scheme, seed: int) -> None:
        """Draw every parameter anew, from `seed` alone and on the CPU: the same numbers on any device.

        `gpt2`: normal with standard deviation 0.02. `width`: 1/sqrt(inputs of the matrix), and 0.1 for the
        embedding, since 0.02 starves narrow models. Both: what adds to the residual stream is scaled by
        1/sqrt(2·layers) (GPT-2), biases are 0, gains of norms 1.
        """
        generator = torch.Generator("cpu").manual_seed(seed)
        for name, part in self.parts().items():
            parameter = self.get_parameter(name)
            if part.role == "vector":
                parameter.fill_(1.0 if part.group == "norm" and name.endswith("weight") else 0.0)
                continue
            std = 0.02 if scheme == "gpt2" else 0.1 if part.group == "embedding" else parameter.shape[-1] ** -0.5
            std = std * (2 * self.size.layers) ** -0.5 if part.residual else std
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)

    def kernel_form(self) -> KernelForm | None:
        """The model as the compiled kernels see it; None: PyTorch trains it."""
        return None

    def huggingface(self) -> HuggingFaceForm | None:
        """The class of transformers' that computes the same; None: there is none."""
        return None


def count_parameters(model: CausalLM) -> dict[str, int]:
    """Trainable parameters by group, counted in the model's own tensors."""
    counts: dict[str, int] = {}
    for name, part in model.parts().items():
        counts[part.group] = counts.get(part.group, 0) + model.get_parameter(name).numel()
    return counts


def make_model(architecture: str, size: Size, vocab: int, options: Mapping[str, Any] = {}) -> CausalLM:
    """A model whose parameters hold anything.

    Raises:
        ValueError: no such architecture, an option that it does not take, or a class that defines less than a
            `CausalLM` must, or whose counts are not those of its parameters.

    """
    given = changed_options(architecture, options)
    made = ARCHITECTURES[architecture]
    if missing := sorted(getattr(made, "__abstractmethods__", ())):
        raise ValueError(f"architecture: {architecture!r} lacks {', '.join(missing)}; see train/architectures")
    try:
        inspect.signature(made).bind(size, vocab, **given)
    except TypeError as error:
        raise ValueError(f"architecture: {architecture!r} cannot be made from size and vocabulary ({error})") from None
    model = made(size, vocab, **given)
    if not isinstance(model, CausalLM):
        raise ValueError(f"architecture: {architecture!r} makes no CausalLM; see train/architectures")
    counts, actual = model.parameter_counts(), count_parameters(model)
    if {group: count for group, count in counts.items() if count} != actual:
        raise ValueError(f"architecture: {architecture!r} counts {counts}, but its parameters are {actual}")
    return model


def outline(architecture: str, size: Size, vocab: int, options: Mapping[str, Any] = {}) -> CausalLM:
    """A model without memory for its parameters, to be counted. Raises ValueError as `make_model` does."""
    with torch.device("meta"), _NoValues():
        return make_model(architecture, size, vocab, options)


class _NoValues(TorchFunctionMode):
    """Random numbers are not drawn where there is no memory for them: to do so PyTorch imports its compiler (2 s)."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What `func` returns, or the tensor that it would fill."""
        given = kwargs or {}
        filled = args[0] if args else given.get("tensor")
        if getattr(func, "__name__", "") in ("normal_", "uniform_") and isinstance(filled, Tensor) and filled.is_meta:
            return filled
        return func(*args, **given)


def takes(architecture: str, option: str) -> bool:
    """Whether an architecture has an option. Raises ValueError if there is no such architecture."""
    defaults, takes_all = _defaults(architecture)
    return takes_all or option in defaults


def changed_options(architecture: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that differ from the architecture's defaults. Raises ValueError for options that it does not take."""
    defaults, takes_all = _defaults(architecture)
    for name, value in options.items():
        if name not in defaults and not takes_all:
            allowed = f"its options are {', '.join(defaults)}" if defaults else "it has no options"
        elif not _may_replace(value, defaults.get(name)):
            allowed = f"must be of type {type(defaults[name]).__name__}"
        else:
            continue
        raise ValueError(f"{name}: {value!r} is not allowed with architecture {architecture}; {allowed}")
    return {name: value for name, value in options.items() if name not in defaults or defaults[name] != value}


def _defaults(architecture: str) -> tuple[dict[str, Any], bool]:
    """The defaults of an architecture's options, and whether it takes any option."""
    made = ARCHITECTURES[architecture]
    try:
        parameters = inspect.signature(made).parameters.values()
    except (TypeError, ValueError):  # what is built in may have none
        raise ValueError(f"architecture: {architecture!r} is not allowed; must be a subclass of CausalLM") from None
    defaults = {p.name: p.default for p in [*parameters][2:] if p.kind is not inspect.Parameter.VAR_KEYWORD}
    return defaults, len(defaults) < len(parameters) - 2


def _may_replace(value: Any, default: Any) -> bool:
    """Whether a value has the type of a plain default, or is an int in place of a float."""
    plain = isinstance(default, bool | int | float | str)
    return not plain or type(value) is type(default) or (type(value) is int and type(default) is float)
