"""From a curve and a table to a `Fit`: the best parameters, their intervals, and what is doubtful about them.

In: a `Problem`. Out: a `Fit`. A law whose curve has a few parameters needs only this function.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from capacity.laws.fit import (
    AT_A_BOUND,
    BADLY_CONDITIONED,
    CONVERGED,
    NO_INTERVAL,
    TOO_FEW_LEVELS,
    Columns,
    Fit,
    Interval,
    Values,
)
from capacity.laws.regression import Problem, Solution, solve
from capacity.laws.spread import METHOD, Simulated, condition, simulate

Derive = Callable[[Values], Mapping[str, np.ndarray]]
"""What follows from parameters, such as the exponent of a frontier, by name; it broadcasts as curves do."""

MOST_CONDITION = 1e5
"""Slopes with a larger condition number say that the table hardly tells the parameters apart."""
NOT_CONVERGED = "not converged"


def columns(table: pd.DataFrame, names: tuple[str, ...], any_sign: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Columns of a table as arrays of floats; those of `any_sign` may be 0 or less.

    Raises:
        ValueError: a column is missing, or has a number that is not positive and finite.

    """
    found = {}
    for name in names:
        if name not in table:
            raise ValueError(f"{name}: is missing; the table has {', '.join(map(str, table.columns))}")
        values = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=float)
        wrong = ~(np.isfinite(values) & ((values > 0) | (name in any_sign)))
        if wrong.any():
            row = int(np.argmax(wrong))
            shown, kind = table[name].iloc[row], "number" if name in any_sign else "number greater than 0"
            raise ValueError(f"{name}: {shown} in row {row + 1} is not allowed; must be a {kind}")
        found[name] = values
    return found


def nothing_derived(values: Values) -> dict[str, np.ndarray]:
    """No further quantities."""
    return {}


def make_fit(
    law: str,
    formula: str,
    problem: Problem,
    *,
    draws: int,
    seed: int,
    derive: Derive = nothing_derived,
    tables: Callable[[Values], Mapping[str, pd.DataFrame]] = lambda values: {},
    enough: Mapping[str, int] | None = None,
) -> Fit:
    """Fit a curve to its table.

    Args:
        law: its name.
        formula: with its source.
        problem: the curve and the table.
        draws: simulated tables for intervals; 0 for none.
        seed: of their residuals.
        derive: further quantities from the parameters, which get intervals, too.
        tables: further tables from the parameters.
        enough: levels of columns below which the status says that they are few.

    """
    found = solve(problem)
    spread = simulate(problem, found, draws, seed) if draws else None

    def everything(values: Values) -> dict[str, np.ndarray]:
        return {name: np.asarray(values[name]) for name in problem.names} | dict(derive(values))

    at = problem.values(found.coordinates)
    parameters = {name: float(np.squeeze(value)) for name, value in everything(at).items()}
    intervals = _intervals(everything, list(parameters), spread)
    doubts = [*few_levels(problem.points, enough or {}), *_status(problem, found), *_unknown(problem, intervals)]
    return Fit(
        law=law,
        formula=formula,
        parameters=parameters,
        intervals=intervals,
        method=METHOD.format(draws=draws) if draws else "",
        status=tuple(doubts) or (CONVERGED,),
        residuals=found.residuals[0],
        objective=float(found.objective[0]),
        measure=problem.measure,
        points=problem.points,
        target=problem.target,
        curve=problem.curve,
        spread=spread,
        tables=tables(parameters),
    )


def _intervals(everything: Derive, names: list[str], spread: Simulated | None) -> dict[str, Interval]:
    if spread is None:
        return {}
    found = {}
    for name in names:
        (low,), (high,) = spread(lambda values: everything(values)[name], noise=False)  # noqa: B023
        least, most = spread.problem.range_of(name)
        found[name] = Interval(max(float(low), least), min(float(high), most)) if np.isfinite(low) else NO_INTERVAL
    return found


def _unknown(problem: Problem, intervals: Mapping[str, Interval]) -> list[str]:
    """A line for each parameter whose interval has all the values that it may have."""
    return [
        f"{BADLY_CONDITIONED}: {one.name} may be anything from {one.low:g} to {one.high:.3g}"
        for one in problem.parameters
        if one.name in intervals and tuple(intervals[one.name]) == (one.low, one.high)
    ]


def _status(problem: Problem, found: Solution) -> tuple[str, ...]:
    """What is doubtful; `CONVERGED` if nothing is."""
    told = [] if found.converged[0] else [NOT_CONVERGED]
    for place, one in enumerate(problem.parameters):
        low, high = one.bounds
        at = float(found.coordinates[0, place])
        if at <= low or at >= high:
            told.append(f"{AT_A_BOUND}: {one.name} = {one.low if at <= low else one.high:g}")
    number = condition(problem, found)
    if number > MOST_CONDITION:
        told.append(f"{BADLY_CONDITIONED}: {number:.1e}")
    return tuple(told)


def few_levels(points: Columns, enough: Mapping[str, int]) -> tuple[str, ...]:
    """A line for each column with fewer levels than are enough."""
    levels = {name: len(np.unique(points[name])) for name in enough}
    return tuple(f"{TOO_FEW_LEVELS}: {name} has {levels[name]}" for name in enough if levels[name] < enough[name])
