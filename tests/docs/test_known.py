"""The example of a figure: every run has a mark, where its bits and values say."""

from pathlib import Path

import numpy as np
import pytest

from capacity.report.figures import FIGURES
from capacity.report.figures.runs import Runs
from tests.capacity.report.figures.frames import both, entries, make_frame

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture
def drawn(monkeypatch):
    """The figure of some runs."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return lambda frame: FIGURES["known:known"](Runs.of(frame))[""]


def test_runs_that_know_everything_are_in_the_corner_of_everything(drawn):
    figure = drawn(make_frame(seeds=(0, 1), bits=5.0, max_bits=5.0, qa_accuracy=1.0))
    (marks,) = figure.axes[0].lines
    np.testing.assert_array_equal(marks.get_xydata(), np.ones((12, 2)))
    assert figure.legends == []


def test_kinds_have_colors_and_names(drawn):
    figure = drawn(both(make_frame(optimizer="adamw"), make_frame(optimizer="muon", bits=0.0)))
    adamw, muon = figure.axes[0].lines
    assert adamw.get_color() != muon.get_color()
    assert set(muon.get_xdata()) == {0.0}
    assert entries(figure) == ["adamw", "muon"]
