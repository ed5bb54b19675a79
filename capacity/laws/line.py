"""A power law through a few points, y = k·x^exponent, by least squares of logarithms, with Student's intervals.

In: points of which each is itself the result of a fit, such as the minima of IsoFLOP curves. Out: a `Fit`. Intervals
are made of the scatter about the line, which holds the noise of the runs as well as what the points' own fits miss.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import t as student

from capacity.laws.fit import CONVERGED, LEVEL, Columns, Fit, Interval, Values, require_levels
from capacity.laws.fitting import few_levels
from capacity.laws.regression import raised

LEAST_POINTS = 3
ENOUGH_POINTS = 5


@dataclass(frozen=True)
class Student:
    """A `Spread`: the estimate plus or minus Student's factor times the standard error."""

    names: tuple[str, str]
    coordinates: Float[np.ndarray, " 2"]
    """log k and the exponent."""
    covariance: Float[np.ndarray, "2 2"]
    noise: float
    """Standard deviation of one point, in logarithms."""
    freedom: int

    def __call__(
        self, quantity: Callable[[Values], np.ndarray], *, noise: bool
    ) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
        """Ends of an interval; positive quantities by their logarithm."""
        value = self._of(quantity, self.coordinates)
        logs = bool((value > 0).all()) and not self._is_exponent(quantity)
        slopes = np.stack([self._slope(quantity, place, logs) for place in (0, 1)], axis=-1)
        square = np.einsum("mi,ij,mj->m", slopes, self.covariance, slopes) + (self.noise**2 if noise else 0.0)
        half = float(student.ppf((1 + LEVEL) / 2, self.freedom)) * np.sqrt(np.maximum(square, 0.0))
        if logs:
            return value * np.exp(-half), value * np.exp(half)
        return value - half, value + half

    def _of(self, quantity: Callable[[Values], np.ndarray], at: Float[np.ndarray, " 2"]) -> Float[np.ndarray, " m"]:
        values = {self.names[0]: math.exp(at[0]), self.names[1]: float(at[1])}
        return np.atleast_1d(np.asarray(quantity(values), dtype=float))

    def _slope(self, quantity: Callable[[Values], np.ndarray], place: int, logs: bool) -> Float[np.ndarray, " m"]:
        size = 1e-6 * max(1.0, abs(float(self.coordinates[place])))
        step = size * np.eye(2)[place]
        up, down = self._of(quantity, self.coordinates + step), self._of(quantity, self.coordinates - step)
        return (np.log(up) - np.log(down) if logs else up - down) / (2 * size)

    def _is_exponent(self, quantity: Callable[[Values], np.ndarray]) -> bool:
        """Whether a quantity is linear in the exponent and nothing else; its own interval is exact, not by its log."""
        return not np.any(self._slope(quantity, 0, logs=False))


def fit_line(
    law: str,
    formula: str,
    points: Columns,
    *,
    names: tuple[str, str],
    draws: int,
    derive: Callable[[Values], Mapping[str, np.ndarray]] = lambda values: {},
    tables: Mapping[str, pd.DataFrame],
    status: Sequence[str] = (),
) -> Fit:
    """Fit target = k·x^exponent.

    Args:
        law: its name.
        formula: with the names of both parameters.
        points: x, then the target; arrays of one length.
        names: of k and of the exponent.
        draws: 0 for no intervals.
        derive: what follows from the parameters.
        tables: of the fit.
        status: what is doubtful already.

    Raises:
        ValueError: there are fewer than `LEAST_POINTS` points.

    """
    x, target = points
    require_levels(points, {x: LEAST_POINTS}, 2)
    logs, measured = np.log(points[x]), np.log(points[target])
    middle = logs.mean()
    design = np.stack([np.ones_like(logs), logs - middle], axis=1)
    (level, exponent), *_ = np.linalg.lstsq(design, measured, rcond=None)
    residuals = measured - design @ np.array([level, exponent])
    freedom = len(logs) - 2
    noise = math.sqrt(float(residuals @ residuals) / freedom)
    shift = np.array([[1.0, -middle], [0.0, 1.0]])
    covariance = noise**2 * shift @ np.linalg.inv(design.T @ design) @ shift.T
    spread = Student(names, np.array([level - exponent * middle, exponent]), covariance, noise, freedom)

    def everything(values: Values) -> dict[str, np.ndarray]:
        return {name: np.asarray(values[name]) for name in names} | dict(derive(values))

    parameters = {names[0]: math.exp(level - exponent * middle), names[1]: float(exponent)}
    parameters = {name: float(np.squeeze(value)) for name, value in everything(parameters).items()}
    intervals = {}
    for name in parameters if draws else ():
        (low,), (high,) = spread(lambda values: everything(values)[name], noise=False)  # noqa: B023
        intervals[name] = Interval(float(low), float(high))
    few = few_levels(points, {x: ENOUGH_POINTS})
    return Fit(
        law=law,
        formula=formula,
        parameters=parameters,
        intervals=intervals,
        method=f"Student's t of the scatter of {len(logs)} points about the line" if draws else "",
        status=(*status, *few) or (CONVERGED,),
        residuals=residuals,
        objective=0.5 * float(residuals @ residuals),
        measure=f"half the sum of squares of log {target}",
        points=points,
        target=target,
        curve=lambda values, where: values[names[0]] * raised(where[x], values[names[1]]),
        spread=spread if draws else None,
        tables=tables,
    )
