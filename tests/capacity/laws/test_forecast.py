"""Forecasts of the loss at each position: what was planted wins, and no rival sees what it shall predict."""

import numpy as np
import pandas as pd
import pytest

from capacity.laws.forecast import errors, forecast
from capacity.laws.schedule import multi_power
from tests.capacity.laws.test_position import MOVING, POSITIONS, TOKENS, grid, moving


@pytest.mark.parametrize("form", MOVING)
def test_the_planted_form_predicts_best(form):
    found = errors(forecast(moving(form, noise=1e-4)))
    assert found["rival"][0] == form
    assert found["mean"][0] < 0.01
    assert found.set_index("rival").loc["last", "bias"] > 0.1  # the loss goes on falling


def test_the_last_value_wins_where_nothing_changes():
    where = grid()
    loss = 2 / (1 + 0.03 * where["position"]) + 3
    noise = np.random.default_rng(1).standard_normal(len(POSITIONS)) * 0.02  # of windows, the same at all checkpoints
    found = errors(forecast(pd.DataFrame(where | {"loss": loss + np.tile(noise, len(TOKENS))})))
    assert found["rival"][0] == "last"
    assert found["largest"][0] == pytest.approx(0, abs=1e-12)


def test_later_checkpoints_change_no_forecast():
    table = moving("hyperbolic", noise=1e-3)
    other = table.assign(loss=table["loss"].where(table["tokens"] <= TOKENS[3], 1.0))
    one, two = forecast(table), forecast(other)
    assert one["fitted"].groupby(one["tokens"]).all().tolist() == [True] * 4 + [False] * 8
    for rival in ("hyperbolic", "power", "last"):
        np.testing.assert_array_equal(one[rival], two[rival])


def curves(positions):
    """Loss under a falling rate, that each position follows with a floor of its own."""
    tokens = np.linspace(1e6, 3e7, 30)
    lr = 1e-3 * (0.55 + 0.45 * np.cos(np.pi * tokens / 3e7))
    planted = {"A": 40.0, "alpha": 0.5, "B": 300.0, "C": 1e-4, "beta": 0.5, "gamma": 0.5}
    parts = []
    for position in positions:
        loss = multi_power.curve(planted | {"L0": 2 + 1 / position}, {"step": tokens, "lr": lr})
        parts.append(pd.DataFrame({"tokens": tokens, "position": position, "lr": lr, "loss": loss}))
    return pd.concat(parts)


def test_a_schedule_is_followed_at_each_position():
    found = forecast(curves([1.0, 2.0, 4.0, 8.0]), first=0.5)
    table = errors(found).set_index("rival")
    assert table.loc["multi_power", "mean"] < 0.3 * table.loc["last", "mean"]


def test_a_constant_rate_has_no_multi_power_law():
    table = curves([1.0, 2.0, 4.0, 8.0]).assign(lr=1e-3)
    found = forecast(table)
    assert found["multi_power"].isna().all()
    assert "multi_power" not in set(errors(found)["rival"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.iloc[1:], "position: must have one row at each of the tokens"),
        (lambda table: table[table["tokens"] == TOKENS[0]], "tokens: 1 different values are not enough"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        forecast(change(moving("hyperbolic")))
