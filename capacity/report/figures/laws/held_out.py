"""Predictions against measurements: every fitted run, and held-out stars with the interval of one run."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from capacity.laws.fit import Fit
from capacity.report.figures.laws.axes import STAR, axis_name, fitting_axis, measured_stars
from capacity.report.figures.style import legend, new_figure


def draw(fit: Fit, held_out: Sequence[Mapping[str, float]]) -> Figure | None:
    """Only if a point was held out, and measured. On the diagonal prediction and measurement are equal."""
    stars = [point for point in measured_stars(fit, held_out) if fit.target in point]
    if not stars or "lr" in fit.points:
        return None
    fitted = fit.curve(fit.parameters, {name: fit.points[name] for name in fit.ranges})
    said = fit.predict({name: np.array([point[name] for point in stars]) for name in fit.ranges})
    measured = np.array([point[fit.target] for point in stars])
    figure = new_figure(3.6, 3.2, f"Predicted and measured, {fit.law}")
    axes = figure.subplots()
    axes.plot(fitted, fit.points[fit.target], "o", color="0.6", markersize=3, zorder=1)
    bars = np.nan_to_num(np.array([said.value - said.run_low, said.run_high - said.value])).clip(min=0)
    axes.errorbar(said.value, measured, xerr=bars, fmt="*", markersize=10, color=STAR, capsize=3, zorder=4)
    ends = [*fitted, *fit.points[fit.target], *measured, *said.value, *(said.value - bars[0]), *(said.value + bars[1])]
    for axis in (axes.xaxis, axes.yaxis):
        fitting_axis(axis, fit.target, ends)
    axes.axline((1, 1), (2, 2), color="0.4", linewidth=0.8, zorder=0)
    what = axis_name(fit.target)
    axes.set(xlabel=f"{what}, predicted", ylabel=f"{what}, measured", aspect="equal")
    legend(
        figure,
        [
            Line2D([], [], color="0.6", linestyle="", marker="o", markersize=3, label="fitted runs"),
            Line2D(
                [], [], color=STAR, linestyle="-", marker="*", markersize=9, label="held out; bar: 95 %\nof single runs"
            ),
        ],
    )
    return figure
