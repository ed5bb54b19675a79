"""The frontier: the best parameters and tokens for each budget of compute."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from capacity.laws.chinchilla import FLOPS
from capacity.laws.chinchilla import frontier as best_for
from capacity.laws.fit import Fit
from capacity.report.figures.laws.axes import BAND, FIT_LINE, axis_name, log_axis
from capacity.report.figures.style import legend, make_panels, new_figure

_BEYOND = 100.0
_LINE = 100


def draw(fit: Fit, held_out: Sequence[Mapping[str, float]]) -> Figure | None:
    """Left parameters, right tokens, from the runs' budgets to a hundred times the largest."""
    surface = fit.law == "chinchilla-3"
    if not surface and not (fit.target == "params" and list(fit.ranges) == ["flops"]):
        return None
    budgets = FLOPS * fit.points["params"] * fit.points["tokens"] if surface else fit.points["flops"]
    C = np.geomspace(budgets.min(), budgets.max() * _BEYOND, _LINE)
    (N, low, high), points = _best(fit, C, surface)
    figure = new_figure(6.0, 2.9, f"What is best for a budget, {fit.law}")
    axes = make_panels(figure, 1, 2).ravel()
    for panel, values, ends in ((axes[0], N, (low, high)), (axes[1], C / (FLOPS * N), _tokens(C, high, low))):
        panel.plot(C, values, **FIT_LINE)
        if ends is not None and np.isfinite(ends).all():
            panel.fill_between(C, *ends, **BAND)
        panel.axvspan(budgets.max(), C[-1], color="0.97", zorder=-1)
        log_axis(panel.xaxis, list(C), 1.0)
        log_axis(panel.yaxis, list(values), 1.5)
        panel.set_xlabel(axis_name("flops"))
    if points is not None:
        axes[0].plot(points, fit.points["params"], "o", color="#0072B2", markersize=3.5, zorder=4)
        axes[1].plot(points, points / (FLOPS * fit.points["params"]), "o", color="#0072B2", markersize=3.5, zorder=4)
    axes[0].set_ylabel(axis_name("params"))
    axes[1].set_ylabel(axis_name("tokens"))
    legend(figure, _keys(fit, points is not None))
    return figure


def _best(
    fit: Fit, C: np.ndarray, surface: bool
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray | None]:
    """The best size with its interval; and the budgets of the points behind it, if there are few enough."""
    nothing = np.full(len(C), np.nan)
    if not surface:
        said = fit.predict({"flops": C})
        points = fit.points["flops"] if len(fit.points["flops"]) < _LINE else None
        return (said.value, said.low, said.high), points
    low, high = nothing, nothing
    if fit.spread is not None:
        low, high = fit.spread(lambda values: best_for(values, C)[0], noise=False)
    return (best_for(fit.parameters, C)[0], low, high), None


def _tokens(C: np.ndarray, high: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return C / (FLOPS * high), C / (FLOPS * low)


def _keys(fit: Fit, points: bool) -> list[Line2D]:
    keys = [Line2D([], [], **{**FIT_LINE, "label": "fit"})]
    if fit.spread is not None:
        keys.append(Line2D([], [], color="0.85", linewidth=5, label="95 % interval"))
    if points:
        keys.append(Line2D([], [], color="#0072B2", linestyle="", marker="o", label="minimum of a budget"))
    return [*keys, Line2D([], [], color="0.94", linewidth=8, label="beyond the runs")]
