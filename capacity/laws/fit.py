"""What a fit of a law to a table of runs returns, and what a law is.

In: a table with a row a run (or a point of a curve) and the columns that the law names. Out: a `Fit`, the same type
for every law: parameters with intervals, a status, residuals, predictions. The registry `LAWS` in `capacity.laws` has
the laws by name. To add one, write a file in this folder with an object like `Law`, and add one line there.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Float

LEVEL = 0.95
"""The share of intervals that shall hold the true value."""

CONVERGED = "converged"
AT_A_BOUND = "at a bound"
BADLY_CONDITIONED = "badly conditioned"
TOO_FEW_LEVELS = "too few levels"
EXTRAPOLATING = "extrapolating"
"""What a status may begin with; see `Fit.status`."""

Values = Mapping[str, float | np.ndarray]
"""Parameters by name; or those of k fits at once, [k, 1] each."""
Columns = Mapping[str, np.ndarray]
"""Arrays [n] by the name of a column: params, tokens, flops, loss, position, ..."""
Curve = Callable[[Values, Columns], np.ndarray]
"""The law: what it says for parameters, at each row of columns, [n], or [k, n] for k fits at once."""


class Interval(NamedTuple):
    """Two ends; NaN where there is no interval."""

    low: float
    high: float


NO_INTERVAL = Interval(math.nan, math.nan)


class Prediction(NamedTuple):
    """What a law says at some points, each array [n]."""

    value: Float[np.ndarray, " n"]
    low: Float[np.ndarray, " n"]
    """Ends of the interval of the law itself: the mean of ever more runs."""
    high: Float[np.ndarray, " n"]
    run_low: Float[np.ndarray, " n"]
    """Ends of the interval of a single new run, with a run's own noise."""
    run_high: Float[np.ndarray, " n"]
    times: Float[np.ndarray, " n"]
    """How many times beyond the fitted range the point lies, in the column where it is furthest; 1 inside."""


@runtime_checkable
class Spread(Protocol):
    """Intervals of any function of the parameters, from what a fit knows of its own error."""

    def __call__(self, quantity: Callable[[Values], np.ndarray], *, noise: bool) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends, each [n] as `quantity` returns; noise: for one new run at each point."""
        ...


@dataclass(frozen=True)
class Fit:
    """A law with the parameters that a table gave it."""

    law: str
    """Its name in the registry."""
    formula: str
    """The law as one line of text, with the names of `parameters`."""
    parameters: Mapping[str, float]
    """Fitted values by name, in the order of the formula; then what follows from them, such as an exponent of the
    frontier."""
    intervals: Mapping[str, Interval]
    """The interval of each parameter that has one."""
    method: str
    """How the intervals were made, in a few words; empty if there are none."""
    status: tuple[str, ...]
    """`CONVERGED`, or everything that is doubtful, as "at a bound: E = 0" and "badly conditioned: 2.1e+07".

    Each begins with one of the words of this module."""
    residuals: Float[np.ndarray, " n"]
    """Measured minus fitted, one a row, in the unit that `objective` sums over."""
    objective: float
    """What was minimized, at its minimum."""
    measure: str
    """What the objective is: "sum of Huber losses (delta 0.001) of log loss"."""
    points: Columns
    """The fitted rows: the columns that the law names, and `loss` or whatever it explains."""
    target: str
    """The column that the law explains."""
    curve: Curve
    """The law itself."""
    spread: Spread | None = None
    """Intervals of functions of the parameters; None if nothing is known of the error."""
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """More that the law says, by title: frontier, minima."""

    @property
    def ranges(self) -> dict[str, Interval]:
        """The lowest and the highest fitted value of each column that the law depends on."""
        others = {name: values for name, values in self.points.items() if name != self.target}
        return {name: Interval(float(np.min(values)), float(np.max(values))) for name, values in others.items()}

    def predict(self, where: Columns) -> Prediction:
        """What the law says at points, with intervals.

        Args:
            where: arrays of one length by name, the columns of `points` without the target.

        Raises:
            ValueError: a column is missing.

        """
        if missing := [name for name in self.ranges if name not in where]:
            raise ValueError(f"{missing[0]}: is missing; law {self.law} depends on {', '.join(self.ranges)}")
        columns = {name: np.asarray(where[name], dtype=float) for name in self.ranges}
        value = self.curve(self.parameters, columns)
        nothing = np.full(value.shape, np.nan)
        (low, high), (run_low, run_high) = (nothing, nothing), (nothing, nothing)
        if self.spread is not None:
            low, high = self.spread(lambda values: self.curve(values, columns), noise=False)
            run_low, run_high = self.spread(lambda values: self.curve(values, columns), noise=True)
        return Prediction(value, low, high, run_low, run_high, times_beyond(self.ranges, columns))

    def at(self, where: Columns) -> tuple[str, ...]:
        """The status of a prediction: that of the fit, and by how much the points lie beyond the fitted range."""
        columns = {name: np.asarray(where[name], dtype=float) for name in self.ranges}
        times = float(np.max(times_beyond(self.ranges, columns), initial=1.0))
        return self.status if times <= 1 else (*self.status, f"{EXTRAPOLATING} by a factor of {times:.3g}")


def times_beyond(ranges: Mapping[str, Interval], where: Columns) -> Float[np.ndarray, " n"]:
    """How many times each point lies beyond the range of the column where it is furthest outside; 1 inside."""
    times = [
        np.maximum(1.0, np.maximum(values / ranges[name].high, ranges[name].low / np.maximum(values, 1e-300)))
        for name, values in where.items()
        if name in ranges and ranges[name].low > 0
    ]
    size = next((len(values) for values in where.values()), 0)
    return np.max(times, axis=0) if times else np.ones(size)


def require_levels(points: Columns, least: Mapping[str, int], parameters: int) -> None:
    """See that there is enough to fit.

    Raises:
        ValueError: a column has too few different values, or there are too few rows.

    """
    rows = len(next(iter(points.values())))
    if rows <= parameters:
        raise ValueError(f"rows: {rows} are not enough; must be more than the {parameters} parameters of the law")
    for name, number in least.items():
        levels = len(np.unique(points[name]))
        if levels < number:
            raise ValueError(f"{name}: {levels} different values are not enough; must be at least {number}")


@runtime_checkable
class Law(Protocol):
    """A law that can be fitted to a table.

    The fields of a dataclass are its options: `--options floor=false`.
    """

    @property
    def formula(self) -> str:
        """As in `Fit.formula`."""
        ...

    @property
    def needs(self) -> Sequence[str]:
        """Columns without which it cannot be fitted, the target included.

        `capacity.fit` takes them from the table: flags rename them, and flops may follow from 6·params·tokens.
        """
        ...

    def fit(self, table: pd.DataFrame, *, draws: int, seed: int) -> Fit:
        """The law with the parameters that fit best.

        Args:
            table: a row a point, with the columns of `needs`, all positive and finite.
            draws: simulated tables that intervals are made from; 0 for no intervals.
            seed: of their random numbers.

        Raises:
            ValueError: the table says too little; one line that names the column, how much it has and what is allowed.

        """
        ...
