"""Intervals of what a fit says, from tables that are simulated from it.

In: a problem and its solution. Out: a `Spread`, which gives the interval of any function of the parameters. Each
simulated table is the fitted curve plus residuals drawn with replacement, made larger by what the fit has taken from
them; each is fitted again. An interval is the union of two, since either alone misses more often than it should
(docs/laws.md has the measured coverage): the percentiles of the refitted values, and the estimate plus or minus the
95th percentile of their deviations in units of each table's own standard error (Efron and Tibshirani, An Introduction
to the Bootstrap, 1993, chapters 12 and 13). The interval of a single run is wider by the noise of a run.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student

from capacity.laws.fit import LEVEL, Values
from capacity.laws.regression import Problem, Solution, jacobian, simulated

METHOD = "{draws:,} tables simulated from residuals: percentiles, and Student-scaled deviations; the wider end of both"

_MOST_LEVERAGE = 0.95
_WIDTH = 0.5
"""Of the normal noise on top of the residuals, in their standard deviations times n^(-1/5): a Huber fit leaves some
residuals at 0, and tables of them alone would vary too little."""
_NOTHING = 1e-300


@dataclass(frozen=True)
class Simulated:
    """A `Spread` from refitted tables."""

    problem: Problem
    found: Solution
    draws: Solution
    residuals: Float[np.ndarray, " n"]
    """Of the real table, made larger for what the fit has taken."""

    def __call__(
        self, quantity: Callable[[Values], np.ndarray], *, noise: bool
    ) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
        """Ends of the interval of a quantity; see `capacity.laws.fit.Spread`."""
        value, again = self._of(quantity, self.found.coordinates)[0], self._of(quantity, self.draws.coordinates)
        good = np.isfinite(again).all(axis=1)
        logs = bool((np.sign(again[good]) == np.sign(value)).all() and (value != 0).all())
        error = self._errors(quantity, self.found.coordinates, self._covariance, logs)[0]
        errors = self._errors(quantity, self.draws.coordinates, self._covariances, logs)[good]
        there, value = (_scaled(again[good], logs), _scaled(value, logs))
        deviation = there - value
        tails = (1 - LEVEL) / 2
        percentiles = np.quantile(deviation, [tails, 1 - tails], axis=0)
        half = np.quantile(np.abs(deviation) / np.maximum(errors, _NOTHING), LEVEL, axis=0) * error
        below, above = np.fmax(-percentiles[0], half), np.fmax(percentiles[1], half)
        if noise:
            own = self._noise if self.problem.logs == logs else np.nan
            below, above = np.hypot(below, own), np.hypot(above, own)
        low, high = value - below, value + above
        return _unscaled(low, high, self._of(quantity, self.found.coordinates)[0], logs)

    def _of(self, quantity: Callable[[Values], np.ndarray], coordinates: np.ndarray) -> Float[np.ndarray, "k m"]:
        """The quantity of each row of coordinates."""
        with np.errstate(all="ignore"):
            found = np.asarray(quantity(self.problem.values(coordinates)))
        return np.broadcast_to(found, (len(coordinates), found.shape[-1] if found.ndim else 1))

    @cached_property
    def _noise(self) -> float:
        """Half of an interval that holds the noise of a run: of the residuals, and by Student's t."""
        freedom = max(1, len(self.residuals) - len(self.problem.parameters))
        by_size = float(student.ppf((1 + LEVEL) / 2, freedom)) * float(self.residuals.std())
        return max(by_size, float(np.quantile(np.abs(self.residuals), LEVEL)))

    @cached_property
    def _covariance(self) -> Float[np.ndarray, "1 p p"]:
        return covariance(self.problem, self.found)

    @cached_property
    def _covariances(self) -> Float[np.ndarray, "k p p"]:
        return covariance(self.problem, self.draws)

    def _errors(
        self,
        quantity: Callable[[Values], np.ndarray],
        coordinates: Float[np.ndarray, "k p"],
        covariances: Float[np.ndarray, "k p p"],
        logs: bool,
    ) -> Float[np.ndarray, "k m"]:
        """Standard errors by the slopes of the quantity, up to a factor that all tables share."""
        slopes = []
        for place in range(coordinates.shape[1]):
            up, down = coordinates.copy(), coordinates.copy()
            up[:, place] += 1e-5
            down[:, place] -= 1e-5
            ends = [_scaled(self._of(quantity, end), logs) for end in (up, down)]
            slopes.append((ends[0] - ends[1]) / 2e-5)
        slope = np.stack(slopes, axis=-1)
        slope = np.where(np.isfinite(slope), slope, 0.0)
        square = np.einsum("kmi,kmi->km", np.matmul(slope, covariances), slope)
        return np.sqrt(np.maximum(square, 0.0))


