"""The settings that an experiment compares: R of each, in a panel for each number of exposures."""

import math
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from capacity.laws.groups import label
from capacity.report.figures.runs import Runs, groups
from capacity.report.figures.style import (
    P_AXIS,
    R_AXIS,
    bar_keys,
    label_outer,
    legend,
    level_lines,
    limits,
    logarithmic,
    looks_of,
    new_figure,
    seed_bars,
)


def draw(runs: Runs) -> dict[str, Figure]:
    """One figure of runs that have a `setting`: rows, or lines against P where there are several sizes."""
    frame = runs.frame
    if "setting" not in frame:
        return {}
    several_people = frame.groupby(["setting", "exposures", "size"])["people"].nunique().max() > 1
    columns = ["exposures", "people"] if several_people else ["exposures"]
    points = _points(frame, columns)
    panels = list(groups(points, [name for name in columns if points[name].nunique() > 1]))
    names = list(dict.fromkeys(points["setting"]))
    several = points.groupby("setting")["size"].nunique().max() > 1
    return {"": _lines(panels, names, points, _title(runs)) if several else _rows(panels, names, points, _title(runs))}


def _points(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Mean, lowest and highest R over seeds of each setting and size."""
    R = frame.groupby(["setting", "size", *columns], sort=False)
    points = R["bits_per_param"].agg(["mean", "min", "max", "size"]).set_axis(["R", "low", "high", "seeds"], axis=1)
    return points.assign(params=R["params"].mean()).reset_index()


def _lines(panels: list[Any], names: list[str], points: pd.DataFrame, title: str) -> Figure:
    """R against P, a line for each setting."""
    columns = min(2, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = new_figure(1.2 + 2.2 * columns, 0.5 + 2.4 * lines, title)
    axes = figure.subplots(lines, columns, sharex=True, squeeze=False)
    looks = looks_of(names)
    for panel, (values, rows) in zip(axes.flat, panels, strict=False):
        for name, (color, marker) in looks.items():
            own = rows[rows["setting"] == name].sort_values("params")
            panel.errorbar(
                own["params"], own["R"], seed_bars(own, "R"), fmt=marker, ls="-", color=color, elinewidth=0.8
            )
        panel.set(title=label(values) if values else "", ylim=(0, 1.12 * rows["high"].max()))
        logarithmic(panel.xaxis, *limits(points["params"]))
        level_lines(panel, named=panel in axes[:, -1])
    label_outer(axes, len(panels), P_AXIS, R_AXIS)
    keys = [Line2D([], [], color=color, marker=marker, label=name) for name, (color, marker) in looks.items()]
    legend(figure, keys + bar_keys(points["seeds"]))
    return figure


def _rows(panels: list[Any], names: list[str], points: pd.DataFrame, title: str) -> Figure:
    """A row for each setting."""
    width = 0.4 + 0.058 * max(map(len, names)) + 2.2 * len(panels)
    figure = new_figure(width, 0.9 + 0.24 * len(names), title)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    places = {name: -place for place, name in enumerate(names)}
    looks = looks_of(names)
    for panel, (values, rows) in zip(axes, panels, strict=True):
        for name, (color, marker) in looks.items():
            own = rows[rows["setting"] == name]
            bars = seed_bars(own, "R")
            panel.errorbar(own["R"], [places[name]] * len(own), xerr=bars, fmt=marker, color=color, elinewidth=0.8)
        most = max(rows["high"].max(), 0.01)
        panel.set(title=label(values) if values else "", xlabel=R_AXIS, xlim=(-0.03 * most, 1.1 * most))
        panel.set(yticks=list(places.values()), yticklabels=list(places), ylim=(0.6 - len(places), 0.4))
    legend(figure, bar_keys(points["seeds"]))
    return figure


def _title(runs: Runs) -> str:
    return ": ".join(filter(None, ("Bits per parameter of each setting, at its best", runs.title)))
