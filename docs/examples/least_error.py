"""Round to nearest with better scales: a quantizer in one file.

Scales that follow from the largest weight of a row leave coarse steps for all the others. Here each scale is, of many
smaller ones too, the one with the least squared error; the few large weights are cut off.

capacity run --quantize int4 least_error:least_error-int4+embedding --sizes 2x48 --people 500
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from eval.quantizers.schemes import Scheme

SHARES = torch.linspace(0.3, 1.0, 71)
"""What is tried: scales as shares of the one that reaches the largest weight."""


def least_error(
    model: nn.Module, matrices: Mapping[str, Tensor], scheme: Scheme, calibration: Callable[[], Sequence[Tensor]]
) -> None:
    """Quantize matrices in place; neither the model nor texts are needed."""
    for weight in matrices.values():
        groups = weight.unflatten(1, (-1, scheme.group or weight.shape[1]))
        weight.copy_(best_values(groups, scheme.value_bits).flatten(1))


def best_values(groups: Tensor, bits: int) -> Tensor:
    """Integers of so many bits times a scale for each group of weights [..., group], with the least squared error."""
    steps = 2 ** (bits - 1)  # integers are -steps ... steps - 1
    largest = groups.abs().amax(dim=-1, keepdim=True) / (steps - 0.5)
    best, least = torch.zeros_like(groups), groups.square().sum(dim=-1, keepdim=True)
    for share in SHARES.tolist():
        scale = share * largest
        values = (groups / scale.clamp(min=1e-30)).round().clamp(-steps, steps - 1) * scale
        error = (values - groups).square().sum(dim=-1, keepdim=True)
        best, least = torch.where(error < least, values, best), torch.minimum(error, least)
    return best
