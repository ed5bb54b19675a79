"""Names of quantized copies, in `--quantize`, in records and in columns.

In: a text `[METHOD-]FORMAT[-gGROUP][+embedding][+temperature]`. Out: a `Scheme`, or a ValueError that says what is
allowed.

| part | meaning |
| --- | --- |
| METHOD | `rtn` (round to nearest), `gptq`, `gptq_least` (scales by least error), or one's own as `module:Name` |
| FORMAT | `bf16`, `fp8` (e4m3), `int8` ... `int2` |
| `-gGROUP` | so many neighbors in a row share a scale; else all inputs of an output channel do |
| `+embedding` | embedding and output head are quantized, too: by `rtn`, whatever the method |
| `+temperature` | the logits are divided by the best temperature (`eval/temperature.py`) |

A text without METHOD, such as `int4` or `int4-g32`, is short for round to nearest with the embedding:
`rtn-int4+embedding`. `none` is the model as it is.
"""

import re
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator

from eval.quantizers import QUANTIZERS

# int1 is missing: torchao's symmetric rounding maps every weight to 0 there.
INTEGER_BITS = {"int8": 8, "int7": 7, "int6": 6, "int5": 5, "int4": 4, "int3": 3, "int2": 2}
FORMAT_BITS = {"bf16": 16, "fp8": 8, **INTEGER_BITS}
"""Bits of a weight's value by format."""

_TEXT = re.compile(
    r"(?:(?P<method>[\w.:]+)-)?"
    rf"(?P<format>{'|'.join(FORMAT_BITS)})"
    r"(?:-g(?P<group>[1-9][0-9]*))?"
    r"(?P<embedding>\+embedding)?"
    r"(?P<temperature>\+temperature)?"
)


class Scheme(NamedTuple):
    """How a copy of a model is quantized; `str` gives its full name."""

    method: str
    """A name of `QUANTIZERS`."""
    format: str
    """A key of `FORMAT_BITS`, or "none"."""
    group: int | None
    """Weights that share a scale; None: all of an output channel."""
    embedding: bool
    """Whether embedding and output head are also quantized."""
    temperature: bool = False
    """Whether the logits are divided by the best temperature."""

    def __str__(self) -> str:
        if self.format == "none":
            return "none"
        group = "" if self.group is None else f"-g{self.group}"
        added = "+embedding" * self.embedding + "+temperature" * self.temperature
        return f"{self.method}-{self.format}{group}{added}"

    @property
    def value_bits(self) -> int:
        """Bits of a quantized weight, without its part in a scale."""
        return FORMAT_BITS[self.format]

    @property
    def scale_bits(self) -> int:
        """Bits that go with each scale: a float32, and with integers a zero point of 8 bits, as torchao stores them."""
        return {"bf16": 0, "fp8": 32}.get(self.format, 40)


NONE = Scheme("rtn", "none", None, False)
"""The model without quantization."""


def parse_scheme(text: str) -> Scheme:
    """Read the name of a scheme, short or full.

    Raises:
        ValueError: it is not the name of a scheme; the message begins with "must be".
    """
    if text == "none":
        return NONE
    match = _TEXT.fullmatch(text)
    if match is None:
        formats = ", ".join(FORMAT_BITS)
        examples = "gptq-int4, rtn-int4-g32, rtn-int4+embedding, gptq-int4+temperature"
        raise ValueError(f"must be one of none, {formats}, or such as {examples}")
    method = "rtn" if match["method"] is None else QUANTIZERS.check(match["method"])
    embedding = match["embedding"] is not None or match["method"] is None
    group = int(match["group"]) if match["group"] else None
    scheme = Scheme(method, match["format"], group, embedding, match["temperature"] is not None)
    if scheme.group is not None and scheme.scale_bits == 0:
        raise ValueError(f"must be without groups, as {scheme.format} has no scales")
    if scheme.method != "rtn" and scheme.format not in INTEGER_BITS:
        raise ValueError(f"must be rtn with {scheme.format}, or one of {', '.join(INTEGER_BITS)} with {scheme.method}")
    return scheme


def _full_name(text: object) -> str:
    return str(parse_scheme(str(text)))


SchemeText = Annotated[str, BeforeValidator(_full_name)]
"""A scheme in a configuration, kept by its full name."""
