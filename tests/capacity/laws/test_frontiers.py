"""Approaches 1 and 2, and critical batches: what was planted is found, and what cannot be known is refused."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.laws.chinchilla import exponents_of_frontier, surface
from capacity.laws.critical_batch import CriticalBatch, hyperbola
from capacity.laws.envelope import Chinchilla1, vertex
from capacity.laws.isoflop import Chinchilla2, budgets, minima, valley
from capacity.laws.line import fit_line
from tests.capacity.laws.planted import CHINCHILLA, chinchilla_table

A = float(exponents_of_frontier(CHINCHILLA)["a"])


@pytest.mark.parametrize("how", ["parabola", "akima"])
def test_isoflop_minima_give_the_planted_exponent(how):
    fit = Chinchilla2(minimum=how).fit(chinchilla_table(sizes=15))
    assert fit.parameters["a"] == pytest.approx(A, abs=0.01)
    assert fit.parameters["a"] + fit.parameters["b"] == pytest.approx(1)
    assert fit.status == ("converged",)


def test_a_minimum_at_the_edge_is_no_minimum():
    table = chinchilla_table(sizes=9)
    best = table.groupby("flops")["loss"].transform("idxmin")
    smaller = table[(table["flops"] > 1e18) | (table["params"] <= table["params"].loc[best].to_numpy())]
    fit = Chinchilla2().fit(smaller)
    assert fit.status[0] == "refused: 1 of 5 budgets have no minimum between their sizes"
    assert fit.tables["minima"]["refused"].iloc[0] == "the largest size is best"
    assert len(fit.residuals) == 4


def test_too_few_budgets_are_refused_with_the_reason():
    with pytest.raises(ValueError, match="flops: 2 budgets with a minimum between their sizes are not enough"):
        Chinchilla2().fit(chinchilla_table(budgets=2))


def test_rows_of_nearly_equal_flops_are_one_budget():
    flops = np.array([2.0, 1.0, 1.05, 2.1, 1.08])
    assert [sorted(rows) for rows in budgets(flops)] == [[1, 2, 4], [0, 3]]


def test_seeds_of_a_size_count_by_their_mean():
    N = np.array([1.0, 2.0, 4.0, 8.0])
    loss = (np.log(N) - 1) ** 2 + 2
    once = valley(N, 10 / N, loss, "parabola")
    twice = valley(np.tile(N, 2), np.tile(10 / N, 2), np.concatenate([loss - 0.1, loss + 0.1]), "parabola")
    assert twice[:3] == pytest.approx(once[:3])
    assert once.params == pytest.approx(np.e)
    assert once.loss == pytest.approx(2)


@given(st.floats(-1, 1), st.floats(0.1, 5), st.floats(0.2, 2))
def test_a_vertex_is_that_of_the_parabola(center, curvature, step):
    x = np.array([[-1.0], [0.0], [step]]) + center
    found, low = vertex(x, curvature * (x - center - 0.05) ** 2 + 3)
    assert found[0] == pytest.approx(center + 0.05, abs=1e-6)
    assert low[0] == pytest.approx(3, abs=1e-6)


def horizons(noise=0.0):
    rows = [(N, N * ratio) for N in np.geomspace(1e7, 1e10, 9) for ratio in np.geomspace(1, 400, 9)]
    frame = pd.DataFrame(rows, columns=["params", "tokens"])
    loss = surface(CHINCHILLA, {name: frame[name].to_numpy() for name in frame})
    error = noise * np.random.default_rng(0).standard_normal(len(frame))
    return frame.assign(flops=6 * frame["params"] * frame["tokens"], loss=loss * np.exp(error))


def test_the_envelope_gives_the_planted_exponent():
    fit = Chinchilla1().fit(horizons(), draws=0)
    assert fit.parameters["a"] == pytest.approx(A, abs=0.01)
    noisy = Chinchilla1().fit(horizons(noise=0.005), draws=60)
    assert noisy.intervals["a"].low < A < noisy.intervals["a"].high


def test_an_envelope_needs_sizes_with_several_horizons():
    one_each = horizons().groupby("params").head(1)
    with pytest.raises(ValueError, match="params: 0 sizes with 4 different flops are not enough"):
        Chinchilla1().fit(one_each)


def batches(alpha_B=0.21, B_star=2e8):
    frame = pd.DataFrame([(L, B) for L in np.linspace(2.6, 4, 6) for B in np.geomspace(2e4, 2e7, 6)])
    frame.columns = ["loss", "batch"]
    critical = B_star / frame["loss"] ** (1 / alpha_B)
    return frame.assign(steps=1000 / frame["loss"] * (1 + critical / frame["batch"]))


def test_critical_batches_are_found():
    fit = CriticalBatch().fit(batches())
    assert fit.parameters["alpha_B"] == pytest.approx(0.21, rel=1e-3)
    assert fit.parameters["B_star"] == pytest.approx(2e8, rel=1e-2)


@given(st.floats(10, 1e4), st.floats(100, 1e5))
def test_steps_and_tokens_obey_the_hyperbola(S_min, critical):
    B = np.geomspace(critical / 30, critical * 30, 7)
    S = S_min * (1 + critical / B)
    found, at = hyperbola(B, S)
    assert (found, at) == pytest.approx((S_min, critical), rel=1e-4)
    E_min = found * at
    np.testing.assert_allclose((S / found - 1) * (B * S / E_min - 1), 1, rtol=1e-2)


def test_one_batch_size_a_loss_is_refused():
    with pytest.raises(ValueError, match="loss: 0 different losses with a critical batch size are not enough"):
        CriticalBatch().fit(batches().groupby("loss").head(1))


def test_a_line_has_students_interval():
    """Against scipy's own regression."""
    from scipy.stats import linregress
    from scipy.stats import t as student

    x = np.geomspace(1, 100, 7)
    y = 3 * x**0.5 * np.exp(0.1 * np.random.default_rng(0).standard_normal(7))
    fit = fit_line("line", "y = k·x^p", {"x": x, "y": y}, names=("k", "p"), draws=1, tables={})
    expected = linregress(np.log(x), np.log(y))
    half = student.ppf(0.975, 5) * expected.stderr
    assert fit.intervals["p"] == pytest.approx((expected.slope - half, expected.slope + half), rel=1e-6)
    half = student.ppf(0.975, 5) * expected.intercept_stderr
    assert fit.intervals["k"] == pytest.approx(
        (np.exp(expected.intercept - half), np.exp(expected.intercept + half)), rel=1e-5
    )


def test_minima_say_why_a_budget_is_refused():
    table = chinchilla_table(sizes=3)
    found = minima({name: table[name].to_numpy() for name in ("params", "tokens", "flops", "loss")}, "parabola")
    assert set(found["refused"]) == {"3 sizes; must be at least 4"}
