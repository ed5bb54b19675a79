"""Chinchilla's first approach: the best size for each of many budgets, read off the lower envelope of curves.

Hoffmann et al. 2022 (arXiv 2203.15556, section 3.1): a curve of loss against FLOPs for each size, smoothed; at 1,500
budgets the size with the lowest loss; a power law through them. Here the curves are polynomials in logarithms of what
several horizons gave, and the best size lies between three neighbors, on the parabola through them, so that the
envelope has no steps.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import t as student

from capacity.laws.fit import CONVERGED, LEVEL, Columns, Fit, Interval, Values
from capacity.laws.fitting import columns, few_levels
from capacity.laws.isoflop import exponent_of_tokens
from capacity.laws.regression import raised

BUDGETS = 1500
LEAST_HORIZONS = 4
"""Rows that a size needs for a curve."""
_CUBIC = 7
"""Rows of a size from which on its curve is cubic, not a parabola."""
_LEAST_SIZES = 3
_LEAST_SPAN = 2.0
"""Times that the envelope's largest budget is its smallest one, at least."""


@dataclass(frozen=True)
class Chinchilla1:
    """N* = k·C^a along the envelope."""

    formula = "params = k·flops^a"
    needs = ("params", "flops", "loss")

    def fit(self, table: pd.DataFrame, *, draws: int = 1000, seed: int = 0) -> Fit:
        """Least squares of log N* over the budgets that have a best size inside. Raises ValueError without."""
        points = columns(table, self.needs)
        curves = Curves.of(points)
        C, N, loss = curves.envelope(curves.coefficients)
        if len(C) < 2 or C[-1] / C[0] < _LEAST_SPAN:
            raise ValueError(
                f"params: {len(curves.sizes)} sizes have no lower envelope over a factor {_LEAST_SPAN:g} of flops; "
                "must be sizes of which a middle one is best"
            )
        line = _line(C, N)
        spread = _Spread(line, _simulate(curves, draws, seed)) if draws else None
        residuals = np.log(N) - line[0] - line[1] * np.log(C)
        everything = {"k": math.exp(line[0]), "a": float(line[1])}
        parameters = everything | {name: float(value) for name, value in exponent_of_tokens(everything).items()}
        shown = np.linspace(0, len(C) - 1, min(12, len(C))).round().astype(int)
        used = len(np.unique(points["params"]))
        return Fit(
            law="chinchilla-1",
            formula=self.formula,
            parameters=parameters,
            intervals={} if spread is None else spread.intervals(),
            method=METHOD.format(draws=draws) if draws else "",
            status=(
                *few_levels(points, {"params": 5}),
                *([f"left out: {used - len(curves.sizes)} sizes have too few horizons"] * (used > len(curves.sizes))),
            )
            or (CONVERGED,),
            residuals=residuals,
            objective=0.5 * float(residuals @ residuals),
            measure="half the sum of squares of log params",
            points={"flops": C, "params": N},
            target="params",
            curve=lambda values, where: values["k"] * raised(where["flops"], values["a"]),
            spread=spread,
            tables={
                "envelope": pd.DataFrame({"flops": C, "params": N, "loss": loss}).iloc[shown],
                "runs": pd.DataFrame(points),
            },
        )


METHOD = "{draws:,} simulated tables: as far as percentiles reach, at least Student's t times their standard deviation"
"""To both sides alike, as the lowest of many noisy curves is too low in every table."""


