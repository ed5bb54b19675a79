"""The size of a model as a short text: `12-12` or `2x48` comes in, a `Size` goes out and prints back as it.

The paper (Allen-Zhu and Li, arXiv 2404.05405) writes GPT2-l-h for l layers and h heads of width 64. Models
below that need narrower heads, so `LxW` and `LxWxH` name the width itself.
"""

import re
from dataclasses import dataclass

PAPER_HEAD_WIDTH = 64  # GPT2-l-h of the paper has width 64·h
SMALL_HEAD_WIDTH = 16  # heads of `LxW`, which names no number of heads

MOST_LAYERS, MOST_WIDTH = 1000, 1 << 20

ALLOWED = (
    "layers-heads such as 12-12 (width 64 per head), LxW such as 2x48 (width a multiple of 16) "
    "or LxWxH such as 2x48x3 (width divisible by heads, head width even), "
    f"of at most {MOST_LAYERS:,} layers and width {MOST_WIDTH:,}"
)


@dataclass(frozen=True)
class Size:
    """Layers, width (features of the residual stream) and attention heads of a model.

    Raises:
        ValueError: a number below 1 or too large, a width that the heads do not divide, or an odd head width (the
            rotary positions turn pairs of features).

    """

    layers: int
    width: int
    heads: int

    def __post_init__(self) -> None:
        numbers = (self.layers, self.width, self.heads)
        large = self.layers > MOST_LAYERS or self.width > MOST_WIDTH
        if min(numbers) < 1 or large or self.width % (2 * self.heads):
            raise ValueError(f"size: {'x'.join(map(str, numbers))} is not allowed; allowed: {ALLOWED}")

    @property
    def head_width(self) -> int:
        """Features of one attention head."""
        return self.width // self.heads

    def __str__(self) -> str:
        if self.head_width == PAPER_HEAD_WIDTH:
            return f"{self.layers}-{self.heads}"
        if self.head_width == SMALL_HEAD_WIDTH:
            return f"{self.layers}x{self.width}"
        return f"{self.layers}x{self.width}x{self.heads}"


def parse_size(text: str) -> Size:
    """Read `l-h`, `LxW` or `LxWxH`; `parse_size(str(size)) == size` for every size.

    Raises:
        ValueError: the text has none of these forms, or its numbers do not fit together.

    """
    if match := re.fullmatch(r"([0-9]{1,9})-([0-9]{1,9})", text):
        layers, heads = (int(number) for number in match.groups())
        return Size(layers, PAPER_HEAD_WIDTH * heads, heads)
    match = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})(?:x([0-9]{1,9}))?", text)
    if match is None or (match[3] is None and int(match[2]) % SMALL_HEAD_WIDTH):
        raise ValueError(f"size: {text!r} is not allowed; allowed: {ALLOWED}")
    layers, width = int(match[1]), int(match[2])
    return Size(layers, width, width // SMALL_HEAD_WIDTH if match[3] is None else int(match[3]))
