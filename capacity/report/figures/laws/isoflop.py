"""IsoFLOP valleys: loss against parameters, a curve for each budget, with its minimum."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from capacity.laws.chinchilla import FLOPS, frontier, surface
from capacity.laws.fit import Fit
from capacity.laws.isoflop import budgets
from capacity.report.figures.laws.axes import axis_name, log_axis, loss_axis
from capacity.report.figures.style import SIZE_COLORS, legend, new_figure, shades
from capacity.report.fits import RUNS

_MOST_BUDGETS = 14
_LINE = 100


def draw(fit: Fit, held_out: Sequence[Mapping[str, float]]) -> Figure | None:
    """Of the second approach as measured; of the third, its surface at the budgets that the runs have."""
    if fit.law not in ("chinchilla-2", "chinchilla-3"):
        return None
    runs = fit.tables[RUNS] if fit.law == "chinchilla-2" else _runs(fit)
    groups = [rows for rows in budgets(runs["flops"].to_numpy()) if runs["params"].iloc[rows].nunique() > 2]
    if not groups or len(groups) > 3 * _MOST_BUDGETS:
        return None
    places = np.linspace(0, len(groups) - 1, min(len(groups), _MOST_BUDGETS)).round().astype(int)
    figure = new_figure(4.2, 3.3, f"IsoFLOP curves and their minima, {fit.law}")
    axes = figure.subplots()
    keys = []
    for place, color in zip(places, shades(SIZE_COLORS, len(places)), strict=True):
        rows = runs.iloc[groups[place]].sort_values("params")
        C = float(np.exp(np.log(rows["flops"]).mean()))
        _valley(axes, fit, rows, C, color)
        keys.append(Line2D([], [], color=color, marker="o", markersize=3, label=f"{C:.2g} FLOPs"))
    log_axis(axes.xaxis, list(runs["params"]))
    loss_axis(axes.yaxis, list(runs["loss"]))
    axes.set(xlabel=axis_name("params"), ylabel=axis_name("loss"))
    minimum = Line2D(
        [], [], color="0.2", linestyle="", marker="D", markersize=5, markerfacecolor="white", label="minimum"
    )
    legend(figure, [*keys, minimum])
    return figure


def _runs(fit: Fit) -> pd.DataFrame:
    N, D = fit.points["params"], fit.points["tokens"]
    return pd.DataFrame({"params": N, "flops": FLOPS * N * D, "loss": fit.points["loss"]})


def _valley(axes: Axes, fit: Fit, rows: pd.DataFrame, C: float, color: object) -> None:
    measured = fit.law == "chinchilla-2"
    axes.plot(rows["params"], rows["loss"], "o", color=color, markersize=2.5)
    if measured:
        means = rows.groupby("params")["loss"].mean()  # over seeds
        axes.plot(means.index, means, color=color, linewidth=0.8)
        minima = fit.tables["minima"]
        of = minima[np.isclose(minima["flops"], C, rtol=1e-6) & (minima["refused"] == "")]
        best, low = of["params"].to_numpy(), of["loss"].to_numpy()
    else:
        N = np.geomspace(rows["params"].min(), rows["params"].max(), _LINE)
        axes.plot(N, surface(fit.parameters, {"params": N, "tokens": C / (FLOPS * N)}), color=color, linewidth=0.8)
        best, tokens = frontier(fit.parameters, np.array([C]))
        low = surface(fit.parameters, {"params": best, "tokens": tokens})
        inside = (N[0] <= best) & (best <= N[-1])
        best, low = best[inside], low[inside]
    axes.plot(best, low, "D", color=color, markerfacecolor="white", markersize=5, zorder=5)
