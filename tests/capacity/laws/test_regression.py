"""Curves with few parameters: what was planted is found, and the statuses say what is doubtful."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.laws.chinchilla import Chinchilla3, isoloss, search, surface
from capacity.laws.kaplan import KaplanND, KaplanNS
from capacity.laws.power import Power
from capacity.laws.regression import Parameter, Problem, huber, jacobian, minimize, solve
from capacity.laws.stored import Stored, stored
from tests.capacity.laws.planted import CHINCHILLA, chinchilla_table, power_table


def expect(fit, truth, rel=1e-3):
    for name, value in truth.items():
        assert fit.parameters[name] == pytest.approx(value, rel=rel), name


def test_chinchillas_surface_is_found():
    fit = Chinchilla3().fit(chinchilla_table(), draws=0)
    expect(fit, CHINCHILLA)
    assert fit.objective < 1e-12
    assert fit.status == ("converged",)


def test_a_power_law_is_found_with_and_without_its_floor():
    expect(Power().fit(power_table(), draws=0), {"a": 1060.0, "b": -0.15, "c": 1.7})
    without = Power(floor=False).fit(power_table(a=25.0, b=-0.05, c=0.0), draws=0)
    expect(without, {"a": 25.0, "b": -0.05})
    assert "c" not in without.parameters


def test_a_floor_that_is_not_there_is_at_its_bound():
    fit = Power().fit(power_table(a=25.0, b=-0.05, c=0.0, noise=0.01, seed=1), draws=0)
    assert fit.parameters["c"] >= 0
    steeper = Power().fit(power_table(a=25.0, b=-0.05, c=-0.2), draws=50)
    assert any(text.startswith("at a bound: c = 0") for text in steeper.status)
    assert steeper.intervals["c"].low == 0


def test_kaplans_laws_are_found():
    truth = {"alpha_N": 0.076, "alpha_D": 0.103, "N_c": 6.4e13, "D_c": 1.8e13}
    grid = pd.DataFrame([(N, D) for N in np.geomspace(1e6, 1e9, 5) for D in np.geomspace(2e7, 2e10, 5)])
    grid.columns = ["params", "tokens"]
    where = {name: grid[name].to_numpy() for name in grid}
    expect(KaplanND().fit(grid.assign(loss=KaplanND.curve(truth, where)), draws=0), truth, rel=0.01)
    steps = {"alpha_N": 0.077, "alpha_S": 0.76, "N_c": 6.5e13, "S_c": 2.1e3}
    where = {"params": where["params"], "steps": where["tokens"] / 2e4}
    table = pd.DataFrame({**where, "loss": KaplanNS.curve(steps, where)})
    expect(KaplanNS().fit(table, draws=0), steps, rel=0.01)


def test_steps_at_a_batch_size_become_the_least_steps():
    truth = {"alpha_N": 0.077, "alpha_S": 0.76, "N_c": 6.5e13, "S_c": 2.1e3}
    N, S = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e6, 1e9, 4), np.geomspace(1e3, 1e5, 4)))
    loss = KaplanNS.curve(truth, {"params": N, "steps": S})
    batch = 5e5
    table = pd.DataFrame(
        {"params": N, "batch": batch, "loss": loss, "steps": S * (1 + 2e8 / loss ** (1 / 0.21) / batch)}
    )
    expect(KaplanNS(B_star=2e8).fit(table, draws=0), truth, rel=0.01)
    assert "batch" not in KaplanNS().needs


def test_the_capacity_law_is_found():
    truth = {"scale": 30.0, "slope": 0.8, "steepness": 0.9, "capacity": 1.8}
    rows = [(P, 1e5, e) for P in np.geomspace(1e4, 3e5, 5) for e in np.geomspace(5, 500, 6)]
    grid = pd.DataFrame(rows, columns=["params", "max_bits", "exposures"])
    share = stored(truth, {name: grid[name].to_numpy() for name in grid})
    expect(Stored().fit(grid.assign(bits=share * 1e5), draws=0), truth, rel=0.01)


def test_one_ratio_of_tokens_to_parameters_is_badly_conditioned():
    table = chinchilla_table()
    table["tokens"] = 20 * table["params"]
    table["loss"] = surface(CHINCHILLA, {name: table[name].to_numpy() for name in ("params", "tokens")})
    assert any(text.startswith("badly conditioned") for text in Chinchilla3().fit(table, draws=0).status)


def test_few_sizes_are_said():
    rows = [(N, D) for N in (1e8, 1e9, 1e10) for D in np.geomspace(1e9, 1e12, 6)]
    table = pd.DataFrame(rows, columns=["params", "tokens"])
    table["loss"] = surface(CHINCHILLA, {name: table[name].to_numpy() for name in ("params", "tokens")})
    assert Chinchilla3().fit(table, draws=0).status[0] == "too few levels: params has 3"


@given(st.floats(1.8, 3.5), st.floats(1e8, 1e11))
def test_an_isoloss_contour_has_its_loss(loss, N):
    D = isoloss(CHINCHILLA, loss, np.array([N]))
    there = surface(CHINCHILLA, {"params": np.array([N]), "tokens": D})
    if np.isfinite(D).all():
        np.testing.assert_allclose(there, loss, rtol=1e-9)
    else:
        assert surface(CHINCHILLA, {"params": np.array([N]), "tokens": np.array([1e300])}) >= loss


def test_the_search_finds_the_valley():
    table = chinchilla_table()
    best = search(*(table[name].to_numpy() for name in ("params", "tokens", "loss")))[0]
    assert best["alpha"] == pytest.approx(0.34, abs=0.07)
    assert best["E"] == pytest.approx(1.69, abs=0.15)


def test_huber_losses_are_squares_near_zero_and_lines_beyond():
    residuals = np.array([[0.0, 0.5, -3.0]])
    assert huber(residuals, 1.0)[0] == pytest.approx(0.125 + 2.5)
    assert huber(residuals, np.inf)[0] == pytest.approx(0.125 + 4.5)
    assert huber(np.array([[np.nan]]), 1.0)[0] == np.inf


def line(values, where):
    return values["k"] * where["x"] ** values["power"]


def line_problem(delta=np.inf):
    x = np.linspace(1.0, 2.0, 9)
    points = {"x": x, "y": 3.0 * x**2}
    parameters = Parameter("k"), Parameter("power", -10.0, 10.0, log=False)
    return Problem(
        lambda values, where: values["k"] * where["x"] ** values["power"],
        parameters,
        points,
        "y",
        [{"k": 1.0, "power": 1.0}],
        delta,
    )


def test_slopes_are_those_of_the_closed_form():
    problem = line_problem()
    slopes = jacobian(problem, np.array([[np.log(3.0), 2.0]]))
    np.testing.assert_allclose(slopes[0], np.stack([np.ones(9), np.log(problem.points["x"])], axis=1), atol=1e-8)


def test_many_tables_are_fitted_as_one_would_be():
    problem = line_problem(delta=1e-2)
    tables = problem.measured + 0.1 * np.random.default_rng(0).standard_normal((5, 9))
    start = solve(problem).coordinates
    together = minimize(problem, np.repeat(start, 5, axis=0), tables, tolerance=1e-12, cap=1000)
    for place in range(5):
        alone = minimize(problem, start, tables[place : place + 1], tolerance=1e-12, cap=1000)
        assert alone.objective[0] == pytest.approx(together.objective[place], rel=1e-6)


def test_an_outlier_moves_a_huber_fit_less():
    table = chinchilla_table(noise=0.001)
    table.loc[3, "loss"] *= 1.5
    least, robust = (Chinchilla3(delta=delta).fit(table, draws=0).parameters["alpha"] for delta in (np.inf, 1e-3))
    assert abs(robust - 0.34) < abs(least - 0.34)
