"""Quantized copies of a trained model, weights only, by torchao.

In come any model whose matrices are weights of `nn.Linear`, `nn.Embedding` or GPT-2's Conv1D (ours and its Hugging
Face export alike) and the name of a scheme. Out come a copy in which torchao has quantized the matrices and dequantized
them again, and the number of bits that the quantized model takes. As activations stay as they are, the
copy computes what the quantized model computes, and any evaluation runs on it unchanged.

Scales and rounding are torchao's defaults: symmetric, one scale for each output channel (row), or for each
group of neighbors in a row. Those of integers are max|w| / (2^(b-1) - 1/2), so that the integers use their
whole range.
"""

import copy
import re
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeVar

import torch
from pydantic import BeforeValidator
from torch import Tensor, nn

from eval.hf import vocabulary_tables
from eval.quiet import quiet

# int1 is missing: torchao's symmetric rounding maps every weight to 0 there.
INTEGER_BITS = {"int8": 8, "int7": 7, "int6": 6, "int5": 5, "int4": 4, "int3": 3, "int2": 2}
SCHEMES = ("none", "bf16", "fp8", *INTEGER_BITS)


Model = TypeVar("Model", bound=nn.Module)


class Scheme(NamedTuple):
    """One of `SCHEMES`, and how many weights share a scale: None for all of an output channel."""

    name: str
    group: int | None


@dataclass(frozen=True)
class QuantizedSize:
    """What a quantized model takes, counted from the tensors that torchao makes.

    Attributes:
        quantized_weights: how many weights were quantized.
        weight_bits: bits of their quantized values, at the width of the scheme.
        scale_bits: bits of the scales and zero points that go with them.
        other_bits: bits of the parameters left as they were.
    """

    quantized_weights: int
    weight_bits: int
    scale_bits: int
    other_bits: int

    @property
    def total_bits(self) -> int:
        """All parameters together, in bits."""
        return self.weight_bits + self.scale_bits + self.other_bits


def parse_scheme(text: str) -> Scheme:
    """Read a scheme with its group size, such as "int4" or "int4-g32".

    Raises:
        ValueError: no such scheme, or a group of a scheme that has no scales.
    """
    match = re.fullmatch(r"([a-z0-9]+)(?:-g([1-9][0-9]*))?", text)
    if match is None or match[1] not in SCHEMES:
        raise ValueError(f"scheme = {text!r}: allowed is one of {', '.join(SCHEMES)}, or with groups, as in int4-g32")
    scheme = Scheme(match[1], int(match[2]) if match[2] else None)
    _check_scheme(*scheme)
    return scheme


def _scheme(text: object) -> str:
    try:
        scheme = parse_scheme(str(text))
    except ValueError as error:
        raise ValueError("must be " + (str(error).partition("allowed is ")[2] or str(error))) from None
    return scheme.name if scheme.group is None else f"{scheme.name}-g{scheme.group}"


SchemeText = Annotated[str, BeforeValidator(_scheme)]
"""A scheme in a configuration, as `parse_scheme` reads it."""


def quantize(
    model: Model, scheme: str, *, embedding: bool, group: int | None = None, tokens_in_use: int | None = None
) -> tuple[Model, QuantizedSize]:
    """Copy a model with its matrices quantized and dequantized again.

    The matrices are the weights of all `nn.Linear` and GPT-2's Conv1D, and of all `nn.Embedding` if `embedding`.
    A tied weight is one weight, and it is an embedding: without `embedding` the head that shares it stays as
    it is. Quantization starts from float32 whatever the dtype of the model, because torchao bounds scales
    from below by the dtype's rounding error, which is too coarse for bfloat16; the values go back into
    the original dtype.

    Args:
        model: left as it is.
        scheme: one of `SCHEMES`: "none" (a plain copy), "bf16" (a cast), "fp8" (e4m3), "int8" ... "int2".
        embedding: whether embeddings are quantized too, one scale per token (or more with groups).
        group: weights that share a scale; None for all of an output channel.
        tokens_in_use: rows of the vocabulary (of a model in Hugging Face form) that count in the size; None for all.

    Returns:
        The copy, on the same device and in the same dtypes, and its size.

    Raises:
        ValueError: an unknown scheme, a group that doesn't divide the width of a matrix, a parameter of two
            or more dimensions that is in neither kind of module, or what torchao can't run on this machine.
    """
    _check_scheme(scheme, group)
    quantized_copy = copy.deepcopy(model)
    names = {p.data_ptr(): name for name, p in quantized_copy.named_parameters()}  # tied ones once
    weights = [] if scheme == "none" else _matrices(quantized_copy, embedding)
    for weight in weights:
        width = weight.shape[1]
        if group is not None and width % group:
            name = names[weight.data_ptr()]
            raise ValueError(
                f"quantize: {scheme}-g{group} is not allowed; groups must divide {width}, the width of {name}"
            )
    assert sum(weight.numel() for weight in weights) == (0 if scheme == "none" else _expected_weights(model, embedding))
    tables = {} if tokens_in_use is None else vocabulary_tables(quantized_copy)

    def counted(tensor: Tensor, number: int) -> int:
        """Of a number that all rows have an equal part in, that of the rows that count."""
        if tokens_in_use is None or tensor.data_ptr() not in tables:
            return number
        return number * tokens_in_use // len(tensor)

    quantized_weights = weight_bits = scale_bits = 0
    with torch.no_grad():
        for weight in weights:
            values, value_bits, extra_bits = _round_trip(weight, scheme, group)
            weight.copy_(values)  # in place, so that tied modules keep sharing it, and so do transposed views
            quantized_weights += counted(weight, weight.numel())
            weight_bits += counted(weight, value_bits)
            scale_bits += counted(weight, extra_bits)
    done = {weight.data_ptr() for weight in weights}
    left = [p for p in quantized_copy.parameters() if p.data_ptr() not in done]
    size = QuantizedSize(
        quantized_weights=quantized_weights,
        weight_bits=weight_bits,
        scale_bits=scale_bits,
        other_bits=sum(counted(p, p.numel() * p.element_size() * 8) for p in left),
    )
    return quantized_copy, size


