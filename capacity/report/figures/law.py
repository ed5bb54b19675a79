"""The capacity law: the best R over N against parameters, a panel for each number of exposures."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from capacity.laws.capacity import best_over_people
from capacity.laws.groups import label, phrase
from capacity.report.figures.runs import Runs, groups
from capacity.report.figures.style import (
    MARKERS,
    P_AXIS,
    R_AXIS,
    bar_keys,
    kind_colors,
    label_outer,
    legend,
    level_lines,
    limits,
    logarithmic,
    make_panels,
    new_figure,
    spread,
)

MOST_PANELS = 4


def draw(runs: Runs) -> dict[str, Figure]:
    """One figure, if any kind of run has several sizes.

    The first option that differs has colors, all others together have marks. A hollow mark is a lower bound: the best N
    is the smallest or the largest of several that were tried. Where one N alone was tried the mark is small.
    """
    plain = runs.plain
    if all(rows["size"].nunique() < 2 for _, rows in groups(plain, runs.kind)):
        return {}
    best = best_over_people(plain, runs.kind)
    panels = _panels(best)
    names = [name for name in runs.kind if name != "exposures"]
    first, others = names[0] if names else None, names[1:]
    colors, markers = _colors(best, first), _markers(best, others)
    figure = new_figure(0.9 + 2.1 * len(panels), 3.0, _title(runs, panels, best))
    axes = make_panels(figure, 1, len(panels), sharex=True, sharey=True)
    top = max(2.3, 1.08 * best["high"].max())
    for panel, (title, shown) in zip(axes.flat, panels, strict=False):
        panel.set(ylim=(min(0, 1.1 * best["low"].min()), top), title=title)
        logarithmic(panel.xaxis, *limits(best["params"]))
        for values, rows in groups(shown, runs.kind):
            _curve(panel, rows, colors[values.get(first or "")], markers[_name(values, others)])
        level_lines(panel, named=panel in axes[:, -1])
    label_outer(axes, len(panels), P_AXIS, R_AXIS)
    legend(figure, _keys(best, first, colors, markers))
    return {"": figure}


def _panels(best: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The title and the rows of each panel, most exposures first; one without title if all are equal."""
    if "exposures" not in best:
        return [("", best)]
    shown = spread(best["exposures"], MOST_PANELS)[::-1]
    return [(phrase("exposures", number), best[best["exposures"] == number]) for number in shown]


def _title(runs: Runs, panels: list[Any], best: pd.DataFrame) -> str:
    several = best["exposures"].nunique() if "exposures" in best else 1
    part = f" ({len(panels)} of {several} numbers of exposures)" if len(panels) < several else ""
    return ": ".join(filter(None, ("Capacity, the best bits per parameter over N", runs.title))) + part


def _colors(best: pd.DataFrame, name: str | None) -> dict[Any, Any]:
    values = [None] if name is None else list(dict.fromkeys(best[name]))
    return dict(zip(values, kind_colors(len(values)), strict=True))


def _markers(best: pd.DataFrame, names: list[str]) -> dict[str, str]:
    labels = [_name(values, names) for values, _ in groups(best, names)]
    return {text: MARKERS[place % len(MARKERS)] for place, text in enumerate(labels)}


def _name(values: dict[str, Any], names: list[str]) -> str:
    """The name of a kind of run, from some of its options."""
    return label({name: values[name] for name in names}) if names else ""


def _curve(axes: Axes, rows: pd.DataFrame, color: Any, marker: str) -> None:
    rows = rows.sort_values("params")
    bars = np.array([rows["R"] - rows["low"], rows["high"] - rows["R"]]).clip(min=0)
    axes.errorbar(rows["params"], rows["R"], bars, fmt=marker, ls="-", color=color, elinewidth=0.8, zorder=2)
    edge, alone = rows[~rows["bracketed"] & (rows["tried"] > 1)], rows[rows["tried"] == 1]
    axes.plot(edge["params"], edge["R"], marker, color=color, markerfacecolor="white", zorder=3)
    axes.plot(alone["params"], alone["R"], marker, color="white", zorder=3)
    axes.plot(alone["params"], alone["R"], marker, color=color, markersize=2, zorder=4)


def _keys(best: pd.DataFrame, first: str | None, colors: dict[Any, Any], markers: dict[str, str]) -> list[Line2D]:
    several = len(markers) > 1
    keys = [
        Line2D([], [], color=color, marker="" if several else "o", label=label({first: value}))
        for value, color in colors.items()
        if first is not None
    ]
    if several:
        keys += [Line2D([], [], color="0.4", linestyle="", marker=mark, label=text) for text, mark in markers.items()]
    gray: dict[str, Any] = {"color": "0.4", "linestyle": "", "marker": "o"}
    if (~best["bracketed"] & (best["tried"] > 1)).any():
        keys += [
            Line2D([], [], **gray, markerfacecolor="white", label="lower bound: best N\nat the end of those tried")
        ]
    if (best["tried"] == 1).any():
        keys += [Line2D([], [], **gray, markersize=2, label="one N tried")]
    return keys + bar_keys(best["seeds"])