@dataclass(frozen=True)
class Curves:
    """A polynomial of log loss in log FLOPs for each size."""

    sizes: Float[np.ndarray, " s"]
    rows: tuple[np.ndarray, ...]
    """The rows of each size."""
    middles: Float[np.ndarray, " s"]
    degrees: tuple[int, ...]
    logs: Float[np.ndarray, " n"]
    """Log FLOPs of every row."""
    measured: Float[np.ndarray, " n"]
    """Log loss of every row."""

    @classmethod
    def of(cls, points: Columns) -> "Curves":
        """Curves of the sizes with enough horizons. Raises ValueError if they are too few."""
        logs, N = np.log(points["flops"]), points["params"]
        rows = [np.flatnonzero(size == N) for size in np.unique(N)]
        rows = [of for of in rows if len(np.unique(logs[of])) >= LEAST_HORIZONS]
        if len(rows) < _LEAST_SIZES:
            raise ValueError(
                f"params: {len(rows)} sizes with {LEAST_HORIZONS} different flops are not enough; "
                f"must be at least {_LEAST_SIZES}"
            )
        middles = np.array([logs[of].mean() for of in rows])
        degrees = tuple(3 if len(np.unique(logs[of])) >= _CUBIC else 2 for of in rows)
        return cls(np.array([N[of[0]] for of in rows]), tuple(rows), middles, degrees, logs, np.log(points["loss"]))

    def design(self, place: int) -> Float[np.ndarray, "m d"]:
        """Powers of the centered log FLOPs of one size's rows."""
        return np.vander(self.logs[self.rows[place]] - self.middles[place], self.degrees[place] + 1, increasing=True)

    @property
    def coefficients(self) -> list[Float[np.ndarray, " d"]]:
        """Of each size's polynomial."""
        return self.smoothed(self.measured)

    def smoothed(self, measured: Float[np.ndarray, " n"]) -> list[Float[np.ndarray, " d"]]:
        """The polynomials with the least squares of measured log losses."""
        return [
            np.linalg.lstsq(self.design(place), measured[rows], rcond=None)[0] for place, rows in enumerate(self.rows)
        ]

    def fitted(self, coefficients: list[np.ndarray]) -> Float[np.ndarray, " n"]:
        """What the polynomials say at the rows; rows of no curve keep what was measured."""
        said = self.measured.copy()
        for place, rows in enumerate(self.rows):
            said[rows] = self.design(place) @ coefficients[place]
        return said

    def residuals(self) -> Float[np.ndarray, " m"]:
        """Measured minus smoothed over all curves, each divided by the root of 1 minus its leverage."""
        fitted, found = self.fitted(self.coefficients), []
        for place, rows in enumerate(self.rows):
            basis, _ = np.linalg.qr(self.design(place))
            left = np.maximum(1 - np.square(basis).sum(axis=1), 0.05)
            found.append((self.measured[rows] - fitted[rows]) / np.sqrt(left))
        return np.concatenate(found)

    def envelope(
        self, coefficients: list[np.ndarray]
    ) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
        """FLOPs, the best size and its loss, at the budgets where the best size has a neighbor on each side."""
        ends = np.array([[self.logs[rows].min(), self.logs[rows].max()] for rows in self.rows])
        line = np.linspace(ends[:, 0].min(), ends[:, 1].max(), BUDGETS)
        losses = np.full((len(self.sizes), BUDGETS), np.inf)
        for place, of in enumerate(coefficients):
            inside = (ends[place, 0] <= line) & (line <= ends[place, 1])
            losses[place, inside] = np.polynomial.polynomial.polyval(line[inside] - self.middles[place], of)
        best = np.argmin(losses, axis=0)
        at = np.clip(best, 1, len(self.sizes) - 2)
        three = np.stack([np.take_along_axis(losses, (at + step)[None], axis=0)[0] for step in (-1, 0, 1)])
        good = (at == best) & np.isfinite(three).all(axis=0)
        x = np.log(np.stack([self.sizes[at + step] for step in (-1, 0, 1)]))
        center, low = vertex(x[:, good], three[:, good])
        return np.exp(line[good]), np.exp(center), np.exp(low)


def vertex(x: Float[np.ndarray, "3 m"], y: Float[np.ndarray, "3 m"]) -> tuple[np.ndarray, np.ndarray]:
    """The lowest point of the parabola through three points, of which the middle one is the lowest."""
    first, second = (y[1] - y[0]) / (x[1] - x[0]), (y[2] - y[1]) / (x[2] - x[1])
    curvature = np.maximum((second - first) / (x[2] - x[0]), 1e-300)
    center = np.clip(0.5 * (x[0] + x[1]) - first / (2 * curvature), x[0], x[2])
    return center, y[0] + first * (center - x[0]) + curvature * (center - x[0]) * (center - x[1])


@dataclass(frozen=True)
class _Spread:
    """A `Spread` from simulated envelopes."""

    line: Float[np.ndarray, " 2"]
    draws: Float[np.ndarray, "k 2"]
    freedom: int = 10

    def __call__(
        self, quantity: Callable[[Values], np.ndarray], *, noise: bool
    ) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
        """Ends of an interval; the best size is no run, and has no noise of its own."""
        value = self._of(quantity, self.line)
        again = np.stack([self._of(quantity, draw) for draw in self.draws])
        logs = bool((value > 0).all() and (again > 0).all())
        value, again = (np.log(value), np.log(again)) if logs else (value, again)
        tails = (1 - LEVEL) / 2
        reach = np.abs(np.quantile(again, [tails, 1 - tails], axis=0) - value).max(axis=0)
        half = np.maximum(reach, student.ppf(1 - tails, self.freedom) * again.std(axis=0))
        low, high = value - half, value + half
        return (np.exp(low), np.exp(high)) if logs else (low, high)

    def intervals(self) -> dict[str, Interval]:
        """Of the parameters and what follows."""
        ends = {name: self(partial(_parameter, name), noise=False) for name in ("k", "a", "b")}
        return {name: Interval(float(low[0]), float(high[0])) for name, (low, high) in ends.items()}

    @staticmethod
    def _of(quantity: Callable[[Values], np.ndarray], line: np.ndarray) -> Float[np.ndarray, " m"]:
        return np.atleast_1d(np.asarray(quantity({"k": math.exp(line[0]), "a": float(line[1])}), dtype=float))


def _parameter(name: str, values: Values) -> np.ndarray:
    return np.asarray((dict(values) | exponent_of_tokens(values))[name])


def _line(C: Float[np.ndarray, " m"], N: Float[np.ndarray, " m"]) -> Float[np.ndarray, " 2"]:
    """log k and a, with the least squares."""
    slope, level = np.polyfit(np.log(C), np.log(N), 1)
    return np.array([level, slope])


def _simulate(curves: Curves, draws: int, seed: int) -> Float[np.ndarray, "k 2"]:
    """Lines of tables that were simulated from the smoothed curves; tables without an envelope are left out."""
    rng = np.random.default_rng(seed)
    fitted, residuals = curves.fitted(curves.coefficients), curves.residuals()
    lines = []
    for _ in range(draws):
        simulated = fitted + rng.choice(residuals, len(fitted))
        C, N, _loss = curves.envelope(curves.smoothed(simulated))
        if len(C) > 1 and C[-1] / C[0] >= _LEAST_SPAN:
            lines.append(_line(C, N))
    return np.array(lines).reshape(-1, 2)


chinchilla_1 = Chinchilla1()
