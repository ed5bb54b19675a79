"""Figures of laws of whole curves: they show each curve once, and say what was fitted."""

import numpy as np
import pandas as pd
import pytest

from capacity.laws.forecast import forecast
from capacity.laws.position import PositionOverTime
from capacity.laws.schedule import multi_power
from capacity.report.figures.laws import FIT_FIGURES, draw_fits
from capacity.report.figures.laws.position import draw_forecast
from tests.capacity.laws.test_position import TOKENS, moving
from tests.capacity.laws.test_schedule import PLANTED, joined, schedule


@pytest.fixture
def fitted():
    where = joined(schedule("cosine", 2000), schedule("two", 2000))
    return multi_power.fit(pd.DataFrame(where | {"loss": multi_power.curve(PLANTED, where)}))


def unseen(*kinds):
    where = joined(*(schedule(kind, 2500) for kind in kinds))
    return pd.DataFrame(where | {"loss": multi_power.curve(PLANTED, where)}).to_dict("records")


def labels(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


@pytest.mark.parametrize("kinds", [(), ("decay",), ("decay", "constant")])
def test_each_schedule_has_a_panel(fitted, kinds):
    figure = FIT_FIGURES["schedule"](fitted, unseen(*kinds) if kinds else [])
    panels = [axes for axes in figure.axes if axes.get_visible() and axes.get_title(loc="right").startswith("mean")]
    assert len(panels) == 2 + len(kinds)
    assert ("measured, not fitted" in labels(figure)) == bool(kinds)


def test_only_figures_of_curves_show_a_law_of_curves(fitted, tmp_path):
    written = {path.name for path in draw_fits([("", fitted)], unseen("decay"), tmp_path) if path.suffix == ".png"}
    assert written == {"schedule-schedule.png", "schedule-residuals.png"}


def test_checkpoints_that_were_not_fitted_are_hollow():
    table = moving("hyperbolic")
    seen = table["tokens"] <= TOKENS[5]
    fit = PositionOverTime().fit(table[seen], draws=0)
    figure = FIT_FIGURES["position"](fit, table[~seen].to_dict("records"))
    marks = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    hollow = [line.get_markerfacecolor() == "white" for line in marks]
    assert len(marks) == 6
    assert hollow == sorted(hollow)
    assert 0 < sum(hollow) < 6
    assert labels(figure)[-1] == "not fitted"


def test_a_forecast_shows_every_rival():
    rows = forecast(moving("hyperbolic", noise=1e-3))
    left, right = (figure := draw_forecast(rows)).axes
    assert left.get_title(loc="left") == "lines: hyperbolic in position"
    assert [text for text in labels(figure) if text.startswith("forecast")] == [
        "forecast: hyperbolic in position",
        "forecast: power law in position",
        "forecast: last value",
    ]
    for line in right.lines:
        np.testing.assert_allclose(line.get_xdata(), TOKENS[4:])
