"""Learning-rate schedules in closed form."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.schedules import left_of_peak

shares = st.floats(0, 1)
names = st.sampled_from(["cosine", "constant", "wsd"])


@given(names, shares, shares, st.floats(0.01, 1))
def test_every_schedule_begins_at_the_peak_and_never_rises(name, one, other, decay):
    early, late = sorted([one, other])
    assert left_of_peak(name, 0.0, decay) == 1
    assert 0 <= left_of_peak(name, late, decay) <= left_of_peak(name, early, decay) <= 1
    assert left_of_peak(name, 2.0, decay) == left_of_peak(name, 1.0, decay)


@given(shares, st.floats(0.01, 1))
def test_wsd_stays_at_the_peak_then_falls_along_a_line(done, decay):
    expected = 1.0 if done <= 1 - decay else (1 - done) / decay
    assert left_of_peak("wsd", done, decay) == pytest.approx(expected, abs=1e-12)
    assert left_of_peak("constant", done, decay) == 1


@given(shares)
def test_cosine_is_half_a_wave(done):
    assert left_of_peak("cosine", done, 0.2) == pytest.approx(math.cos(math.pi / 2 * done) ** 2, abs=1e-12)
    assert left_of_peak("cosine", done, 0.2) + left_of_peak("cosine", 1 - done, 0.2) == pytest.approx(1)
