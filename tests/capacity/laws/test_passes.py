"""The law of passes against parameters, on planted surfaces."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.laws.passes import PassesLaw, fewest_exposures, fit_passes

EXPOSURES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


@settings(max_examples=20)
@given(st.floats(10, 300), st.floats(0.5, 2), st.floats(0.7, 2), st.floats(0.8, 1.9))
def test_a_planted_law_is_found(scale, slope, steepness, capacity):
    x, exposures = (grid.ravel() for grid in np.meshgrid([0.5, 1.0, 2.0, 4.0, 9.0], [*map(float, EXPOSURES)]))
    planted = PassesLaw(scale, slope, steepness, capacity, 0.0)
    found = fit_passes(x, exposures, planted.share(x, exposures))
    assert found.error < 1e-4
    np.testing.assert_allclose(found[:4], planted[:4], rtol=0.01)


def test_points_that_tell_nothing_are_refused():
    with pytest.raises(ValueError, match=r"^points: 6 of 1 sizes are not enough"):
        fit_passes(np.ones(6), np.arange(1.0, 7), np.linspace(0, 1, 6))


@given(st.floats(1.5, 900))
def test_the_fewest_exposures_lie_where_the_share_crosses(crossing):
    share = [1 / (1 + (crossing / number) ** 2) for number in EXPOSURES]
    found = fewest_exposures(EXPOSURES, share, 0.5)
    above = next(place for place, number in enumerate(EXPOSURES) if number >= crossing)
    assert EXPOSURES[above - 1] <= found <= EXPOSURES[above]


def test_a_share_that_is_never_reached_has_no_number():
    assert math.isnan(fewest_exposures([1, 10], [0.1, 0.5], 0.9))
    assert fewest_exposures([1, 10], [0.95, 0.99], 0.9) == 1
