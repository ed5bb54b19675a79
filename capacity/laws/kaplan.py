"""Kaplan et al. 2020 (arXiv 2001.08361): loss from parameters and tokens (equation 1.5), and steps (equation 1.6)."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from capacity.laws.fit import Columns, Fit, Values, require_levels
from capacity.laws.fitting import columns, make_fit
from capacity.laws.regression import Parameter, Problem

_EXPONENTS = (0.03, 0.08, 0.2, 0.5, 1.0)


def _exponent(name: str) -> Parameter:
    return Parameter(name, 1e-3, 10.0)


@dataclass(frozen=True)
class KaplanND:
    """L(N, D): a model of N parameters, trained on D tokens until it stops getting better."""

    formula = "loss = ((N_c/params)^(alpha_N/alpha_D) + D_c/tokens)^alpha_D"
    needs = ("params", "tokens", "loss")

    def fit(self, table: pd.DataFrame, *, draws: int = 1000, seed: int = 0) -> Fit:
        """Least squares of log loss. Raises ValueError for too few levels."""
        points = columns(table, self.needs)
        require_levels(points, {"params": 2, "tokens": 2}, 4)
        parameters = (_exponent("alpha_N"), _exponent("alpha_D"), Parameter("N_c"), Parameter("D_c"))
        problem = Problem(self.curve, parameters, points, "loss", self._starts(points))
        enough = {"params": 4, "tokens": 4}
        return make_fit("kaplan-nd", self.formula, problem, draws=draws, seed=seed, enough=enough)

    @staticmethod
    def curve(values: Values, where: Columns) -> np.ndarray:
        """What the law says."""
        ratio = values["alpha_N"] / values["alpha_D"]
        by_N, by_D = (values["N_c"] / where["params"]) ** ratio, values["D_c"] / where["tokens"]
        return (by_N + by_D) ** values["alpha_D"]

    @staticmethod
    def _starts(points: Columns) -> list[dict[str, float]]:
        """Pairs of exponents, with both terms alike at the geometric means."""
        N, D, loss = (float(np.exp(np.log(points[name]).mean())) for name in ("params", "tokens", "loss"))
        starts = []
        for alpha_N, alpha_D in product(_EXPONENTS, _EXPONENTS):
            term = loss ** (1 / alpha_D) / 2
            constants = {"N_c": N * term ** (alpha_D / alpha_N), "D_c": D * term}
            starts.append({"alpha_N": alpha_N, "alpha_D": alpha_D, **constants})
        return starts


@dataclass(frozen=True)
class KaplanNS:
    """L(N, S_min): a model of N parameters after S_min steps, the least that any batch size takes.

    With `B_star` the table's `steps` are steps at batch size `batch` (in tokens), from which S_min follows by
    S_min = S / (1 + B_crit/B), B_crit = B_star / L^(1/alpha_B) (equations 1.4 and 5.4).
    """

    formula = "loss = (N_c/params)^alpha_N + (S_c/steps)^alpha_S"
    B_star: float = 0.0
    """Tokens; 0 if steps are S_min already."""
    alpha_B: float = 0.21

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns; the batch only where steps have to be converted."""
        return ("params", "steps", *(["batch"] if self.B_star else []), "loss")

    def fit(self, table: pd.DataFrame, *, draws: int = 1000, seed: int = 0) -> Fit:
        """Least squares of log loss. Raises ValueError for too few levels."""
        points = columns(table, self.needs)
        if self.B_star:
            critical = self.B_star / points["loss"] ** (1 / self.alpha_B)
            points["steps"] = points["steps"] / (1 + critical / points.pop("batch"))
        require_levels(points, {"params": 2, "steps": 2}, 4)
        parameters = (_exponent("alpha_N"), _exponent("alpha_S"), Parameter("N_c"), Parameter("S_c"))
        problem = Problem(self.curve, parameters, points, "loss", self._starts(points))
        enough = {"params": 4, "steps": 4}
        return make_fit("kaplan-ns", self.formula, problem, draws=draws, seed=seed, enough=enough)

    @staticmethod
    def curve(values: Values, where: Columns) -> np.ndarray:
        """What the law says."""
        by_N = (values["N_c"] / where["params"]) ** values["alpha_N"]
        return by_N + (values["S_c"] / where["steps"]) ** values["alpha_S"]

    @staticmethod
    def _starts(points: Columns) -> list[dict[str, float]]:
        """Pairs of exponents, with both terms alike at the geometric means."""
        N, S, loss = (float(np.exp(np.log(points[name]).mean())) for name in ("params", "steps", "loss"))
        return [
            {"alpha_N": n, "alpha_S": s, "N_c": N * (loss / 2) ** (1 / n), "S_c": S * (loss / 2) ** (1 / s)}
            for n, s in product(_EXPONENTS, _EXPONENTS)
        ]


kaplan_nd, kaplan_ns = KaplanND(), KaplanNS()
