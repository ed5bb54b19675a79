"""Curves with a few parameters, fitted to thousands of tables at once: the numerical part of most laws.

In: a `Problem`, a curve and a table. Out: a `Solution`. Residuals, of logarithms unless the problem says otherwise, are
minimized by Levenberg and Marquardt's method, with weights that make the squares Huber losses, for many tables in one
array; so intervals can be simulated. `capacity.laws.spread` makes them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from capacity.laws.fit import Columns, Curve, Values

HUBER = 1e-3
"""Where a Huber loss becomes linear, in nats of log loss (Hoffmann et al. 2022, arXiv 2203.15556, section 3.3)."""
SQUARES = math.inf
"""A Huber loss that never becomes linear."""

_MOST_STEPS = 2000
_LEAST_LOG = -700.0
"""A logarithm of 0, for a double."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a curve: where it may be, and whether the solver moves its logarithm."""

    name: str
    low: float = 0.0
    high: float = math.inf
    log: bool = True

    def inside(self, value: float) -> float:
        """The coordinate of a value, which the bounds clip."""
        clipped = min(max(value, self.low), self.high)
        return math.log(max(clipped, 1e-300)) if self.log else clipped

    @property
    def bounds(self) -> tuple[float, float]:
        """Ends in coordinates."""
        if not self.log:
            return self.low, self.high
        return (math.log(self.low) if self.low > 0 else _LEAST_LOG), (
            math.log(self.high) if self.high < math.inf else -_LEAST_LOG
        )


@dataclass(frozen=True)
class Problem:
    """What to fit. The curve must broadcast: parameters [k, 1] over columns [n] give [k, n], all positive."""

    curve: Curve
    parameters: tuple[Parameter, ...]
    points: Columns
    target: str
    starts: Sequence[Values]
    delta: float = SQUARES
    """Where the loss of a residual becomes linear."""
    logs: bool = True
    """Whether residuals are of logarithms."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters."""
        return tuple(one.name for one in self.parameters)

    def range_of(self, name: str) -> tuple[float, float]:
        """The values that a parameter may have; all numbers for what is derived."""
        return next(((one.low, one.high) for one in self.parameters if one.name == name), (-math.inf, math.inf))

    @property
    def measure(self) -> str:
        """What the objective is."""
        what = f"log {self.target}" if self.logs else self.target
        if math.isinf(self.delta):
            return f"half the sum of squares of {what}"
        return f"sum of Huber losses (delta {self.delta:g}) of {what}"

    def values(self, coordinates: Float[np.ndarray, "k p"]) -> dict[str, np.ndarray]:
        """Parameters by name, each [k, 1]."""
        return {
            one.name: np.exp(coordinates[:, place, None]) if one.log else coordinates[:, place, None]
            for place, one in enumerate(self.parameters)
        }

    def coordinates(self, values: Values) -> Float[np.ndarray, " p"]:
        """The coordinates of parameters."""
        return np.array([one.inside(float(values[one.name])) for one in self.parameters])

    @property
    def measured(self) -> Float[np.ndarray, " n"]:
        """The target, or its logarithm."""
        return np.log(self.points[self.target]) if self.logs else self.points[self.target]

    def fitted(self, coordinates: Float[np.ndarray, "k p"]) -> Float[np.ndarray, "k n"]:
        """What the curve says at each row, or its logarithm."""
        with np.errstate(all="ignore"):
            curve = self.curve(self.values(coordinates), self.points)
            curve = np.broadcast_to(curve, (len(coordinates), len(self.points[self.target])))
            return np.log(curve) if self.logs else curve


@dataclass(frozen=True)
class Solution:
    """The coordinates with the least objective, for each of k tables."""

    coordinates: Float[np.ndarray, "k p"]
    objective: Float[np.ndarray, " k"]
    residuals: Float[np.ndarray, "k n"]
    converged: Bool[np.ndarray, " k"]


def solve(problem: Problem) -> Solution:
    """The best fit over all starts, for one table. Raises ValueError if the curve is finite at none of them."""
    starts = np.array([problem.coordinates(values) for values in problem.starts])
    starts = starts[np.isfinite(problem.fitted(starts)).all(axis=1)]
    if not len(starts):
        raise ValueError(f"{problem.target}: its numbers are not allowed; the law is infinite at all of its starts")
    measured = np.tile(problem.measured, (len(starts), 1))
    rough = minimize(problem, starts, measured, tolerance=1e-4, cap=60)
    best = np.argsort(rough.objective)[: max(1, min(3, len(starts)))]
    fine = minimize(problem, rough.coordinates[best], measured[best], tolerance=1e-13, cap=_MOST_STEPS)
    one = [int(np.argmin(fine.objective))]
    return Solution(fine.coordinates[one], fine.objective[one], fine.residuals[one], fine.converged[one])


