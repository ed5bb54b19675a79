"""Loss by position in the window: hyperbolic, or a power law; at one checkpoint, and as it moves over training.

In: a table with the columns position (1 is the first that has tokens before it), loss and, over training, tokens. Out:
a `Fit`. Xiong et al. (arXiv 2404.17785) fit L_i = a0 / (1 + a1·i) + a2 at each checkpoint and let the three parameters
move; how they move was not to be read in a source, so the forms over tokens are ours: each is a power law.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from capacity.laws.fit import Columns, Fit, Values, require_levels
from capacity.laws.fitting import columns, make_fit
from capacity.laws.regression import Parameter, Problem, raised

Form = Literal["hyperbolic", "power"]
MILLION = 1e6
"""Tokens that laws over training count in."""

_FREE = (-3.0, 3.0)
"""Where exponents may be."""
_LEAST = {"position": 4}


@dataclass(frozen=True)
class Position:
    """The loss by position at one checkpoint: a0 / (1 + a1·i) + a2, or c·i^-d + e."""

    form: Form = "hyperbolic"
    """hyperbolic, or its rival, a power law with a floor (Kaplan et al. 2020, arXiv 2001.08361, appendix D.5)."""

    needs: ClassVar = ("position", "loss")

    @property
    def law(self) -> str:
        """Its name in the registry."""
        return "position" if self.form == "hyperbolic" else "position-power"

    @property
    def formula(self) -> str:
        """The law in a line."""
        return "loss = a0/(1 + a1·position) + a2" if self.form == "hyperbolic" else "loss = c·position^-d + e"

    def fit(self, table: pd.DataFrame, *, draws: int = 1000, seed: int = 0) -> Fit:
        """Least squares of log loss. Raises ValueError for fewer than 4 positions."""
        points = columns(table, self.needs)
        require_levels(points, _LEAST, 3)
        return make_fit(self.law, self.formula, self.problem(points), draws=draws, seed=seed)

    def problem(self, points: Columns) -> Problem:
        """What to minimize."""
        names = ("a0", "a1", "a2") if self.form == "hyperbolic" else ("c", "d", "e")
        parameters = tuple(Parameter(name) for name in names)
        return Problem(self.curve, parameters, points, "loss", starts(self.form, points))

    def curve(self, values: Values, where: Columns) -> np.ndarray:
        """The loss at positions."""
        position = where["position"]
        if self.form == "hyperbolic":
            with np.errstate(over="ignore"):  # a start may be far off
                return values["a0"] / (1 + values["a1"] * position) + values["a2"]
        return values["c"] * raised(position, -values["d"]) + values["e"]


@dataclass(frozen=True)
class PositionOverTime:
    """The loss by position as it moves: every parameter a power law in the tokens trained on, t = tokens / 10^6.

    Hyperbolic: a0·t^b0 / (1 + a1·t^b1·i) + a2·t^b2. Power: c·t^p·i^(-d·t^q) + e·t^r.
    """

    form: Form = "hyperbolic"
    """hyperbolic or power."""

    needs: ClassVar = ("tokens", "position", "loss")

    @property
    def law(self) -> str:
        """Its name in the registry."""
        return "position-time" if self.form == "hyperbolic" else "position-time-power"

    @property
    def formula(self) -> str:
        """The law in a line."""
        if self.form == "hyperbolic":
            return "loss = a0·t^b0/(1 + a1·t^b1·position) + a2·t^b2, t = tokens/10^6"
        return "loss = c·t^p·position^(-d·t^q) + e·t^r, t = tokens/10^6"

    def fit(self, table: pd.DataFrame, *, draws: int = 1000, seed: int = 0) -> Fit:
        """Least squares of log loss. Raises ValueError for fewer than 4 positions or 3 checkpoints."""
        points = columns(table, self.needs)
        require_levels(points, {"tokens": 3, **_LEAST}, 6)
        names, exponents = self._names
        parameters = (
            *(Parameter(name) for name in names),
            *(Parameter(name, *_FREE, log=False) for name in exponents),
        )
        problem = Problem(self.curve, parameters, points, "loss", self._starts(points))
        return make_fit(self.law, self.formula, problem, draws=draws, seed=seed, enough={"tokens": 5})

    def curve(self, values: Values, where: Columns) -> np.ndarray:
        """The loss at positions and tokens."""
        return Position(self.form).curve(self.at(values, where["tokens"]), where)

    def at(self, values: Values, tokens: np.ndarray) -> dict[str, np.ndarray]:
        """The three parameters of `Position` after tokens."""
        million = tokens / MILLION
        return {
            name: values[name] * raised(million, values[exponent]) for name, exponent in zip(*self._names, strict=True)
        }

    @property
    def _names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Parameters after a million tokens, and their exponents."""
        if self.form == "hyperbolic":
            return ("a0", "a1", "a2"), ("b0", "b1", "b2")
        return ("c", "d", "e"), ("p", "q", "r")

    def _starts(self, points: Columns) -> list[dict[str, float]]:
        """Curves through the middle of all checkpoints, resting or moving."""
        names, exponents = self._names
        million = float(np.exp(np.log(points["tokens"]).mean())) / MILLION
        found = []
        for begin in starts(self.form, points):
            for moves in ((0.0, 0.0, 0.0), (-0.1, 0.1, -0.1), (0.1, 0.3, -0.1)):
                there = {name: begin[name] * million**-move for name, move in zip(names, moves, strict=True)}
                found.append(there | dict(zip(exponents, moves, strict=True)))
        return found


def by_checkpoint(table: pd.DataFrame, form: Form = "hyperbolic") -> pd.DataFrame:
    """The parameters at each checkpoint by itself: columns tokens and those of `Position`, a row a checkpoint.

    Args:
        table: with tokens, position and loss.
        form: hyperbolic or power.

    Raises:
        ValueError: a checkpoint has fewer than 4 positions.

    """
    law = Position(form)
    groups = table.groupby("tokens", sort=True)
    return pd.DataFrame([{"tokens": tokens, **law.fit(rows, draws=0).parameters} for tokens, rows in groups])


def starts(form: Form, points: Columns) -> list[dict[str, float]]:
    """Where fits begin: from the loss at the lowest and at the highest positions, with several bends."""
    position, loss = points["position"], points["loss"]
    first = float(loss[position <= np.quantile(position, 0.1)].mean())
    last = float(loss[position >= np.quantile(position, 0.8)].mean())
    middle = float(np.exp(np.log(position).mean()))
    floors = [share * min(last, first) for share in (0.95, 0.6)]
    if form == "hyperbolic":
        bends = [10.0**power / middle for power in (-1, 0, 1)]
        return [
            {"a0": max(first - a2, 0.01 * first) * (1 + a1 * float(position.min())), "a1": a1, "a2": a2}
            for a1 in bends
            for a2 in floors
        ]
    least = float(position.min())
    return [{"c": max(first - e, 0.01 * first) * least**d, "d": d, "e": e} for d in (0.2, 0.8) for e in floors]


hyperbolic, power = Position(), Position("power")
hyperbolic_over_time, power_over_time = PositionOverTime(), PositionOverTime("power")
