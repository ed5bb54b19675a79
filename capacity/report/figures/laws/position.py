"""Loss by position at checkpoints: as the law says, and as rivals forecast it from the first checkpoints."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from capacity.laws.fit import Fit
from capacity.laws.forecast import RIVALS, errors
from capacity.report.figures.laws.axes import axis_name, log_axis, measured_stars, spread_of
from capacity.report.figures.style import KIND_COLORS, MARKERS, PEOPLE_COLORS, legend, make_panels, new_figure, shades
from capacity.report.table import short_number


def draw(fit: Fit, held_out: Sequence[Mapping[str, float]]) -> Figure | None:
    """Loss against position at six checkpoints, a color each; hollow marks were not fitted. None for other laws."""
    if not {"tokens", "position"} <= fit.points.keys():
        return None
    later = measured_stars(fit, [point for point in held_out if fit.target in point])
    names = ("tokens", "position", fit.target)
    seen = pd.DataFrame({name: fit.points[name] for name in names}).assign(fitted=True)
    unseen = pd.DataFrame([{name: point[name] for name in names} for point in later], columns=list(names))
    rows = pd.concat([seen, unseen.assign(fitted=False)]) if later else seen
    rows["said"] = fit.curve(fit.parameters, {name: rows[name].to_numpy(float) for name in fit.ranges})
    figure = new_figure(3.4, 2.9, f"Loss by position, {fit.law}")
    keys = _by_position(figure.subplots(), rows, "said")
    legend(figure, keys, "Tokens")
    return figure


def draw_forecast(rows: pd.DataFrame, title: str = "") -> Figure:
    """What was forecast from the first checkpoints, of `capacity.laws.forecast.forecast`.

    Left: the loss by position at six checkpoints, with the best law's forecast. Right: how far each rival is off, at
    each checkpoint that it did not see.
    """
    found = errors(rows)
    best = next(str(name) for name in found["rival"] if name != "last")
    figure = new_figure(6.4, 2.9, ": ".join(filter(None, ("Loss by position, forecast", title))))
    left, right = make_panels(figure, 1, 2).flat
    keys = _by_position(left, rows, best)
    left.set_title(f"lines: {RIVALS[best]}", loc="left")
    unseen = rows[~rows["fitted"]]
    everything: list[float] = []
    for place, name in enumerate(name for name in RIVALS if name in set(found["rival"])):
        off = (unseen[name] - unseen["loss"]).abs().groupby(unseen["tokens"]).mean()
        look: dict[str, Any] = {"color": KIND_COLORS[place], "marker": MARKERS[place], "markersize": 3}
        right.plot(off.index, off, **look)
        everything += off[off > 0].tolist()
        keys.append(Line2D([], [], label=f"forecast: {RIVALS[name]}", **look))
    log_axis(right.xaxis, list(unseen["tokens"]), 1.1)
    log_axis(right.yaxis, everything)
    right.set(xlabel="Tokens trained on", ylabel="Mean absolute error (nats)")
    legend(figure, keys, "Tokens")
    return figure


def _by_position(axes: Axes, rows: pd.DataFrame, said: str) -> list[Line2D]:
    """Marks as measured and lines as said, of six checkpoints; returns entries of a legend."""
    levels = spread_of(rows["tokens"].to_numpy(float))
    keys = []
    for tokens, color in zip(levels, shades(PEOPLE_COLORS, len(levels)), strict=True):
        at = rows[rows["tokens"] == tokens].sort_values("position")
        face = color if at["fitted"].all() else "white"
        axes.plot(at["position"], at["loss"], "o", color=color, markerfacecolor=face, markersize=3, zorder=3)
        axes.plot(at["position"], at[said], color=color, linewidth=0.9, zorder=2)
        keys.append(
            Line2D([], [], color=color, marker="o", markerfacecolor=face, label=short_number(float(f"{tokens:.3g}")))
        )
    log_axis(axes.xaxis, list(rows["position"]), 1.1)
    axes.set(xlabel=axis_name("position"), ylabel=axis_name("loss"))
    if not rows["fitted"].all():
        keys.append(Line2D([], [], color="0.4", linestyle="", marker="o", markerfacecolor="white", label="not fitted"))
    return keys
