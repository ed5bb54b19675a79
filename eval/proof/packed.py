"""A model's weights in eight bits each: int8.safetensors beside model.safetensors.

In: a model of transformers'. Out: a file that holds each matrix as integers with a float32 scale for each row
(NAME and NAME.scale), and all other parameters as they are. Read back, they are the values of the copy that
`rtn-int8+embedding` makes.
"""

from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from basis.files import replace_file
from eval.quantize import matrices, quantize
from eval.quantizers.schemes import parse_scheme

FILE = "int8.safetensors"
SCHEME = "rtn-int8+embedding"
Weights = Literal["float32", "int8"]
_SCALE = ".scale"
_STEPS = 127.5
"""The integer of the largest weight of a row, before rounding: torchao's."""


def write_packed(model: nn.Module, path: Path) -> None:
    """Write the weights of a model in eight bits. Raises OSError, and ValueError as `eval.quantize` does."""
    copy, _ = quantize(model, parse_scheme(SCHEME))
    inner, outer = matrices(copy)
    before = dict(model.named_parameters())
    tensors: dict[str, Tensor] = {}
    for name, parameter in copy.named_parameters():
        if name not in inner | outer:
            tensors[name] = parameter.data
            continue
        scale = _scales(before[name].data, parameter.data)
        integers = (parameter.data / scale).round().clamp(-128, 127).to(torch.int8)
        assert torch.equal(integers * scale, parameter.data), f"{name} is not of int8"
        tensors |= {name: integers, name + _SCALE: scale}
    replace_file(path, save({name: tensor.contiguous() for name, tensor in tensors.items()}))


def _scales(before: Tensor, after: Tensor) -> Tensor:
    """The scale of each row [out, 1]; rows of zeros have 1."""
    largest = before.float().abs().amax(dim=1, keepdim=True)
    return torch.where(largest > 0, largest / _STEPS, 1.0)


def use_weights(model: nn.Module, folder: Path, weights: Weights) -> None:
    """Put weights of a folder into the model that was loaded from it. Raises ValueError."""
    if weights == "float32":
        return
    file = folder / FILE
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"weights: {file} cannot be read ({reason}); capacity publish --weights writes it") from None
    for name, parameter in model.named_parameters():
        found, scale = tensors.pop(name, None), tensors.pop(name + _SCALE, None)
        if found is None or found.shape != parameter.shape:
            raise ValueError(f"weights: {file} is not of this model; {name} is missing or of another shape")
        parameter.data = found.float() if scale is None else found * scale
    if tensors:
        raise ValueError(f"weights: {file} is not of this model; it has {next(iter(tensors))}")
