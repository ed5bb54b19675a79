"""Stored bits against parameters, a curve for each N, after the first figures of Allen-Zhu and Li (2404.05405)."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from capacity.report.figures.curves import by_people, handles
from capacity.report.figures.runs import Runs
from capacity.report.figures.style import (
    LABEL,
    LEAST,
    LEVEL_LINE,
    LEVELS,
    P_AXIS,
    bar_keys,
    fix_layout,
    legend,
    limits,
    logarithmic,
    new_figure,
    note_left_out,
    plot_points,
    visible,
)


def draw(runs: Runs) -> dict[str, Figure]:
    """One figure for each kind of run."""
    return {kind: _draw(of_kind) for kind, of_kind in runs.each_kind()}


def _draw(runs: Runs) -> Figure:
    rows = runs.plain
    figure = new_figure(3.6, 3.0, runs.title)
    axes = figure.subplots()
    curves = by_people(rows)
    P_low, P_high = limits(rows["params"])
    most = max(LEVELS) * rows["params"].max()  # the law is always in view
    shown = rows["bits"][visible(rows)]
    B_low, B_high = limits([*shown, most] if len(shown) else [LEAST * P_low, most])
    B_low /= 1 if visible(rows).all() else 1.6  # room for the note about the others
    logarithmic(axes.xaxis, P_low, P_high)
    logarithmic(axes.yaxis, B_low, B_high)
    note_left_out(axes, rows)
    for curve in curves:
        plot_points(axes, curve.rows[visible(curve.rows)], "params", "bits", curve.color)
        axes.axhline(curve.rows["max_bits"].mean(), color=curve.color, linestyle=":", linewidth=0.8, zorder=1)
    for R in LEVELS:
        axes.plot([P_low, P_high], [R * P_low, R * P_high], **LEVEL_LINE)
    axes.set(xlabel=P_AXIS, ylabel="Stored knowledge (bits)")
    most_of_N = Line2D([], [], color="0.4", linestyle=":", linewidth=0.8, label="most bits of N")
    legend(figure, [*handles(curves), most_of_N, *bar_keys(rows.groupby(["size", "people"]).size())])
    fix_layout(figure)  # the labels turn with their lines
    for R in LEVELS:
        _label_slope(figure, axes, R)
    return figure


def _label_slope(figure: Figure, axes: Axes, R: int) -> None:
    """The name of the line bits = R·P along it (both axes logarithmic), where it is furthest from the curves."""
    curves = [line.get_transform().transform(line.get_xydata()) for line in axes.lines if line.get_marker() == "o"]
    # Points between the marks, as a label may as well cover the line that joins them.
    steps = np.linspace(0, 1, 20)[:, None, None]
    between = [(xy[:-1] + steps * (xy[1:] - xy[:-1])).reshape(-1, 2) for xy in curves]
    taken = np.concatenate([np.zeros((0, 2)), *curves, *between])
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    ends = np.array([max(left, bottom / R), min(right, top / R)])
    start, end = axes.transData.transform(np.column_stack([ends, R * ends]))
    length = np.hypot(*(end - start))
    direction = (end - start) / length
    normal = np.array([-direction[1], direction[0]])
    point = figure.dpi / 72
    along = np.linspace(-25, 25, 9)[:, None] * point * direction  # a label is about 50 points long
    centers = start + np.linspace(0, length, 30)[:, None] * direction
    places = [(center, side) for side in (1, -1) for center in centers]

    def room(place: tuple[np.ndarray, int]) -> float:
        text = place[0] + along + 6 * place[1] * point * normal
        inside = (text > np.add(axes.bbox.min, 3 * point)) & (text < np.add(axes.bbox.max, -3 * point))
        distance = np.hypot(*(text[:, None] - taken).T).min(initial=12 * point)
        return float(distance) if inside.all() else 0.0

    center, side = max(places, key=room)
    x, y = axes.transData.inverted().transform(center + 1.5 * point * side * normal)
    text = axes.text(x, y, LEVELS[R], ha="center", va="bottom" if side > 0 else "top", **LABEL)
    text.set(rotation=math.degrees(math.atan2(direction[1], direction[0])), rotation_mode="anchor")
