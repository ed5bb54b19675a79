"""Comparison of runs on the same data: R against P, or against N if there is only one size."""

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from capacity.laws.capacity import best_over_people, over_seeds
from capacity.laws.groups import label
from capacity.report.figures.runs import Runs, groups
from capacity.report.figures.style import (
    N_AXIS,
    P_AXIS,
    R_AXIS,
    bar_keys,
    label_outer,
    legend,
    level_lines,
    limits,
    logarithmic,
    looks_of,
    make_panels,
    new_figure,
    seed_bars,
)

DATA = ("dataset", "exposures")
"""Options that decide what there is to learn: R is compared where they are the same, in a panel."""

MOST_PANELS, MOST_LINES = 4, 12


def draw(runs: Runs) -> dict[str, Figure]:
    """One figure, if anything differs besides the data: a line for each kind of run, named by what differs.

    Against P each point is the best R over N; against N the mean R. Bars go from the lowest to the highest seed. If all
    runs have one size and one N, each kind has a row instead of a line.
    """
    data = [name for name in runs.kind if name in DATA]
    others = [name for name in runs.kind if name not in DATA]
    if not others:
        return {}
    x, points = _points(runs)
    panels = [panel for panel in groups(points, data) if len(list(groups(panel[1], others))) > 1][:MOST_PANELS]
    if not panels:
        return {}
    names = [label(values) for values, _ in groups(points, others)]
    looks = looks_of(names)
    if x is None:
        return {"": _rows(runs, panels, others, looks)}
    shown = dict(list(looks.items())[:MOST_LINES])
    columns = min(2, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = new_figure(1.2 + 2.2 * columns, 0.5 + 2.4 * lines, _title(runs, x, len(shown), len(looks)))
    axes = make_panels(figure, lines, columns, sharex=True, sharey=lines == 1)
    for panel, (values, rows) in zip(axes.flat, panels, strict=False):
        for name, (color, marker) in shown.items():
            found = next((found for one, found in groups(rows, others) if label(one) == name), rows.iloc[:0])
            _line(panel, found.sort_values(x), x, color, marker)
        bottom, top = min(0, 1.1 * rows["low"].min()), max(0.01, 1.12 * rows["high"].max())
        panel.set(title=label(values) if values else "", ylim=(bottom, top))
        logarithmic(panel.xaxis, *limits(points[x]))
        level_lines(panel, named=panel in axes[:, -1])
    label_outer(axes, len(panels), P_AXIS if x == "params" else N_AXIS, R_AXIS)
    keys = [Line2D([], [], color=color, marker=marker, label=name) for name, (color, marker) in shown.items()]
    legend(figure, keys + bar_keys(points["seeds"]))
    return {"": figure}


def _points(runs: Runs) -> tuple[str | None, pd.DataFrame]:
    """The column to draw R against, and the points."""
    if runs.plain["size"].nunique() > 1:
        return "params", best_over_people(runs.plain, runs.kind)
    return "people" if runs.plain["people"].nunique() > 1 else None, over_seeds(runs.plain, runs.kind)


def _title(runs: Runs, x: str, shown: int, there: int) -> str:
    several = runs.plain.groupby("size")["people"].nunique().max() > 1
    what = "Best bits per parameter over N" if x == "params" and several else "Bits per parameter"
    part = "" if shown == there else f" ({shown} of {there} kinds of run)"
    return ": ".join(filter(None, (what, runs.title))) + part


def _line(axes: Axes, rows: pd.DataFrame, x: str, color: Any, marker: str) -> None:
    axes.errorbar(rows[x], rows["R"], seed_bars(rows, "R"), fmt=marker, ls="-", color=color, elinewidth=0.8, zorder=2)


def _rows(runs: Runs, panels: list[Any], others: list[str], looks: dict[str, Any]) -> Figure:
    """A row for each kind of run, a panel for each data."""
    figure = new_figure(
        0.4 + 0.058 * max(map(len, looks)) + 2.4 * len(panels),
        0.9 + 0.24 * len(looks),
        ": ".join(("Bits per parameter", runs.title)),
    )
    axes = make_panels(figure, 1, len(panels), sharey=True).ravel()
    places = {name: -place for place, name in enumerate(looks)}
    for panel, (values, points) in zip(axes, panels, strict=True):
        for one, rows in groups(points, others):
            R, bars = rows["R"], seed_bars(rows, "R")
            color, marker = looks[label(one)]
            panel.errorbar(R, [places[label(one)]] * len(R), xerr=bars, fmt=marker, color=color, elinewidth=0.8)
        panel.set(title=label(values) if values else "", xlabel=R_AXIS, xlim=(min(0, 1.1 * points["low"].min()), None))
        panel.set(yticks=list(places.values()), yticklabels=list(places), ylim=(0.6 - len(places), 0.4))
    legend(figure, bar_keys(pd.concat([points for _, points in panels])["seeds"]))
    return figure