def minimize(
    problem: Problem,
    starts: Float[np.ndarray, "k p"],
    measured: Float[np.ndarray, "k n"],
    *,
    tolerance: float,
    cap: int,
) -> Solution:
    """Fit k tables at once, each from its own start.

    Args:
        problem: the curve; its target is not read.
        starts: coordinates.
        measured: the target, or its logarithm, a row a table.
        tolerance: a step that lessens the objective by less, relatively, is the last.
        cap: steps at most.

    """
    low, high = np.array([one.bounds for one in problem.parameters]).T
    found = np.clip(np.array(starts, dtype=float), low, high)
    residuals = measured - problem.fitted(found)
    objective = huber(residuals, problem.delta)
    damping, active = np.full(len(found), 1e-3), np.arange(len(found))
    for _ in range(cap):
        step = _step(problem, found[active], residuals[active], damping[active], low, high)
        tried = np.clip(found[active] + step, low, high)
        there = measured[active] - problem.fitted(tried)
        value = huber(there, problem.delta)
        before = objective[active]
        better = value <= before
        gain = np.where(better, (before - value) / np.maximum(before, 1e-300), np.inf)
        damping[active] = np.clip(damping[active] * np.where(better, 0.2, 8.0), 1e-12, 1e12)
        moved = active[better]
        found[moved], residuals[moved], objective[moved] = tried[better], there[better], value[better]
        active = active[~((gain < tolerance) | (damping[active] > 1e10))]
        if not len(active):
            break
    converged = np.ones(len(found), dtype=bool)
    converged[active] = False
    return Solution(found, objective, residuals, converged)


def _step(
    problem: Problem,
    found: Float[np.ndarray, "k p"],
    residuals: Float[np.ndarray, "k n"],
    damping: Float[np.ndarray, " k"],
    low: Float[np.ndarray, " p"],
    high: Float[np.ndarray, " p"],
) -> Float[np.ndarray, "k p"]:
    """The damped step of least squares with Huber's weights; coordinates pressed against a bound stay there."""
    slope = jacobian(problem, found)
    weights = np.minimum(1.0, problem.delta / np.maximum(np.abs(residuals), 1e-300))
    weighted = slope * weights[..., None]
    gradient = np.einsum("kni,kn->ki", weighted, residuals)
    curvature = np.matmul(weighted.transpose(0, 2, 1), slope)
    held = ((found <= low) & (gradient < 0)) | ((found >= high) & (gradient > 0))
    gradient = np.where(held, 0.0, gradient)
    curvature = np.where(held[:, :, None] | held[:, None, :], 0.0, curvature)
    diagonal = np.einsum("kii->ki", curvature)
    size = np.where(diagonal > 0, diagonal, 1.0)
    places = np.arange(found.shape[1])
    curvature[:, places, places] = size * (1 + damping[:, None])
    scale = np.sqrt(size)
    scaled = curvature / (scale[:, :, None] * scale[:, None, :])
    return np.linalg.solve(scaled, (gradient / scale)[..., None])[..., 0] / scale


def jacobian(problem: Problem, coordinates: Float[np.ndarray, "k p"]) -> Float[np.ndarray, "k n p"]:
    """Slopes of what is fitted along each coordinate, by central differences; infinite ones are 0."""
    columns = []
    for place in range(coordinates.shape[1]):
        size = 1e-5 * np.maximum(1.0, np.abs(coordinates[:, place]) if not problem.parameters[place].log else 1.0)
        up, down = coordinates.copy(), coordinates.copy()
        up[:, place] += size
        down[:, place] -= size
        if not problem.parameters[place].log:  # a floor of 0 has slopes on one side
            down[:, place] = np.maximum(down[:, place], problem.parameters[place].low)
        length = (up - down)[:, place, None]
        columns.append((problem.fitted(up) - problem.fitted(down)) / length)
    slopes = np.stack(columns, axis=-1)
    return np.where(np.isfinite(slopes), slopes, 0.0)


def raised(x: np.ndarray, exponent: "np.ndarray | float") -> np.ndarray:
    """x^exponent for positive x [n] and exponents [k, 1]; many times faster than the operator."""
    return np.exp(exponent * np.log(x))


def huber(residuals: Float[np.ndarray, "k n"], delta: float) -> Float[np.ndarray, " k"]:
    """The sum of Huber losses of each row; half the squares for an infinite delta. Infinite where not a number."""
    size = np.abs(residuals)
    if math.isinf(delta):
        sums = 0.5 * np.square(size).sum(axis=1)
    else:
        sums = np.where(size <= delta, 0.5 * np.square(size), delta * (size - 0.5 * delta)).sum(axis=1)
    return np.where(np.isnan(sums), np.inf, sums)


def simulated(problem: Problem, found: Solution, measured: Float[np.ndarray, "k n"]) -> Solution:
    """Fits of k tables that were simulated from a solution."""
    starts = np.repeat(found.coordinates, len(measured), axis=0)
    return minimize(problem, starts, measured, tolerance=1e-6, cap=200)
