"""Curves of one kind of run, one for each size."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.lines import Line2D

from capacity.report.figures.style import SIZE_COLORS, shades
from capacity.report.table import short_number


@dataclass(frozen=True)
class Curve:
    """The runs that one curve joins, with what its legend says."""

    label: str
    color: Any
    rows: pd.DataFrame


def by_size(rows: pd.DataFrame) -> list[Curve]:
    """One curve for each size, the smallest model first."""
    groups = sorted(rows.groupby("size"), key=lambda group: group[1]["params"].mean())
    named = zip(shades(SIZE_COLORS, len(groups)), groups, strict=True)
    return [Curve(f"{size} ({_parameters(found)})", color, found) for color, (size, found) in named]


def _parameters(rows: pd.DataFrame) -> str:
    """P of a size; it is several numbers where vocabularies differ."""
    ends = [short_number(P, 3) for P in (rows["params"].min(), rows["params"].max())]
    return "–".join(dict.fromkeys(ends))


def handles(curves: Sequence[Curve], marker: str = "o") -> list[Line2D]:
    """Entries of a legend."""
    return [Line2D([], [], color=curve.color, marker=marker, label=curve.label) for curve in curves]
