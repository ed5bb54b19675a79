"""Passes against parameters: the share known against exposures, and the fewest exposures against the size."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from capacity.laws.passes import PassesLaw, fewest_exposures, fit_passes, known_shares
from capacity.report.figures.runs import Runs
from capacity.report.figures.style import (
    MARKERS,
    SIZE_COLORS,
    bar_keys,
    legend,
    limits,
    logarithmic,
    make_panels,
    new_figure,
    seed_bars,
    shades,
)
from capacity.report.table import short_number

_SHARES: dict[float, Any] = {0.9: "-", 0.99: ":"}


def draw(runs: Runs) -> dict[str, Figure]:
    """One figure, if there are several sizes and exposures of the same people.

    Left: the share of all bits that is known, a line a size; dashed, the fitted law. Right: the fewest exposures that
    it takes (IsoBits), against parameters a bit.
    """
    shares = known_shares(runs.plain) if len(runs.plain) else runs.plain
    if len(shares) < 5 or shares["size"].nunique() < 2 or runs.plain["people"].nunique() > 1:
        return {}
    law = fit_passes(*(np.asarray(shares[name], dtype=float) for name in ("x", "exposures", "share")))
    figure = new_figure(6.2, 2.9, f"Passes against parameters: {runs.title}")
    left, right = make_panels(figure, 1, 2).flat
    sizes = list(shares.groupby("size", sort=False))
    looks = list(zip(shades(SIZE_COLORS, len(sizes)), MARKERS, strict=False))
    keys = []
    for (_, rows), (color, marker) in zip(sizes, looks, strict=True):
        _curve(left, rows, law, color, marker)
        name = f"{short_number(rows['params'].iloc[0], 3)} ({rows['x'].iloc[0]:.2g} a bit)"
        keys.append(Line2D([], [], color=color, marker=marker, label=name))
    logarithmic(left.xaxis, *limits(shares["exposures"], 1.2))
    left.set(xlabel="Exposures", ylabel="Share of all bits that is known", ylim=(-0.02, 1.02))
    _frontier(right, sizes, law)
    keys.append(Line2D([], [], color="0.4", linestyle="--", label="fitted law"))
    keys += [Line2D([], [], color="0.2", linestyle=look, label=f"{share:.0%} known") for share, look in _SHARES.items()]
    legend(figure, [*keys, *bar_keys(shares["seeds"])], "Parameters")
    return {"": figure}


def _curve(axes: Axes, rows: pd.DataFrame, law: PassesLaw, color: Any, marker: str) -> None:
    axes.errorbar(rows["exposures"], rows["share"], seed_bars(rows, "share"), fmt=marker, color=color, elinewidth=0.8)
    line = np.geomspace(rows["exposures"].min(), rows["exposures"].max(), 100)
    axes.plot(line, law.share(np.full(100, rows["x"].iloc[0]), line), "--", color=color, linewidth=0.8)


def _frontier(axes: Axes, sizes: Sequence[tuple[Any, pd.DataFrame]], law: PassesLaw) -> None:
    x = [rows["x"].iloc[0] for _, rows in sizes]
    tried = np.geomspace(1, 1e4, 2000)
    for wanted, look in _SHARES.items():
        fewest = [fewest_exposures(list(rows["exposures"]), list(rows["share"]), wanted) for _, rows in sizes]
        axes.plot(x, fewest, look, marker="o", color="0.2")
        line = np.geomspace(min(x), max(x), 50)
        fitted = [fewest_exposures(list(tried), list(law.share(np.full(2000, one), tried)), wanted) for one in line]
        axes.plot(line, fitted, "--", color="0.4", linewidth=0.8)
    logarithmic(axes.xaxis, *limits(x, 1.2))
    logarithmic(axes.yaxis, 1.0, 3000.0)
    axes.set(xlabel="Parameters a bit, P / k", ylabel="Fewest exposures")
