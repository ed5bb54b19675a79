"""Tables and marked blocks of Markdown: what programs print into documents."""

import re
from collections.abc import Callable, Mapping

import pandas as pd

_BLOCK = re.compile(r"<!-- print: (?P<name>[\w-]+) -->\n(?P<body>.*?)<!-- end -->", re.DOTALL)


def table(frame: pd.DataFrame) -> str:
    """A table in Markdown; cells are texts already, numbers are written as they are."""
    rows = [list(map(str, frame.columns)), ["---"] * len(frame.columns)]
    rows += [["" if pd.isna(cell) else str(cell) for cell in row] for row in frame.itertuples(index=False)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows) + "\n"


def fill(text: str, blocks: Mapping[str, Callable[[], str]]) -> str:
    """A document with each block `<!-- print: NAME -->` ... `<!-- end -->` printed anew.

    Raises ValueError for a block that no program prints.
    """

    def printed(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in blocks:
            raise ValueError(f"print: {name!r} is not a block; must be one of {', '.join(sorted(blocks))}")
        return f"<!-- print: {name} -->\n{blocks[name]().rstrip()}\n<!-- end -->"

    return _BLOCK.sub(printed, text)


def block_names(text: str) -> list[str]:
    """The names of a document's blocks, in order."""
    return [found["name"] for found in _BLOCK.finditer(text)]
