"""What a fit says about points: predictions, intervals, how far they are from what was fitted."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.laws import LAWS
from capacity.laws.fit import Interval, require_levels, times_beyond
from capacity.laws.power import Power
from tests.capacity.laws.planted import power_table


@pytest.fixture(scope="module")
def fit():
    return Power().fit(power_table(noise=0.01), draws=200)


def test_a_prediction_is_the_law_at_the_point(fit):
    C = np.array([1e18, 1e23])
    a, b, c = (fit.parameters[name] for name in "abc")
    np.testing.assert_allclose(fit.predict({"flops": C}).value, a * C**b + c)


def test_a_run_is_less_certain_than_the_law_and_both_hold_the_value(fit):
    said = fit.predict({"flops": np.geomspace(1e16, 1e24, 9)})
    ends = (said.run_low, said.low, said.value, said.high, said.run_high)
    assert all((first < second).all() for first, second in pairwise(ends))
    assert said.high[-1] - said.low[-1] > said.high[4] - said.low[4]  # far from the runs


def test_a_prediction_needs_the_columns_of_the_law(fit):
    with pytest.raises(ValueError, match="flops: is missing; law power depends on flops"):
        fit.predict({"params": np.array([1.0])})


def test_the_status_says_how_far_a_prediction_extrapolates(fit):
    assert fit.at({"flops": np.array([1e19])}) == ("converged",)
    assert fit.at({"flops": np.array([1e23])}) == ("converged", "extrapolating by a factor of 100")


@given(st.floats(1e-3, 1e3), st.floats(1, 100))
def test_times_beyond_are_ratios_to_the_nearer_end(low, width):
    ranges = {"x": Interval(low, low * width)}
    where = {"x": low * np.array([1 / 3, 1.0, width, 5 * width])}
    np.testing.assert_allclose(times_beyond(ranges, where), [3, 1, 1, 5], rtol=1e-9)


def test_a_table_that_says_too_little_is_refused():
    few = {"x": np.array([1.0, 1, 2]), "loss": np.array([1.0, 2, 3])}
    with pytest.raises(ValueError, match=r"^rows: 3 are not enough; must be more than the 3 parameters of the law$"):
        require_levels(few, {}, 3)
    with pytest.raises(ValueError, match=r"^x: 2 different values are not enough; must be at least 3$"):
        require_levels(few, {"x": 3}, 2)


@pytest.mark.parametrize("name", LAWS.names)
def test_every_law_says_its_formula_and_its_columns(name):
    law = LAWS[name]
    assert "=" in law.formula
    assert len(law.needs) > 1


def test_equal_seeds_give_equal_intervals():
    table = power_table(noise=0.01)
    first, second, other = (Power().fit(table, draws=50, seed=seed).intervals for seed in (1, 1, 2))
    assert first == second != other
