"""A power law with a floor, of parameters, tokens or compute: L = a·x^b + c.

Kaplan et al. 2020 (arXiv 2001.08361, equations 1.1 to 1.3) have no floor; with compute and a floor it is the form that
the GPT-4 report (arXiv 2303.08774, section 3.1) predicts a large run with.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from capacity.laws.fit import Columns, Fit, Values, require_levels
from capacity.laws.fitting import columns, make_fit
from capacity.laws.regression import Parameter, Problem, raised

_EXPONENTS = (-1.0, -0.5, -0.3, -0.15, -0.05)


@dataclass(frozen=True)
class Power:
    """The law of one column."""

    x: Literal["params", "tokens", "flops"] = "flops"
    """The column that loss depends on."""
    floor: bool = True
    """Whether there is a loss c that no x goes below."""

    @property
    def formula(self) -> str:
        """The law in a line."""
        return f"loss = a·{self.x}^b{' + c' if self.floor else ''}"

    @property
    def needs(self) -> tuple[str, ...]:
        """Two columns."""
        return self.x, "loss"

    def fit(self, table: pd.DataFrame, *, draws: int = 1000, seed: int = 0) -> Fit:
        """Least squares of log loss. Raises ValueError for too few levels."""
        points = columns(table, self.needs)
        number = 3 if self.floor else 2
        require_levels(points, {self.x: number}, number)
        parameters = (Parameter("a"), Parameter("b", -10.0, 10.0, log=False), Parameter("c", log=False))[:number]
        problem = Problem(self.curve, parameters, points, "loss", self._starts(points))
        return make_fit("power", self.formula, problem, draws=draws, seed=seed, enough={self.x: number + 2})

    def curve(self, values: Values, where: Columns) -> np.ndarray:
        """What the law says."""
        return values["a"] * raised(where[self.x], values["b"]) + values.get("c", 0.0)

    def _starts(self, points: Columns) -> list[dict[str, float]]:
        """Exponents, and floors at shares of the lowest loss; a from the geometric mean of x."""
        x, loss = points[self.x], points["loss"]
        middle, least = float(np.exp(np.log(x).mean())), float(loss.min())
        floors = [share * least for share in (0.0, 0.5, 0.9)] if self.floor else [0.0]
        at = float(np.exp(np.log(loss).mean()))
        return [{"a": (at - c) / middle**b, "b": b, "c": c} for b in _EXPONENTS for c in floors]


power = Power()
