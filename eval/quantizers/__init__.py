"""Quantizers by name: the methods that replace a model's weights by values of fewer bits.

In: the name of a method, as in `gptq-int4`, or a user's own as `module:Name`. Out: a `Quantizer`. This file and
`schemes.py` import neither torch nor torchao, so that a program that only reads names starts fast.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from basis.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn

    from eval.quantizers.schemes import Scheme


class Quantizer(Protocol):
    """A function that quantizes matrices of a model in place."""

    def __call__(
        self,
        model: "nn.Module",
        matrices: "Mapping[str, Tensor]",
        scheme: "Scheme",
        calibration: "Callable[[], Sequence[Tensor]]",
    ) -> None:
        """Replace the values of `matrices` by values that `scheme` can store.

        Args:
            model: a copy that may be changed; `model(tokens)` runs it.
            matrices: the weights [out, in] of its linear maps by the names of the parameters. They are views: what
                is written into them is in the model.
            scheme: its `format` and `group` say what can be stored.
            calibration: draws texts of the data set, as batches of token ids [batch, time] on the CPU.

        Raises:
            ValueError: the model or the machine cannot be quantized in this way.
        """
        ...


QUANTIZERS: Registry[Quantizer] = Registry(
    "quantize",
    {
        "rtn": "eval.quantizers.rounding:round_to_nearest",
        "gptq": "eval.quantizers.gptq:gptq",
        "gptq_least": "eval.quantizers.gptq:gptq_least_error",
    },
    needs=("__call__",),
)
"""rtn: round to nearest. gptq: round so that a layer's outputs change least (Frantar et al. 2022, 2210.17323).
gptq_least: gptq with scales by the least squared error, not by the largest weight."""