def _matrices(model: nn.Module, embedding: bool) -> list[Tensor]:
    """The matrices [out, in] to quantize, each once, in the order of `model.parameters()`."""
    linear = {id(m.weight) for m in model.modules() if isinstance(m, nn.Linear)}
    turned = {id(m.weight) for m in model.modules() if _is_turned(m)}
    linear |= turned
    table = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    for name, parameter in model.named_parameters():
        if parameter.ndim >= 2 and id(parameter) not in linear | table:
            # left as it is, it would pass for quantized in every table of results
            shape = tuple(parameter.shape)
            raise ValueError(f"{name} has shape {shape}: allowed are matrices of nn.Linear, nn.Embedding, Conv1D")
    wanted = linear | table if embedding else linear - table
    return [p.data.T if id(p) in turned else p.data for p in model.parameters() if id(p) in wanted]


def _is_turned(module: nn.Module) -> bool:
    """Whether it is a linear map with a weight [in, out], as GPT-2's in transformers."""
    return type(module).__name__ == "Conv1D" and type(module).__module__ == "transformers.pytorch_utils"


def _expected_weights(model: nn.Module, embedding: bool) -> int:
    """How many weights there are to quantize, found by the parameters' names instead of by the modules."""
    owners: dict[nn.Parameter, list[nn.Module]] = {}  # a tied parameter has several names and owners
    for name, parameter in model.named_parameters(remove_duplicate=False):
        owners.setdefault(parameter, []).append(model.get_submodule(name.rpartition(".")[0]))
    count = 0
    for parameter, modules in owners.items():
        is_table = any(isinstance(module, nn.Embedding) for module in modules)
        count += parameter.numel() if parameter.ndim == 2 and (embedding or not is_table) else 0
    return count


def _round_trip(weight: Tensor, scheme: str, group: int | None) -> tuple[Tensor, int, int]:
    """Values of a matrix after quantization and back; bits of what is stored for it, and of its scales."""
    if scheme == "bf16":
        return weight.to(torch.bfloat16), weight.numel() * 16, 0
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    linear.weight = nn.Parameter(weight.detach().float(), requires_grad=False)
    with quiet():
        import torchao
    try:
        torchao.quantize_(linear, _config(scheme, group))
        quantized: Any = linear.weight  # one of torchao's tensor subclasses: qdata, scale, perhaps zero_point
        values = quantized.dequantize()
    except (AssertionError, AttributeError, ImportError, NotImplementedError, RuntimeError) as error:
        problem = str(error).partition("\n")[0]
        raise ValueError(
            f"scheme = {scheme!r}: torchao {torchao.__version__} can't run it on {weight.device}: {problem}"
        ) from error
    assert quantized.qdata.shape == weight.shape
    # zero is exact in every scheme, except that torchao's fp8 makes 0/0 of a row of zeros
    values = values.masked_fill(weight == 0, 0)
    bits_each = INTEGER_BITS.get(scheme, quantized.qdata.element_size() * 8)
    scales = [quantized.scale, getattr(quantized, "zero_point", None)]
    scale_bits = sum(tensor.numel() * tensor.element_size() * 8 for tensor in scales if tensor is not None)
    return values, quantized.qdata.numel() * bits_each, scale_bits


def _config(scheme: str, group: int | None) -> Any:
    """The configuration of a scheme in torchao, without its side effect on the compiler's settings."""
    from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig, IntxWeightOnlyConfig
    from torchao.quantization.granularity import PerAxis, PerGroup, PerRow

    if scheme == "fp8":
        granularity = PerRow() if group is None else PerGroup(group)
        return Float8WeightOnlyConfig(granularity=granularity, set_inductor_config=False)
    if scheme == "int8":
        granularity = PerRow() if group is None else PerGroup(group)
        return Int8WeightOnlyConfig(granularity=granularity, set_inductor_config=False)
    granularity = PerAxis(0) if group is None else PerGroup(group)
    return IntxWeightOnlyConfig(weight_dtype=getattr(torch, scheme), granularity=granularity)


def _check_scheme(scheme: str, group: int | None) -> None:
    if scheme not in SCHEMES:
        raise ValueError(f"scheme = {scheme!r}: allowed is one of {', '.join(SCHEMES)}")
    if group is not None and scheme in ("none", "bf16"):
        raise ValueError(f"group = {group}: allowed is no group with scheme {scheme!r}, which has no scales")
    if group is not None and group < 1:
        raise ValueError(f"group = {group}: allowed is at least 1")
