"""Figures of fitted laws: they show the runs, the fit and what was held out."""

import matplotlib.style
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from capacity.laws.chinchilla import Chinchilla3
from capacity.laws.isoflop import Chinchilla2
from capacity.laws.power import Power
from capacity.report.figures.laws import FIT_FIGURES
from capacity.report.figures.style import STYLE
from tests.capacity.laws.planted import chinchilla_table, power_table

STAR = {"flops": 1e22, "loss": 2.2}


@pytest.fixture(scope="module")
def fits():
    table = chinchilla_table(noise=0.003)
    power = Power().fit(power_table(noise=0.01), draws=30)
    return {"power": power, "2": Chinchilla2().fit(table), "3": Chinchilla3().fit(table, draws=30)}


SHOWN = {
    "loss": {"power", "3"},
    "isoflop": {"2", "3"},
    "frontier": {"2", "3"},
    "isoloss": {"3"},
    "residuals": {"power", "2", "3"},
    "held_out": {"power"},
    "schedule": set(),
    "position": set(),
}


@pytest.mark.parametrize("name", FIT_FIGURES.names)
def test_each_law_has_the_figures_that_suit_it(name, fits):
    with matplotlib.style.context(["default", STYLE]):
        drawn = {law: FIT_FIGURES[name](fit, [STAR] if law == "power" else []) for law, fit in fits.items()}
        for figure in filter(None, drawn.values()):
            FigureCanvasAgg(figure).draw()
    assert {law for law, figure in drawn.items() if figure is not None} == SHOWN[name]


def lines(figure, marker):
    return [line for axes in figure.axes for line in axes.lines if line.get_marker() == marker]


def test_runs_and_the_star_are_where_they_were_measured(fits):
    figure = FIT_FIGURES["loss"](fits["power"], [STAR])
    (dots,) = lines(figure, "o")
    np.testing.assert_allclose(dots.get_ydata(), fits["power"].points["loss"])
    (star,) = lines(figure, "*")
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (STAR["flops"], STAR["loss"])


def test_valleys_have_their_minima(fits):
    figure = FIT_FIGURES["isoflop"](fits["2"], [])
    found = sorted(float(line.get_xdata()[0]) for line in lines(figure, "D") if len(line.get_xdata()))
    np.testing.assert_allclose(found, sorted(fits["2"].points["params"]))


def test_residuals_are_those_of_the_fit(fits):
    figure = FIT_FIGURES["residuals"](fits["3"], [])
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), fits["3"].residuals)


def test_the_frontier_goes_through_the_fit(fits):
    fit = fits["3"]
    figure = FIT_FIGURES["frontier"](fit, [])
    C, N = figure.axes[0].lines[0].get_xydata().T
    slope = np.polyfit(np.log(C), np.log(N), 1)[0]
    assert slope == pytest.approx(fit.parameters["a"], rel=1e-6)
