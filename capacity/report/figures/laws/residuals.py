"""Residuals of a fit: against what is fitted, and against the normal distribution."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import norm

from capacity.laws.fit import Fit
from capacity.report.figures.laws.axes import axis_name, fitting_axis
from capacity.report.figures.style import make_panels, new_figure


def draw(fit: Fit, held_out: Sequence[Mapping[str, float]]) -> Figure | None:
    """Left, a pattern says that the law misses something; right, tails off the line say that some runs are unusual."""
    columns = {name: fit.points[name] for name in fit.ranges}
    fitted = fit.curve(fit.parameters, columns)
    figure = new_figure(6.0, 2.8, f"Residuals of {fit.law}")
    left, right = make_panels(figure, 1, 2, sharey=True).flat
    left.plot(fitted, fit.residuals, "o", color="#0072B2", markersize=3)
    right.plot(_normal(len(fit.residuals)), np.sort(fit.residuals), "o", color="#0072B2", markersize=3)
    spread = float(fit.residuals.std())
    right.plot([-3, 3], [-3 * spread, 3 * spread], color="0.4", linewidth=0.8, zorder=1)
    for panel in (left, right):
        panel.axhline(0, color="0.4", linewidth=0.6, zorder=1)
    if fit.target != "share" and (fitted > 0).all():
        fitting_axis(left.xaxis, fit.target, list(fitted))
    left.set(xlabel=f"{axis_name(fit.target)}, fitted", ylabel="Residual (measured minus fitted)")
    right.set(xlabel="Standard deviations of a normal distribution", xlim=(-3.2, 3.2))
    return figure


def _normal(number: int) -> np.ndarray:
    """Where ordered values of a normal distribution are expected."""
    return np.asarray(norm.ppf((np.arange(number) + 0.5) / number))
