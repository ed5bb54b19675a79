"""What a law explains against each column that it depends on, with the fit: loss against N, D and C."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from capacity.laws.chinchilla import frontier, surface
from capacity.laws.fit import Fit
from capacity.report.figures.laws.axes import (
    BAND,
    FIT_LINE,
    axis_name,
    colors_of,
    fitting_axis,
    log_axis,
    measured_stars,
    short_level,
    spread_of,
    star,
    star_ends,
    star_keys,
)
from capacity.report.figures.style import SIZE_COLORS, legend, make_panels, new_figure, shades

_LINE = 200


def draw(fit: Fit, held_out: Sequence[Mapping[str, float]]) -> Figure | None:
    """A panel for each column. A law of one column has its band; of several, a line for each level of another one."""
    if fit.target == "params":
        return None  # the frontier shows it
    if "lr" in fit.points or {"tokens", "position"} <= fit.points.keys():
        return None  # whole curves have a figure of their own
    stars = measured_stars(fit, held_out)
    names = [name for name, ends in fit.ranges.items() if ends.high > ends.low]
    panels = [(x, _other(fit, names, x)) for x in names]
    flops = {"params", "tokens"} <= set(names) and fit.target == "loss"
    count = len(panels) + flops
    figure = new_figure(1.0 + 2.6 * count, 2.9, f"{fit.law}: {axis_name(fit.target)}, measured and fitted")
    axes = make_panels(figure, 1, count, sharey=True).ravel()
    for panel, (x, other) in zip(axes, panels, strict=False):
        _panel(panel, fit, x, other, stars)
    if flops:
        _against_flops(axes[-1], fit, stars)
    if fit.target != "share":
        fitting_axis(axes[0].yaxis, fit.target, [*fit.points[fit.target], *star_ends(fit, stars)])
    axes[0].set_ylabel(axis_name(fit.target))
    colored = [*(["params"] if flops else []), *(other for _, other in panels if other is not None)]
    legend(figure, [*_keys(fit, list(dict.fromkeys(colored))), *star_keys(fit, stars)])
    return figure


def _other(fit: Fit, names: Sequence[str], x: str) -> str | None:
    """The column that has colors in the panel of x: the one with the most levels."""
    others = [name for name in names if name != x]
    return max(others, key=lambda name: len(np.unique(fit.points[name])), default=None)


def _panel(axes: Axes, fit: Fit, x: str, other: str | None, stars: Sequence[Mapping[str, float]]) -> None:
    column = fit.points[x]
    ends = [*column, *(point[x] for point in stars)]
    line = np.geomspace(min(ends), max(ends), _LINE)
    middle = {name: np.full(_LINE, float(np.median(values))) for name, values in fit.points.items()}
    if other is None:
        said = fit.predict({x: line})
        if np.isfinite(said.low).all():
            axes.fill_between(line, said.low, said.high, **BAND)
        axes.plot(line, said.value, **FIT_LINE)
        axes.plot(column, fit.points[fit.target], "o", color="#0072B2", markersize=3.5, zorder=4)
    else:
        levels = spread_of(fit.points[other])
        colors = colors_of(fit.points[other], levels)
        axes.scatter(column, fit.points[fit.target], s=8, c=colors, zorder=2)
        for level, color in zip(levels, shades(SIZE_COLORS, len(levels)), strict=True):
            where = middle | {x: line, other: np.full(_LINE, level)}
            axes.plot(line, fit.curve(fit.parameters, where), color=color, linewidth=0.9, zorder=1)
    for point in stars:
        star(axes, point[x], fit, point)
    fitting_axis(axes.xaxis, x, ends)
    title = "" if other is None else f"colors: {axis_name(other)}"
    axes.set(xlabel=axis_name(x), title=title)


def _against_flops(axes: Axes, fit: Fit, stars: Sequence[Mapping[str, float]]) -> None:
    """Loss against C = 6·N·D, a line for each of some sizes."""
    N, D = fit.points["params"], fit.points["tokens"]
    levels = spread_of(N)
    axes.scatter(6 * N * D, fit.points[fit.target], s=8, c=colors_of(N, levels), zorder=2)
    C = np.geomspace(6 * np.min(N * D), 6 * np.max(N * D), _LINE)
    for level, color in zip(levels, shades(SIZE_COLORS, len(levels)), strict=True):
        near = np.abs(np.log(N / level)) < 0.05
        own = 6 * (N * D)[near]
        of = np.geomspace(own.min() / 1.5, own.max() * 1.5, _LINE)
        where = {"params": np.full(len(of), level), "tokens": of / (6 * level)}
        axes.plot(of, fit.curve(fit.parameters, where), color=color, linewidth=0.9, zorder=1)
    if fit.law == "chinchilla-3":
        best, tokens = frontier(fit.parameters, C)
        axes.plot(C, surface(fit.parameters, {"params": best, "tokens": tokens}), **{**FIT_LINE, "linestyle": "--"})
    for point in stars:
        star(axes, 6 * point["params"] * point["tokens"], fit, point)
    log_axis(axes.xaxis, [*C, *(6 * point["params"] * point["tokens"] for point in stars)])
    axes.set(xlabel=f"{axis_name('flops')} = 6·N·D", title=f"colors: {axis_name('params')}")


def _keys(fit: Fit, names: Sequence[str]) -> list[Any]:
    """Colors of the levels of columns; without any, the fit and its band."""
    if not names:
        band = Line2D([], [], color="0.85", linewidth=5, label="95 % interval of the law")
        line = Line2D([], [], **{**FIT_LINE, "label": "fit"})
        return [line, *([band] if fit.spread is not None else [])]
    keys = []
    for name in names:
        levels = spread_of(fit.points[name])
        for level, color in zip(levels, shades(SIZE_COLORS, len(levels)), strict=True):
            keys.append(
                Line2D([], [], color=color, marker="o", markersize=3, label=f"{_symbol(name)} {short_level(level)}")
            )
    if fit.law == "chinchilla-3":
        keys.append(Line2D([], [], **{**FIT_LINE, "linestyle": "--", "label": "frontier"}))
    return keys


def _symbol(name: str) -> str:
    return axis_name(name).split()[-1] if name in ("params", "tokens") else name.replace("_", " ")
