"""Tables in Markdown, and the printed blocks of documents.

A block begins with the line `<!-- print: NAME -->` and ends with `<!-- end -->`.
"""

import re
from collections.abc import Callable

import pandas as pd

_BLOCK = re.compile(r"<!-- print: (?P<name>[^\n]+?) -->\n(?P<body>.*?)<!-- end -->", re.DOTALL)


def table(frame: pd.DataFrame) -> str:
    """A table in Markdown; cells are written as `str` gives them."""
    rows = [list(map(str, frame.columns)), ["---"] * len(frame.columns)]
    rows += [["" if pd.isna(cell) else str(cell) for cell in row] for row in frame.itertuples(index=False)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows) + "\n"


def fill(text: str, block: Callable[[str], str]) -> str:
    """A document with each of its blocks printed anew; `block` returns the text of a block by its name."""
    return _BLOCK.sub(
        lambda found: f"<!-- print: {found['name']} -->\n{block(found['name']).strip()}\n<!-- end -->", text
    )
