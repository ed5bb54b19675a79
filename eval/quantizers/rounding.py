"""Round to nearest, by torchao: every weight goes to the nearest value that the format has.

Scales and rounding are torchao's defaults: symmetric, one scale for each output channel (row), or for each group of
neighbors in a row. Those of integers are max|w| / (2^(b-1) - 1/2), so that the integers use their whole range.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from eval.quantizers.schemes import Scheme
from eval.quiet import quiet


@torch.no_grad()
def round_to_nearest(
    model: nn.Module, matrices: Mapping[str, Tensor], scheme: Scheme, calibration: Callable[[], Sequence[Tensor]]
) -> None:
    """A `Quantizer`, which needs neither the rest of the model nor texts."""
    for weight in matrices.values():
        weight.copy_(rounded(weight, scheme))  # in place, so that tied modules keep sharing it


def rounded(weight: Tensor, scheme: Scheme) -> Tensor:
    """The nearest values to a matrix [out, in] that a scheme can store.

    Quantization starts from float32 whatever the dtype of the matrix, because torchao bounds scales from below by the
    dtype's rounding error, which is too coarse for bfloat16.

    Raises:
        ValueError: torchao can't run the scheme on this machine.
    """
    if scheme.format == "bf16":
        return weight.to(torch.bfloat16)
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    linear.weight = nn.Parameter(weight.detach().float(), requires_grad=False)
    with quiet():
        import torchao
    try:
        torchao.quantize_(linear, _config(scheme))
        quantized: Any = linear.weight  # one of torchao's tensor subclasses: qdata, scale, perhaps zero_point
        values: Tensor = quantized.dequantize()
    except (AssertionError, AttributeError, ImportError, NotImplementedError, RuntimeError) as error:
        problem = str(error).partition("\n")[0]
        raise ValueError(
            f"quantize: torchao {torchao.__version__} can't run {scheme} on {weight.device}: {problem}"
        ) from error
    scales = [quantized.scale, getattr(quantized, "zero_point", None)]
    stored = sum(tensor.numel() * tensor.element_size() * 8 for tensor in scales if tensor is not None)
    assert quantized.qdata.shape == weight.shape
    assert stored == quantized.scale.numel() * scheme.scale_bits
    # zero is exact in every scheme, except that torchao's fp8 makes 0/0 of a row of zeros
    return values.masked_fill(weight == 0, 0)


def _config(scheme: Scheme) -> Any:
    """The configuration of a scheme in torchao, without its side effect on the compiler's settings."""
    from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig, IntxWeightOnlyConfig
    from torchao.quantization.granularity import PerAxis, PerGroup, PerRow

    groups = None if scheme.group is None else PerGroup(scheme.group)
    if scheme.format == "fp8":
        return Float8WeightOnlyConfig(granularity=groups or PerRow(), set_inductor_config=False)
    if scheme.format == "int8":
        return Int8WeightOnlyConfig(granularity=groups or PerRow(), set_inductor_config=False)
    return IntxWeightOnlyConfig(weight_dtype=getattr(torch, scheme.format), granularity=groups or PerAxis(0))
