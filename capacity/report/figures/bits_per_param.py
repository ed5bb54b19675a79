"""R against parameters, a curve for each N, with R max, all that there was to learn, as faint crosses."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from capacity.report.figures.curves import by_people, handles
from capacity.report.figures.runs import Runs
from capacity.report.figures.style import (
    P_AXIS,
    R_AXIS,
    bar_keys,
    legend,
    level_lines,
    limits,
    logarithmic,
    new_figure,
    plot_points,
)


def draw(runs: Runs) -> dict[str, Figure]:
    """One figure for each kind of run."""
    return {kind: _draw(of_kind) for kind, of_kind in runs.each_kind()}


def _draw(runs: Runs) -> Figure:
    rows = runs.plain
    figure = new_figure(3.9, 3.0, runs.title)
    axes = figure.subplots()
    curves = by_people(rows)
    for curve in curves:
        most = curve.rows.groupby("params")["max_bits_per_param"].mean()
        axes.plot(most.index, most, "x", color=curve.color, alpha=0.35, zorder=1)
        plot_points(axes, curve.rows, "params", "bits_per_param", curve.color, interval=True)
    logarithmic(axes.xaxis, *limits(rows["params"]))
    tops = rows[["bits_per_param", "bits_per_param_high"]].to_numpy(dtype=float)
    top = max(2.2, 1.08 * np.nanmax(tops, initial=0))
    bottom = max(-0.2, min(0, 1.1 * rows["bits_per_param"].min()))  # a model may know less than nothing
    axes.set(xlabel=P_AXIS, ylabel=R_AXIS, ylim=(bottom, top))
    level_lines(axes)
    crosses = Line2D([], [], marker="x", linestyle="", color="0.7", label="R max (if in view)")
    legend(figure, [*handles(curves), crosses, *bar_keys(rows.groupby(["size", "people"]).size(), interval=True)])
    return figure
