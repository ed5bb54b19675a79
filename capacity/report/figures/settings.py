"""The settings that an experiment compares: R of each, in a panel for each number of exposures.

Where each size has people of its own, in a panel for each of them.
"""

import math
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from capacity.laws.groups import label
from capacity.report.figures.runs import Runs, groups
from capacity.report.figures.style import (
    KIND_COLORS,
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

_FEW_SIZES, _MANY_SETTINGS = 2, 7
"""Up to so many sizes, or above so many settings, rows are easier to read than lines."""


def draw(runs: Runs) -> dict[str, Figure]:
    """One figure of runs that have a `setting`: a row for each, or lines against P for a few settings of many sizes."""
    frame = runs.frame
    if "setting" not in frame:
        return {}
    several_people = frame.groupby(["setting", "exposures", "size"])["people"].nunique().max() > 1
    columns = ["exposures", "size", "people"] if several_people else ["exposures"]
    points = _points(frame, columns)
    panels = list(groups(points, [name for name in columns if points[name].nunique() > 1]))
    names = list(dict.fromkeys(points["setting"]))
    sizes = 1 if several_people else points.groupby("setting")["size"].nunique().max()
    rows = sizes <= _FEW_SIZES or len(names) > _MANY_SETTINGS
    return {"": (_rows if rows else _lines)(panels, names, points, _title(runs))}


def _points(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Mean, lowest and highest R over seeds of each setting and size."""
    R = frame.groupby(list(dict.fromkeys(["setting", "size", *columns])), sort=False)
    points = R["bits_per_param"].agg(["mean", "min", "max", "size"]).set_axis(["R", "low", "high", "seeds"], axis=1)
    return points.assign(params=R["params"].mean()).reset_index()


def _lines(panels: list[Any], names: list[str], points: pd.DataFrame, title: str) -> Figure:
    """R against P, a line for each setting."""
    columns, lines = _grid(panels, 2)
    figure = new_figure(1.2 + 2.2 * columns, 0.5 + 2.4 * lines, title)
    axes = make_panels(figure, lines, columns, sharex=True)
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
    """A row for each setting; colors are sizes, where a panel has several."""
    columns, lines = _grid(panels, 3)
    width = 0.4 + 0.058 * max(map(len, names)) + 2.2 * columns
    figure = new_figure(width, 0.3 + (0.6 + 0.24 * len(names)) * lines, title)
    axes = make_panels(figure, lines, columns, sharex=True, sharey=True)
    places = {name: -place for place, name in enumerate(names)}
    most = max(points["high"].max(), 0.01)
    several = max(rows["size"].nunique() for _, rows in panels) > 1
    looks = looks_of(list(dict.fromkeys(points.sort_values("params")["size"])))
    for panel, (values, rows) in zip(axes.flat, panels, strict=False):
        for size, own in rows.groupby("size"):
            color, marker = looks[str(size)] if several else (KIND_COLORS[0], "o")
            at = [places[name] for name in own["setting"]]
            panel.errorbar(own["R"], at, xerr=seed_bars(own, "R"), fmt=marker, color=color, elinewidth=0.8)
        panel.set(title=label(values) if values else "", xlim=(-0.03 * most, 1.1 * most))
        panel.set(yticks=list(places.values()), yticklabels=list(places), ylim=(0.6 - len(places), 0.4))
    label_outer(axes, len(panels), R_AXIS, "")
    keys = [
        Line2D([], [], color=color, marker=marker, ls="", label=f"size {name}")
        for name, (color, marker) in looks.items()
    ]
    legend(figure, (keys if several else []) + bar_keys(points["seeds"]))
    return figure


def _grid(panels: list[Any], most: int) -> tuple[int, int]:
    """Columns, at most so many, and lines of panels."""
    columns = 2 if len(panels) == 4 else min(most, len(panels))
    return columns, math.ceil(len(panels) / columns)


def _title(runs: Runs) -> str:
    return ": ".join(filter(None, ("Bits per parameter of each setting, at its best", runs.title)))
