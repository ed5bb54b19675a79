"""Loss under a schedule: the sums of the papers to the letter, planted curves, and public curves predicted."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.laws import LAWS
from capacity.laws.paths import paths_of
from capacity.laws.schedule import annealing, multi_power

DATA = Path(__file__).parents[2] / "data" / "multi_power_law"
FITTED = ("cosine_24000", "constant_24000", "wsdcon_9")
PLANTED = {"L0": 2.5, "A": 0.5, "alpha": 0.5, "B": 400.0, "C": 1.5, "beta": 0.5, "gamma": 0.6}
FORGETTING = {"L0": 2.5, "A": 0.5, "alpha": 0.5, "C": 0.8, "forgets": 2e-3}


def schedule(kind, steps, every=50, warmup=200, peak=1e-3):
    step = np.arange(warmup, steps + 1, every, dtype=float)
    done = (step - warmup) / (steps - warmup)
    lr = {
        "constant": np.full(len(step), peak),
        "cosine": peak * (0.55 + 0.45 * np.cos(np.pi * done)),
        "decay": peak * np.where(done < 0.7, 1.0, 0.1 ** ((done - 0.7) / 0.3)),
        "two": np.where(done < 0.5, peak, 0.3 * peak),
    }[kind]
    return {"step": step, "lr": lr}


def joined(*parts):
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.mark.parametrize("kind", ["cosine", "two"])
def test_the_multi_power_law_is_its_formula_step_by_step(kind):
    """With a row a step, all sums of the paper, the warm-up's among them, from its 32 pieces on."""
    where = schedule(kind, 300, every=1, warmup=32)
    eta = np.concatenate([np.arange(1, 32) / 32 * 1e-3, where["lr"]])  # steps 1, 2, ...
    before = np.concatenate([[0.0], eta[:-1]])
    middle = (eta + before) / 2  # the rate is linear between rows
    p = PLANTED
    for row in (0, 5, 100, 200, 268):
        t = 31 + row
        S = np.array([middle[k + 1 : t + 1].sum() for k in range(t + 1)])
        G = 1 - (1 + p["C"] * eta[: t + 1] ** -p["gamma"] * S) ** -p["beta"]
        gone = ((before - eta)[: t + 1] * G).sum()
        expected = p["L0"] + p["A"] * middle[: t + 1].sum() ** -p["alpha"] - p["B"] * gone
        assert multi_power.curve(p, where)[row] == pytest.approx(expected, rel=1e-9)


@given(st.floats(1e-3, 0.2), st.sampled_from(["constant", "cosine", "decay", "two"]))
def test_annealing_is_its_recurrence_step_by_step(forgets, kind):
    where = schedule(kind, 400, every=1)
    m = S2 = 0.0
    expected = []
    S1 = np.concatenate([[0.0], np.cumsum((where["lr"][1:] + where["lr"][:-1]) / 2)]) + 200 * 1e-3 / 2
    for place, lr in enumerate(where["lr"]):
        m = (1 - forgets) * m + (where["lr"][place - 1] - lr if place else 0.0)
        S2 += m
        expected.append(2.5 + 0.5 * S1[place] ** -0.5 - 0.8 * S2)
    found = annealing.curve(FORGETTING | {"forgets": forgets}, where)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_constant_rate_has_no_drops_after_its_warmup():
    (path,) = paths_of(**schedule("constant", 1000))
    np.testing.assert_allclose(path.S1, 1e-3 * (schedule("constant", 1000)["step"] - 100))
    assert path.warmup == len(path.drops)
    assert path.drops.sum() == pytest.approx(-1e-3)


def test_curves_do_not_see_each_other():
    parts = [schedule("cosine", 900), schedule("constant", 500), schedule("two", 700)]
    alone = np.concatenate([multi_power.curve(PLANTED, part) for part in parts])
    np.testing.assert_array_equal(multi_power.curve(PLANTED, joined(*parts)), alone)


@settings(max_examples=3)
@given(st.floats(0.4, 0.7), st.floats(2.0, 3.0), st.floats(0.6, 1.5))
def test_a_planted_annealing_is_found_and_predicts_another_schedule(alpha, L0, C):
    planted = FORGETTING | {"alpha": alpha, "L0": L0, "C": C}
    where = joined(schedule("cosine", 4000), schedule("two", 3000))
    fit = annealing.fit(pd.DataFrame(where | {"loss": annealing.curve(planted, where)}))
    assert fit.objective < 1e-8
    assert fit.status == ("converged",)
    unseen = schedule("decay", 5000)
    np.testing.assert_allclose(fit.predict(unseen).value, annealing.curve(planted, unseen), atol=1e-3)
    assert fit.at(unseen)[-1] == "extrapolating by a factor of 1.25"


def test_a_planted_multi_power_law_predicts_another_schedule():
    """Its C, beta and gamma are held near 1, 0.5 and 0.5, so they are not found exactly, and yet the curve is."""
    where = joined(schedule("cosine", 4000), schedule("constant", 4000), schedule("two", 3000))
    fit = multi_power.fit(pd.DataFrame(where | {"loss": multi_power.curve(PLANTED, where)}))
    unseen = schedule("decay", 5000)
    np.testing.assert_allclose(fit.predict(unseen).value, multi_power.curve(PLANTED, unseen), atol=4e-3)


def unseen_errors(law, size):
    """R² and mean absolute error over the six schedules that were not fitted."""
    curves = pd.read_csv(DATA / f"{size}.csv")
    fit = law.fit(curves[curves["curve"].isin(FITTED)])
    R2, errors = [], []
    for _, rows in curves[~curves["curve"].isin(FITTED)].groupby("curve"):
        error = law.curve(fit.parameters, {name: rows[name].to_numpy(float) for name in ("step", "lr")}) - rows["loss"]
        R2.append(1 - (error**2).sum() / ((rows["loss"] - rows["loss"].mean()) ** 2).sum())
        errors.append(error.abs().mean())
    assert len(R2) == 6
    return np.mean(R2), np.mean(errors)


@pytest.mark.parametrize(("size", "most"), [("25M", 0.0042), ("100M", 0.0044)])
def test_public_schedules_are_predicted(size, most):
    """The authors' own: mean R² .9988 and .9983, mean absolute error .00376 and .00435."""
    R2, error = unseen_errors(multi_power, size)
    assert R2 >= 0.998
    assert error <= most


@pytest.mark.parametrize("size", ["25M", "100M"])
def test_annealing_predicts_them_nearly_as_well(size):
    R2, error = unseen_errors(annealing, size)
    assert R2 >= 0.9975
    assert error <= 0.005


def test_a_rate_that_never_changes_is_refused():
    where = schedule("constant", 3000)
    table = pd.DataFrame(where | {"loss": np.linspace(4, 3, len(where["step"]))})
    with pytest.raises(ValueError, match=r"^lr: 1 different values are not enough; must be at least 2"):
        LAWS["schedule"].fit(table, draws=0, seed=0)


def test_a_single_point_has_no_schedule():
    where = joined(schedule("cosine", 2000), schedule("two", 2000))
    fit = annealing.fit(pd.DataFrame(where | {"loss": annealing.curve(FORGETTING, where)}))
    with pytest.raises(ValueError, match=r"^step: a curve of one row is not allowed"):
        fit.predict({"step": np.array([500.0]), "lr": np.array([1e-3])})
