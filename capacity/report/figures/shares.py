"""R against the share of junk, a line a size; and the same as a share of what is stored without junk."""

import math
from fractions import Fraction

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from capacity.report.figures.runs import Runs
from capacity.report.figures.style import (
    MARKERS,
    R_AXIS,
    SIZE_COLORS,
    bar_keys,
    legend,
    make_panels,
    new_figure,
    seed_bars,
    shades,
)
from capacity.report.table import short_number


def draw(runs: Runs) -> dict[str, Figure]:
    """One figure of runs that have a `setting`, if they have several shares of junk, none among them.

    Each halving of the useful text is one step to the right.
    """
    if "setting" not in runs.frame or "0" not in set(runs.frame["junk"]) or runs.frame["junk"].nunique() < 2:
        return {}
    points = _points(runs.frame)
    figure = new_figure(5.6, 2.9, f"Bits per parameter beside junk: {runs.title}")
    left, right = make_panels(figure, 1, 2).flat
    sizes = list(points.groupby("size", sort=False))
    keys = []
    for (_, rows), color, marker in zip(sizes, shades(SIZE_COLORS, len(sizes)), MARKERS, strict=False):
        left.errorbar(rows["halved"], rows["R"], seed_bars(rows, "R"), fmt=marker, ls="-", color=color, elinewidth=0.8)
        right.plot(rows["halved"], rows["kept"], marker=marker, color=color)
        P, most = rows["params"].iloc[0], rows["most"].iloc[0]
        keys.append(Line2D([], [], color=color, marker=marker, label=f"{short_number(P, 3)} (R max {most:.2g})"))
    ticks = points.drop_duplicates("halved")
    for panel, what in ((left, R_AXIS), (right, "R as a share of that without junk")):
        panel.set(xlabel="Share of junk", ylabel=what, xticks=ticks["halved"], xticklabels=ticks["junk"])
        panel.set_ylim(bottom=0)
    legend(figure, [*keys, *bar_keys(points["seeds"])], "Parameters")
    return {"": figure}


def _points(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean, lowest and highest R over seeds, by size and share; `halved`: how often the useful text is halved."""
    groups = frame.groupby(["size", "junk"])
    points = groups["bits_per_param"].agg(["mean", "min", "max"]).set_axis(["R", "low", "high"], axis=1)
    points = points.assign(seeds=groups["seed"].nunique(), params=groups["params"].mean())
    points = points.assign(most=groups["max_bits_per_param"].mean()).reset_index()
    points["halved"] = [-math.log2(1 - Fraction(str(share))) for share in points["junk"]]
    clean = points[points["junk"] == "0"].set_index("size")["R"]
    points["kept"] = points["R"] / points["size"].map(clean)
    return points.sort_values(["params", "halved"])
