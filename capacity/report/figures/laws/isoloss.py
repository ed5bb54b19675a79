"""IsoLoss contours: the compute that each size takes to reach a loss, and the frontier at their leftmost points."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from capacity.laws.chinchilla import FLOPS, frontier, isoloss
from capacity.laws.fit import Fit
from capacity.report.figures.laws.axes import FIT_LINE, axis_name, log_axis
from capacity.report.figures.style import LABEL, PEOPLE_COLORS, legend, new_figure, shades

_CONTOURS = 9
_LINE = 300


def draw(fit: Fit, held_out: Sequence[Mapping[str, float]]) -> Figure | None:
    """Parameters against FLOPs; runs are dots in the color of the contour that is nearest to their loss."""
    if fit.law != "chinchilla-3":
        return None
    runs_N, loss = fit.points["params"], fit.points["loss"]
    runs_C = FLOPS * runs_N * fit.points["tokens"]
    levels = np.exp(np.linspace(np.log(loss.min()), np.log(loss.max()), _CONTOURS + 2))[1:-1]
    N = np.geomspace(runs_N.min() / 2, runs_N.max() * 2, _LINE)
    figure = new_figure(4.2, 3.4, f"IsoLoss contours, {fit.law}")
    axes = figure.subplots()
    log_axis(axes.xaxis, list(runs_C), 2.0)
    log_axis(axes.yaxis, list(N), 1.0)
    colors = shades(PEOPLE_COLORS, _CONTOURS)
    for level, color in zip(levels, colors, strict=True):
        C = FLOPS * N * isoloss(fit.parameters, float(level), N)
        axes.plot(np.where(np.isfinite(C), C, np.nan), N, color=color, linewidth=1.0)
        _name_contour(axes, C, N, float(level))
    nearest = np.abs(np.log(loss)[:, None] - np.log(levels)[None, :]).argmin(axis=1)
    axes.scatter(runs_C, runs_N, s=7, c=[colors[place] for place in nearest], zorder=2)
    line = np.geomspace(*axes.get_xlim(), _LINE)
    axes.plot(line, frontier(fit.parameters, line)[0], "--", **FIT_LINE)
    axes.set(xlabel=f"{axis_name('flops')} = 6·N·D", ylabel=axis_name("params"))
    legend(
        figure,
        [
            Line2D([], [], color="0.5", label="loss of a contour (nats)"),
            Line2D([], [], color="0.5", linestyle="", marker="o", markersize=3, label="run, by its loss"),
            Line2D([], [], **{**FIT_LINE, "linestyle": "--", "label": "frontier"}),
        ],
    )
    return figure


def _name_contour(axes: Axes, flops: np.ndarray, params: np.ndarray, level: float) -> None:
    """The loss at the leftmost point of its contour."""
    left, right = axes.get_xlim()
    at = int(np.nanargmin(np.where(np.isfinite(flops), flops, np.nan)))
    if left < flops[at] < right:
        axes.text(flops[at], params[at], f"{level:.2f}", ha="center", va="center", **LABEL)
