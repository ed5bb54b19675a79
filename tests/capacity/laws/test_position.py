"""Loss by position: planted curves are found, move as planted, and are told from each other."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.laws.position import Position, PositionOverTime, by_checkpoint

POSITIONS = np.unique(np.geomspace(1, 512, 24).round())
TOKENS = np.geomspace(2e6, 2e8, 12)
MOVING = {
    "hyperbolic": {"a0": 3.0, "a1": 0.02, "a2": 3.0, "b0": 0.05, "b1": 0.2, "b2": -0.12},
    "power": {"c": 2.0, "d": 0.4, "e": 3.0, "p": 0.05, "q": 0.1, "r": -0.1},
}


def grid():
    tokens, position = (one.ravel() for one in np.meshgrid(TOKENS, POSITIONS, indexing="ij"))
    return {"tokens": tokens, "position": position}


def moving(form, noise=0.0, seed=0):
    where = grid()
    loss = PositionOverTime(form).curve(MOVING[form], where)
    errors = noise * np.random.default_rng(seed).standard_normal(len(loss))
    return pd.DataFrame(where | {"loss": loss * np.exp(errors)})


@settings(max_examples=10)
@given(st.floats(0.5, 5), st.floats(0.003, 0.5), st.floats(0.5, 4))
def test_a_planted_hyperbola_is_found(a0, a1, a2):
    planted = {"a0": a0, "a1": a1, "a2": a2}
    loss = a0 / (1 + a1 * POSITIONS) + a2
    fit = Position().fit(pd.DataFrame({"position": POSITIONS, "loss": loss}), draws=0)
    assert fit.parameters == pytest.approx(planted, rel=1e-4)
    np.testing.assert_allclose(fit.predict({"position": np.array([1.0, 1024.0])}).value, planted["a2"] + a0 / (
        1 + a1 * np.array([1.0, 1024.0])
    ), rtol=1e-5)  # fmt: skip


@settings(max_examples=10)
@given(st.floats(0.5, 5), st.floats(0.2, 1.2), st.floats(0.5, 4))
def test_a_planted_power_law_is_found(c, d, e):
    loss = c * POSITIONS**-d + e
    fit = Position("power").fit(pd.DataFrame({"position": POSITIONS, "loss": loss}), draws=0)
    assert fit.parameters == pytest.approx({"c": c, "d": d, "e": e}, rel=1e-3)


@pytest.mark.parametrize("form", MOVING)
def test_a_law_that_moves_is_found_and_predicts_later_checkpoints(form):
    fit = PositionOverTime(form).fit(moving(form), draws=0)
    assert fit.parameters == pytest.approx(MOVING[form], rel=1e-3)
    later = {"tokens": np.full(3, 1e9), "position": np.array([1.0, 30.0, 500.0])}
    np.testing.assert_allclose(fit.predict(later).value, PositionOverTime(form).curve(MOVING[form], later), rtol=1e-4)
    assert fit.at(later)[-1] == "extrapolating by a factor of 5"


def test_intervals_hold_what_was_planted():
    """36 intervals of 95 %; those of one table are not independent."""
    held, planted = [], MOVING["hyperbolic"]
    for seed in range(6):
        ends = PositionOverTime().fit(moving("hyperbolic", noise=0.002, seed=seed), draws=100).intervals
        held += [ends[name].low < planted[name] < ends[name].high for name in planted]
        assert all(ends[name].high - ends[name].low < 0.02 for name in ("b0", "b1", "b2"))
    assert sum(held) >= 30


@pytest.mark.parametrize("form", MOVING)
def test_fits_of_checkpoints_lie_on_the_law_of_all(form):
    table, law = moving(form), PositionOverTime(form)
    each = by_checkpoint(table, form)
    assert each["tokens"].tolist() == TOKENS.tolist()
    for name, values in law.at(MOVING[form], TOKENS).items():
        np.testing.assert_allclose(each[name], values, rtol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"position": [1, 2, 3, 1, 2, 3]}, "position: 3 different values are not enough; must be at least 4"),
        ({"position": [0, 1, 2, 3, 4, 5]}, "position: 0 in row 1 is not allowed; must be a number greater than 0"),
    ],
)
def test_too_little_is_refused(changes, message):
    table = pd.DataFrame({"position": range(1, 7), "loss": np.linspace(4, 3, 6)} | changes)
    with pytest.raises(ValueError, match=f"^{message}"):
        Position().fit(table, draws=0)
