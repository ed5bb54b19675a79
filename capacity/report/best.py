"""The table of the best R over N for documents.

In: the frame of `capacity.store.records.load`. Out: text in Markdown.
"""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from capacity.laws.capacity import best_over_people, over_seeds
from capacity.laws.groups import kinds, phrase
from capacity.report.markdown import table
from capacity.store.options import deciding
from capacity.store.records import by_precision


def best_table(frame: pd.DataFrame) -> str:
    """One line a size and kind of run: the largest R over N, and R of the same runs after quantization.

    ≥ marks a lower bound: the best N is the smallest or the largest that was tried.
    """
    kind = kinds(frame, deciding(frame))
    means = over_seeds(frame, kind)
    best = best_over_people(frame, kind)
    schemes = sorted(set(frame["quantization"]) - {"none"}, key=by_precision)
    lines = []
    for _, row in best[best["quantization"] == "none"].iterrows():
        same = means[_same_in(means, row, [*kind, "size"])]
        of_best = same[same["people"] == row["people"]].set_index("quantization")["R"]
        tried = ", ".join(f"{N:,}" for N in sorted(set(same["people"])))
        lines.append(
            {
                **{_heading(name): _cell(name, row[name]) for name in kind},
                **{"size": row["size"], "P": f"{row['params']:,}"},
                "best R": ("" if row["bracketed"] else "≥ ") + f"**{row['R']:.2f}**",
                "N": f"{row['people']:,}",
                **{name: _number(of_best.get(name, math.nan)) for name in schemes},
                "N tried": tried,
            }
        )
    return table(pd.DataFrame(lines))


def _same_in(frame: pd.DataFrame, row: "pd.Series[Any]", names: Sequence[str]) -> "pd.Series[bool]":
    """Which rows of a frame equal a row in some columns; missing values are equal."""
    same = pd.Series(True, index=frame.index)
    for name in names:
        same &= frame[name].isna() if pd.isna(row[name]) else frame[name] == row[name]
    return same


def _heading(name: str) -> str:
    return "data" if name == "dataset" else name


def _cell(name: str, value: Any) -> str:
    if pd.isna(value):
        return "-"
    return phrase(name, value).removeprefix(f"{name} ").removesuffix(" exposures").removesuffix(" junk")


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"
