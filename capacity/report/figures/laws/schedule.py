"""Loss curves under schedules: those that were fitted, and others that a law predicted."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from capacity.laws.fit import Fit
from capacity.laws.paths import starts_of
from capacity.report.figures.laws.axes import STAR, axis_name, measured_stars
from capacity.report.figures.style import label_outer, legend, make_panels, new_figure
from capacity.report.table import short_number

_FITTED = "#0072B2"
_COLUMNS = 3
_LATE = 0.15
"""The share of each curve that the limits of the loss leave out: losses fall steeply at first."""


def draw(fit: Fit, held_out: Sequence[Mapping[str, float]]) -> Figure | None:
    """A panel for each curve: measured, and as the law says; the learning rate in gray below.

    held_out: the points of curves that were not fitted, one curve after the other. None for laws without a schedule.
    """
    if "lr" not in fit.points or "step" not in fit.points:
        return None
    fitted = [(curve, _FITTED) for curve in _curves(fit, fit.points)]
    points = measured_stars(fit, held_out)
    columns = {name: np.array([point.get(name, np.nan) for point in points]) for name in (*fit.ranges, fit.target)}
    curves = fitted + [(curve, STAR) for curve in (_curves(fit, columns) if points else [])]
    width = min(_COLUMNS, len(curves))
    lines = -(-len(curves) // width)
    figure = new_figure(0.6 + 2.1 * width, 0.6 + 1.9 * lines, f"Loss under schedules: the law {fit.law}")
    panels = make_panels(figure, lines, width, sharey=True)
    for panel, (curve, color) in zip(panels.flat, curves, strict=False):
        _panel(panel, curve, color)
    panels.flat[0].set_ylim(*_limits([curve for curve, _ in curves]))
    label_outer(panels, len(curves), "Steps", axis_name(fit.target))
    legend(figure, _keys(bool(points)))
    return figure


def _curves(fit: Fit, columns: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """The columns of each curve, with what the law says as `said`."""
    said = fit.curve(fit.parameters, {name: columns[name] for name in fit.ranges})
    starts = starts_of(columns["step"])
    everything = {name: columns[name] for name in ("step", "lr", "loss")} | {"said": said}
    return [{name: values[a:b] for name, values in everything.items()} for a, b in pairwise(starts)]


def _panel(axes: Axes, curve: Mapping[str, np.ndarray], color: str) -> None:
    axes.plot(curve["step"], curve["loss"], color=color, linewidth=2.2, alpha=0.45, zorder=2)
    axes.plot(curve["step"], curve["said"], color="0.15", linewidth=0.9, zorder=3)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda number, _: short_number(number)))
    rate = axes.twinx()
    rate.fill_between(curve["step"], curve["lr"], color="0.88", linewidth=0, zorder=0)
    rate.set(ylim=(0, 4 * float(curve["lr"].max())), yticks=[])
    rate.grid(visible=False)
    axes.set_zorder(rate.get_zorder() + 1)
    axes.patch.set_visible(False)
    error = float(np.nanmean(np.abs(curve["said"] - curve["loss"])))
    if np.isfinite(error):
        axes.set_title(f"mean error {error:.2g}", loc="right", fontsize=7)


def _limits(curves: Sequence[Mapping[str, np.ndarray]]) -> tuple[float, float]:
    late = [curve[name][int(_LATE * len(curve[name])) :] for curve in curves for name in ("loss", "said")]
    low, high = float(np.nanmin(np.concatenate(late))), float(np.nanmax(np.concatenate(late)))
    room = 0.4 * (high - low)  # the learning rate stands below
    return low - room, high + 0.15 * room


def _keys(held_out: bool) -> list[Any]:
    keys = [Line2D([], [], color=_FITTED, linewidth=2.2, alpha=0.45, label="measured, fitted")]
    if held_out:
        keys.append(Line2D([], [], color=STAR, linewidth=2.2, alpha=0.45, label="measured, not fitted"))
    keys.append(Line2D([], [], color="0.15", linewidth=0.9, label="the law"))
    return [*keys, Line2D([], [], color="0.88", linewidth=5, label="learning rate")]
