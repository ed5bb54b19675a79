"""R against the number of people, a curve for each size, with R max, which rises with them."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from capacity.report.figures.curves import by_size, handles
from capacity.report.figures.runs import Runs
from capacity.report.figures.style import (
    N_AXIS,
    R_AXIS,
    bar_keys,
    legend,
    level_lines,
    limits,
    logarithmic,
    new_figure,
    note_left_out,
    plot_points,
    visible,
)


def draw(runs: Runs) -> dict[str, Figure]:
    """One figure for each kind of run in which a size has several N."""
    several = {kind: one for kind, one in runs.each_kind() if one.plain.groupby("size")["people"].nunique().max() > 1}
    return {kind: _draw(one) for kind, one in several.items()}


def _draw(runs: Runs) -> Figure:
    rows = runs.plain
    figure = new_figure(3.9, 3.0, runs.title)
    axes = figure.subplots()
    curves = by_size(rows)
    shown = rows["bits_per_param"][visible(rows)]
    R_low, R_high = limits([*(shown if len(shown) else rows["max_bits_per_param"]), 2.0], margin=1.25)
    logarithmic(axes.xaxis, *limits(rows["people"]))
    logarithmic(axes.yaxis, R_low, R_high)
    for curve in curves:
        most = curve.rows.groupby("people")["max_bits_per_param"].mean()
        axes.plot(most.index, most, ":", color=curve.color, linewidth=0.9, zorder=1)
        found = curve.rows[visible(curve.rows)]
        plot_points(axes, found, "people", "bits_per_param", curve.color, interval=True)
    axes.set(xlabel=N_AXIS, ylabel=R_AXIS)
    level_lines(axes)
    note_left_out(axes, rows)
    R_max = Line2D([], [], color="0.4", linestyle=":", linewidth=0.9, label="R max")
    bars = bar_keys(rows.groupby(["size", "people"]).size(), interval=True)
    legend(figure, [*handles(curves), R_max, *bars], title="Size (P)")
    return figure
