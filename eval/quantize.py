"""Quantized copies of a trained model, weights only.

In: a scheme, and any model whose matrices are weights of `nn.Linear`, `nn.Embedding` or GPT-2's Conv1D (ours and its
Hugging Face export alike). Out: a copy in which a quantizer (`eval/quantizers/`) has replaced the matrices by values
that the scheme can store, and the number of bits of the quantized model. Activations are not quantized, so the copy
computes what the quantized model computes, and any evaluation runs on it unchanged.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn

from eval.hf import vocabulary_tables
from eval.quantizers import QUANTIZERS
from eval.quantizers.rounding import round_to_nearest
from eval.quantizers.schemes import NONE, Scheme
from eval.temperature import set_temperature

Model = TypeVar("Model", bound=nn.Module)
Calibration = Callable[[], Sequence[Tensor]]
"""Draws texts of the data set for quantizers that need them: batches of token ids [batch, time] on the CPU."""


@dataclass(frozen=True)
class QuantizedSize:
    """The size of a quantized model.

    Attributes:
        quantized_weights: how many weights were quantized.
        weight_bits: bits of their quantized values, at the width of the format.
        scale_bits: bits of the scales and zero points that go with them.
        other_bits: bits of the parameters left as they were, in the model's own types.
    """

    quantized_weights: int
    weight_bits: int
    scale_bits: int
    other_bits: int

    @property
    def total_bits(self) -> int:
        """All parameters together, in bits."""
        return self.weight_bits + self.scale_bits + self.other_bits


def quantize(
    model: Model, scheme: Scheme, calibration: Calibration = list, *, tokens_in_use: int | None = None
) -> tuple[Model, QuantizedSize]:
    """Copy a model with its matrices quantized and dequantized again.

    The matrices are the weights of all `nn.Linear` and GPT-2's Conv1D. Embedding and output head, tied or not, are
    among them only if the scheme says so, and are rounded to nearest whatever its method.

    Args:
        model: left as it is.
        scheme: method, format, groups, whether the embedding is quantized, and whether there is a temperature.
        calibration: draws texts of the data set, for quantizers that need some.
        tokens_in_use: rows of the vocabulary (of a model in Hugging Face form) that count in the size; None for all.

    Returns:
        The copy in evaluation mode, on the same device and in float32, and its size, in which what is not quantized
        counts as the model holds it.

    Raises:
        ValueError: a group that doesn't divide the width of a matrix, a parameter of two or more dimensions that is
            in no such module, or what the quantizer refuses.
    """
    bytes_each = {name: parameter.element_size() for name, parameter in model.named_parameters()}
    quantized_copy = copy.deepcopy(model).float().eval()
    inner, outer = ({}, {}) if scheme == NONE else matrices(quantized_copy)
    quantized = inner | (outer if scheme.embedding else {})
    for name, weight in quantized.items():
        if weight.shape[1] % (scheme.group or 1):
            raise ValueError(
                f"quantize: {scheme} is not allowed; groups must divide {weight.shape[1]}, the width of {name}"
            )
    if quantized:
        QUANTIZERS[scheme.method](quantized_copy, inner, scheme, calibration)
    if scheme.embedding:
        round_to_nearest(quantized_copy, outer, scheme, calibration)
    if scheme.temperature:
        set_temperature(quantized_copy, calibration())
    return quantized_copy, _size(quantized_copy, quantized, scheme, tokens_in_use, bytes_each)


def matrices(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The matrices [out, in] of a model by name, each once: those inside, and embeddings with the output head.

    They are views of the parameters. Raises ValueError for a parameter that is neither a matrix nor a vector.
    """
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    head = _head_weight(model)
    turned = {id(m.weight) for m in model.modules() if _is_turned(m)}
    linear = {id(m.weight) for m in model.modules() if isinstance(m, nn.Linear)} | turned
    inner, outer = {}, {}
    for name, parameter in model.named_parameters():  # tied ones once
        if id(parameter) in tables or parameter is head:
            outer[name] = parameter.data
        elif id(parameter) in linear:
            inner[name] = parameter.data.T if id(parameter) in turned else parameter.data
        elif parameter.ndim >= 2:  # without quantization, results would call it quantized
            shape = tuple(parameter.shape)
            must = "allowed are matrices of nn.Linear, nn.Embedding, Conv1D"
            raise ValueError(f"quantize: {name} has shape {shape}: {must}")
    return inner, outer


def _head_weight(model: nn.Module) -> Tensor | None:
    """The matrix of the output head, of our models or those of transformers."""
    head = getattr(model, "get_output_embeddings", lambda: None)()
    return getattr(model, "head_weight", None) if head is None else head.weight


def _is_turned(module: nn.Module) -> bool:
    """Whether a module is a linear map with a weight [in, out], as GPT-2's in transformers."""
    return type(module).__name__ == "Conv1D" and type(module).__module__ == "transformers.pytorch_utils"


def _size(
    model: nn.Module,
    quantized: dict[str, Tensor],
    scheme: Scheme,
    tokens_in_use: int | None,
    bytes_each: dict[str, int],
) -> QuantizedSize:
    """The size of a model whose named matrices are stored in a scheme, and its other parameters by their bytes."""
    tables = {} if tokens_in_use is None else vocabulary_tables(model)

    def counted(tensor: Tensor, number: int) -> int:
        """The part of a number that belongs to the rows that count; all rows have equal parts."""
        if tokens_in_use is None or tensor.data_ptr() not in tables:
            return number
        return number * tokens_in_use // len(tensor)

    done = list(quantized.values())
    left = [(p, bytes_each[name]) for name, p in model.named_parameters() if name not in quantized]
    scales = [weight.numel() // (scheme.group or weight.shape[1]) for weight in done]
    return QuantizedSize(
        quantized_weights=sum(counted(w, w.numel()) for w in done),
        weight_bits=sum(counted(w, w.numel() * scheme.value_bits) for w in done),
        scale_bits=sum(counted(w, number * scheme.scale_bits) for w, number in zip(done, scales, strict=True)),
        other_bits=sum(counted(p, p.numel() * size * 8) for p, size in left),
    )