def simulate(problem: Problem, found: Solution, draws: int, seed: int) -> Simulated:
    """Simulate tables from a solution and fit each."""
    rng = np.random.default_rng(seed)
    residuals = enlarged(problem, found)
    curve = problem.fitted(found.coordinates)[0]
    chosen = rng.choice(residuals, (draws, len(curve)))
    width = _WIDTH * len(curve) ** -0.2 * residuals.std()
    measured = curve + chosen + width * rng.standard_normal(chosen.shape)
    return Simulated(problem, found, simulated(problem, found, measured), residuals)


def enlarged(problem: Problem, found: Solution) -> Float[np.ndarray, " n"]:
    """Residuals with mean 0, as large as the noise: each divided by the root of 1 minus its leverage."""
    slope = _unit(jacobian(problem, found.coordinates))[0]
    basis, sizes, _ = np.linalg.svd(slope, full_matrices=False)
    leverage = np.square(basis[:, sizes > 1e-10 * sizes[0]]).sum(axis=1)
    residuals = found.residuals[0] / np.sqrt(1 - np.minimum(leverage, _MOST_LEVERAGE))
    return residuals - residuals.mean()


def covariance(problem: Problem, solution: Solution) -> Float[np.ndarray, "k p p"]:
    """Covariances of coordinates, linearized: the noise's variance times the inverse of the slopes' products."""
    slope = jacobian(problem, solution.coordinates)
    length = np.sqrt(np.maximum(np.square(slope).sum(axis=1), _NOTHING))
    unit = slope / length[:, None, :]
    inverse = np.linalg.pinv(np.matmul(unit.transpose(0, 2, 1), unit), rcond=1e-13, hermitian=True)
    rows, number = slope.shape[1:]
    if math.isinf(problem.delta):
        size = np.sqrt(np.square(solution.residuals).sum(axis=1) / max(1, rows - number))
    else:  # the mean size of residuals moves less by single ones, as the fit itself does
        size = np.abs(solution.residuals).sum(axis=1) / max(1, rows - number) * math.sqrt(math.pi / 2)
    return np.square(size)[:, None, None] * inverse / (length[:, :, None] * length[:, None, :])


def condition(problem: Problem, found: Solution) -> float:
    """The condition number of the slopes at a solution, each divided by its length."""
    sizes = np.linalg.svd(_unit(jacobian(problem, found.coordinates))[0], compute_uv=False)
    return float(sizes[0] / max(sizes[-1], _NOTHING))


def _unit(slope: Float[np.ndarray, "k n p"]) -> Float[np.ndarray, "k n p"]:
    return slope / np.sqrt(np.maximum(np.square(slope).sum(axis=1, keepdims=True), _NOTHING))


def _scaled(values: np.ndarray, logs: bool) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.log(np.abs(values)) if logs else values


def _unscaled(low: np.ndarray, high: np.ndarray, value: np.ndarray, logs: bool) -> tuple[np.ndarray, np.ndarray]:
    """Ends in the quantity's own unit; a negative quantity's logarithm grows the other way."""
    if not logs:
        return low, high
    with np.errstate(over="ignore"):
        first, last = np.sign(value) * np.exp(low), np.sign(value) * np.exp(high)
    return np.minimum(first, last), np.maximum(first, last)
