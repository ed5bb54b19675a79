"""Stored bits against parameters, the best N of each size before all others, after the first figures of Allen-Zhu and
Li (2404.05405)."""

import math

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter

from capacity.laws.capacity import best_over_people
from capacity.report.figures.runs import Runs
from capacity.report.figures.style import (
    LABEL,
    LEAST,
    LEVEL_LINE,
    LEVELS,
    N_AXIS,
    P_AXIS,
    PEOPLE_COLORS,
    bar_keys,
    fix_layout,
    legend,
    limits,
    logarithmic,
    new_figure,
    note_left_out,
    plot_points,
    shades,
    visible,
)
from capacity.report.table import short_number

_FAINT = 0.35
"""Opacity of the points of an N that is not the best of its size."""


def draw(runs: Runs) -> dict[str, Figure]:
    """One figure for each kind of run."""
    return {kind: _draw(of_kind) for kind, of_kind in runs.each_kind()}


def _draw(runs: Runs) -> Figure:
    rows = runs.plain
    best = best_over_people(rows, [])
    figure = new_figure(3.6, 3.0, _title(runs, best))
    axes = figure.subplots()
    P_low, P_high = limits(rows["params"])
    most = max(LEVELS) * rows["params"].max()  # the law is always in view
    shown = rows["bits"][visible(rows)]
    B_low, B_high = limits([*shown, most] if len(shown) else [LEAST * P_low, most])
    B_low /= 1 if visible(rows).all() else 1.6  # room for the note about the others
    logarithmic(axes.xaxis, P_low, P_high)
    logarithmic(axes.yaxis, B_low, B_high)
    note_left_out(axes, rows)
    people = rows["people"].min(), rows["people"].max()
    colors = ListedColormap(shades(PEOPLE_COLORS, 256))
    scale = ScalarMappable(LogNorm(*people) if people[0] < people[1] else None, colors)
    points = rows[visible(rows)].merge(best[["size", "people"]].assign(best=True), how="left", on=["size", "people"])
    points = points.sort_values("best", na_position="first")  # the best are drawn last
    for _, one in points.groupby(["size", "people"], sort=False):
        (color,) = scale.to_rgba(one["people"].to_numpy(float)[:1], alpha=1.0 if one["best"].notna().all() else _FAINT)
        plot_points(axes, one, "params", "bits", tuple(color))
    for R in LEVELS:
        axes.plot([P_low, P_high], [R * P_low, R * P_high], **LEVEL_LINE)
    axes.set(xlabel=P_AXIS, ylabel="Stored knowledge (bits)")
    if people[0] < people[1]:
        _scale_of_people(figure, axes, scale)
    several = points["best"].isna().any()
    keys = [_key("best N of a size", 1.0), _key("other N", _FAINT)] if several else []
    legend(figure, [*keys, *bar_keys(rows.groupby(["size", "people"]).size())])
    fix_layout(figure)  # the labels turn with their lines
    for R in LEVELS:
        _label_slope(figure, axes, R)
    return figure


def _title(runs: Runs, best: pd.DataFrame) -> str:
    """What is seen: the best R of the sizes."""
    low, high = (f"{end:.2f}" for end in (best["R"].min(), best["R"].max()))
    found = f"{low} bits per parameter" if low == high else f"{low} to {high} bits per parameter"
    return ": ".join(filter(None, (f"At the best N, {found}", runs.title)))


def _key(text: str, alpha: float) -> Line2D:
    return Line2D([], [], color=matplotlib.colormaps[PEOPLE_COLORS](0.5), alpha=alpha, marker="o", ls="", label=text)


def _scale_of_people(figure: Figure, axes: Axes, scale: ScalarMappable) -> None:
    """The scale of colors, inside the lower right corner, where there are no bits."""
    inside = axes.inset_axes((0.56, 0.14, 0.38, 0.03))
    ends = [float(end) for end in (scale.norm.vmin, scale.norm.vmax)]  # type: ignore[arg-type]
    bar = figure.colorbar(scale, cax=inside, orientation="horizontal", ticks=FixedLocator(ends))
    bar.ax.tick_params(labelsize=6, length=2)
    bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda number, _: short_number(float(f"{number:.6g}"))))
    bar.ax.minorticks_off()
    bar.ax.set_title(N_AXIS, fontsize=6.5, pad=2)


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
