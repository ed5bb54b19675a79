"""Chinchilla's third approach: loss from parameters and tokens, and what is best for a budget.

Hoffmann et al. 2022 (arXiv 2203.15556, section 3.3 and appendix D.3): L = E + A/N^alpha + B/D^beta, the least sum of
Huber losses of log L. The frontier for C = 6·N·D is in closed form (equation 4).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.optimize import nnls

from capacity.laws.fit import Columns, Fit, Values, require_levels
from capacity.laws.fitting import columns, make_fit
from capacity.laws.regression import HUBER, Parameter, Problem, raised

FLOPS = 6.0
"""Floating-point operations a parameter and a token: two forward, four backward (Kaplan et al. 2020, section 2.1)."""

_SEARCHED = np.geomspace(0.03, 2.5, 24)
"""Exponents that are tried first, each pair of them."""
_KEPT = 3
"""Pairs that are polished."""


@dataclass(frozen=True)
class Chinchilla3:
    """The parametric surface."""

    delta: float = HUBER
    """Where the Huber loss becomes linear."""
    formula = "loss = E + A/params^alpha + B/tokens^beta"
    needs = ("params", "tokens", "loss")

    def fit(self, table: pd.DataFrame, *, draws: int = 1000, seed: int = 0) -> Fit:
        """The least sum of Huber losses of log loss. Raises ValueError for too few levels."""
        points = columns(table, self.needs)
        require_levels(points, {"params": 3, "tokens": 3}, 5)
        exponents = Parameter("alpha", 1e-2, 10.0), Parameter("beta", 1e-2, 10.0)
        parameters = (Parameter("E", log=False), Parameter("A"), Parameter("B"), *exponents)
        starts = search(points["params"], points["tokens"], points["loss"])
        problem = Problem(surface, parameters, points, "loss", starts, self.delta)
        budgets = _round_budgets(FLOPS * points["params"] * points["tokens"])
        return make_fit(
            "chinchilla-3",
            self.formula,
            problem,
            draws=draws,
            seed=seed,
            derive=exponents_of_frontier,
            tables=lambda values: {"frontier": frontier_table(values, budgets)},
            enough={"params": 5, "tokens": 5},
        )


def surface(values: Values, where: Columns) -> np.ndarray:
    """Loss at N = params and D = tokens."""
    by_N = values["A"] * raised(where["params"], -values["alpha"])
    return values["E"] + by_N + values["B"] * raised(where["tokens"], -values["beta"])


def search(
    N: Float[np.ndarray, " n"], D: Float[np.ndarray, " n"], loss: Float[np.ndarray, " n"]
) -> list[dict[str, float]]:
    """The best pairs of exponents on a grid; E, A and B follow from each by least squares that are not negative.

    The relative error of the loss is what is squared. For given exponents the problem is linear and well conditioned.
    """
    middle_N, middle_D = float(np.exp(np.log(N).mean())), float(np.exp(np.log(D).mean()))
    found: list[tuple[float, dict[str, float]]] = []
    for alpha in map(float, _SEARCHED):
        for beta in map(float, _SEARCHED):
            terms = np.stack([np.ones_like(N), (N / middle_N) ** -alpha, (D / middle_D) ** -beta], axis=1)
            (E, A, B), rest = nnls(terms / loss[:, None], np.ones_like(loss))
            A, B = max(A, 1e-6) * middle_N**alpha, max(B, 1e-6) * middle_D**beta
            found.append((rest, {"E": float(E), "A": A, "B": B, "alpha": alpha, "beta": beta}))
    return [values for _, values in sorted(found, key=lambda one: one[0])[:_KEPT]]


def exponents_of_frontier(values: Values) -> dict[str, np.ndarray]:
    """N = G·(C/6)^a and D = (C/6)^b / G are best for C."""
    alpha, beta = np.asarray(values["alpha"]), np.asarray(values["beta"])
    with np.errstate(all="ignore"):
        G = (alpha * values["A"] / (beta * values["B"])) ** (1 / (alpha + beta))
    found = {"a": beta / (alpha + beta), "b": alpha / (alpha + beta), "G": G}
    return {name: np.asarray(value) for name, value in found.items()}


def frontier(values: Values, C: Float[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray]:
    """The best parameters and tokens for budgets of C FLOPs."""
    of = exponents_of_frontier(values)
    return of["G"] * (C / FLOPS) ** of["a"], (C / FLOPS) ** of["b"] / of["G"]


def frontier_table(values: Values, C: Float[np.ndarray, " n"]) -> pd.DataFrame:
    """What is best for budgets: flops, params, tokens, tokens a parameter, and loss."""
    N, D = frontier(values, C)
    loss = surface(values, {"params": N, "tokens": D})
    return pd.DataFrame({"flops": C, "params": N, "tokens": D, "tokens/param": D / N, "loss": loss})


def isoloss(values: Values, loss: float, N: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Tokens with which models of N parameters reach a loss; infinite where none are enough."""
    rest = loss - values["E"] - values["A"] * N ** -values["alpha"]
    with np.errstate(all="ignore"):
        return np.where(rest > 0, (values["B"] / rest) ** (1 / values["beta"]), np.inf)


def _round_budgets(C: Float[np.ndarray, " n"]) -> Float[np.ndarray, " m"]:
    """Powers of ten from below the least budget to two decades above the largest."""
    return 10.0 ** np.arange(np.floor(np.log10(C.min())), np.ceil(np.log10(C.max())) + 3)


chinchilla_3 = Chinchilla3()
