"""The columns of the page's table: the options that differ between runs, then what was measured.

In: the frame of `capacity.store.records.load`. Out: `Column`s, and the cells of each run as JSON has them.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from biogen.datasets import title_of
from capacity.laws.groups import differing
from capacity.store.options import deciding
from capacity.store.records import by_precision

_ALWAYS = ("size", "people", "exposures", "seed")
"""Options that have a column even where all runs share them."""
_FIRST, _LAST = ("dataset", "size", "people"), ("exposures", "seed")
"""Options whose columns come first, and those that come last where all runs share them."""
_WORDS = {
    **{"size": "size", "params": "P", "people": "N", "exposures": "exposures", "dataset": "data", "budget": "tokens"},
    **{"bits_per_param": "R", "max_bits_per_param": "R max", "loss_name": "loss name", "loss_value": "loss value"},
    **{"qa_accuracy": "accuracy", "question_accuracy_held_out": "asked", "heldout_loss": "held-out loss"},
}
_MEASURED = (
    *("bits_per_param", "max_bits_per_param", "qa_accuracy", "question_accuracy_held_out"),
    *("loss_name", "loss_value", "heldout_loss"),
)
_SHARES = frozenset({"qa_accuracy", "question_accuracy_held_out"})
_DIGITS = 6
"""Significant digits of numbers in the page."""


@dataclass(frozen=True)
class Column:
    """A column of the table."""

    name: str
    """Of the frame's column, or `R SCHEME` for R of a quantized copy."""
    label: str
    kind: str
    """How cells are written: "text", "count", "number" (two decimals), "option" (a number as it is) or "share"."""
    axis: bool
    """Whether it is an option, which runs can be filtered by."""


def columns_of(frame: pd.DataFrame) -> list[Column]:
    """The columns that tell the runs of a frame apart, and those of what was measured."""
    runs = plain(frame)
    options = list(dict.fromkeys((*_ALWAYS, *differing(runs, deciding(frame)))))
    options.sort(key=_place)
    axes = [Column(name, _label(name), _kind(runs[name]), True) for name in options if runs[name].notna().any()]
    axes.insert(1 + [column.name for column in axes].index("size"), Column("params", "P", "count", False))
    shared = [column for column in axes if column.name in _LAST and runs[column.name].nunique() == 1]
    measured = [
        Column(name, _label(name), "share" if name in _SHARES else "number", False)
        for name in _MEASURED
        if name in runs and runs[name].notna().any()
    ]
    copies = [Column(f"R {scheme}", f"R {scheme}", "number", False) for scheme in schemes_of(frame)]
    return [column for column in axes if column not in shared] + measured + copies + shared


def cells_of(frame: pd.DataFrame, columns: Sequence[Column]) -> list[list[Any]]:
    """The cells of each run, in the order of `plain(frame)`; what is missing is None."""
    runs = plain(frame)
    copies = frame.pivot_table(index="run_id", columns="quantization", values="bits_per_param", aggfunc="first")
    values = []
    for column in columns:
        if column.name.startswith("R "):
            values.append(copies[column.name.removeprefix("R ")].reindex(runs["run_id"]).tolist())
        else:
            values.append(runs[column.name].tolist())
    cells = [[cell(value) for value in row] for row in zip(*values, strict=True)]
    for place, column in enumerate(columns):
        if column.name == "dataset":
            for row in cells:
                row[place] = title_of(str(row[place]))
    return cells


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of models as trained, one a run."""
    return frame[frame["quantization"] == "none"].drop_duplicates("run_id").reset_index(drop=True)


def schemes_of(frame: pd.DataFrame) -> list[str]:
    """The schemes of quantized copies whose R is known, by falling precision."""
    known = frame[frame["bits_per_param"].notna()]
    return sorted(set(known["quantization"]) - {"none"}, key=by_precision)


def as_json(columns: Sequence[Column]) -> list[dict[str, Any]]:
    """The columns as the page's data."""
    return [asdict(column) for column in columns]


def cell(value: Any) -> Any:
    """A value as JSON has it: numbers that are not finite are None, and others have few digits."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is pd.NA or value is None:
        return None
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        value = float(f"{value:.{_DIGITS}g}")
        return int(value) if value.is_integer() and abs(value) < 1e15 else value
    return value if isinstance(value, bool | int | str) else str(value)


def _place(name: str) -> int:
    """Sort key of options: the data first, as it is the first thing to know of a run, then size and N."""
    return _FIRST.index(name) if name in _FIRST else len(_FIRST)


def _label(name: str) -> str:
    return _WORDS.get(name, name.replace("_", " "))


def _kind(values: "pd.Series[Any]") -> str:
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return "text"
    return "count" if values.dropna().mod(1).eq(0).all() else "option"
