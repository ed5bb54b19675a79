"""Chinchilla's second approach: the best size for each of several budgets (IsoFLOP), and a power law through them.

Hoffmann et al. 2022 (arXiv 2203.15556, section 3.2): a parabola of loss in log N for each budget. Porian et al. 2024
(arXiv 2406.19146) instead take the minimum of an Akima curve through the points, in logarithms. A minimum whose budget
has its lowest loss at the smallest or the largest size is refused, since a better size may lie beyond.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.interpolate import Akima1DInterpolator

from capacity.laws.fit import Fit, Values
from capacity.laws.fitting import columns
from capacity.laws.line import LEAST_POINTS, fit_line

GAP = 1.1
"""Rows belong to one budget while each has at most this many times the FLOPs of the one before."""
REACH = 5.0
"""A parabola goes through sizes at most so many times smaller or larger than the best: the valley is none far away."""
_LEAST_SIZES = 4
_FINE = 4000
"""Points of an Akima curve among which the minimum is."""


class Valley(NamedTuple):
    """The lowest point of one budget."""

    params: float
    tokens: float
    loss: float
    reason: str
    """Why it is refused; empty if it is not."""


@dataclass(frozen=True)
class Chinchilla2:
    """N* = k·C^a over the minima."""

    minimum: Literal["parabola", "akima"] = "parabola"
    """How the minimum of a budget is found."""
    formula = "params = k·flops^a"
    needs = ("params", "tokens", "flops", "loss")

    def fit(self, table: pd.DataFrame, *, draws: int = 1000, seed: int = 0) -> Fit:
        """Least squares of log N*. Raises ValueError unless `LEAST_POINTS` budgets have a minimum inside."""
        points = columns(table, self.needs)
        of_budget = minima(points, self.minimum)
        good = of_budget[of_budget["refused"] == ""]
        if len(good) < LEAST_POINTS:
            first = of_budget[of_budget["refused"] != ""].head(1)
            told = "".join(f"; budget {C:.3g}: {why}" for C, why in zip(first["flops"], first["refused"], strict=True))
            raise ValueError(
                f"flops: {len(good)} budgets with a minimum between their sizes are not enough; "
                f"must be at least {LEAST_POINTS}{told}"
            )
        refused = len(of_budget) - len(good)
        return fit_line(
            "chinchilla-2",
            self.formula,
            {name: good[name].to_numpy() for name in ("flops", "params")},
            names=("k", "a"),
            draws=draws,
            derive=exponent_of_tokens,
            tables={"minima": of_budget, "runs": pd.DataFrame(points)},
            status=(f"refused: {refused} of {len(of_budget)} budgets have no minimum between their sizes",)
            if refused
            else (),
        )


def exponent_of_tokens(values: Values) -> dict[str, np.ndarray]:
    """D* = C/(6·N*) grows as C^b, b = 1 − a."""
    return {"b": np.asarray(1 - values["a"])}


def minima(points: dict[str, np.ndarray], how: str) -> pd.DataFrame:
    """The lowest point of each budget: flops, sizes, params, tokens, loss, and why it is refused ("" if it is not)."""
    rows = []
    for rank in budgets(points["flops"]):
        N, D, loss = (points[name][rank] for name in ("params", "tokens", "loss"))
        found = valley(N, D, loss, how)
        C = float(np.exp(np.log(points["flops"][rank]).mean()))
        of = {"params": found.params, "tokens": found.tokens, "loss": found.loss, "refused": found.reason}
        rows.append({"flops": C, "sizes": len(np.unique(N))} | of)
    return pd.DataFrame(rows)


def budgets(flops: Float[np.ndarray, " n"]) -> list[np.ndarray]:
    """The rows of each budget, by rising FLOPs; rows less than `GAP` apart belong together."""
    order = np.argsort(flops, kind="stable")
    steps = np.diff(np.log(flops[order])) > np.log(GAP)
    return np.split(order, np.flatnonzero(steps) + 1)


def valley(N: Float[np.ndarray, " n"], D: Float[np.ndarray, " n"], loss: Float[np.ndarray, " n"], how: str) -> Valley:
    """The minimum of one budget. Several rows of one size, such as seeds, count by their mean."""
    rows = pd.DataFrame({"N": np.log(N), "D": np.log(D), "loss": np.log(loss) if how == "akima" else loss})
    means = rows.groupby("N", as_index=False).mean()
    x, y, tokens = (means[name].to_numpy() for name in ("N", "loss", "D"))
    lowest = int(np.argmin(y))
    level = np.exp if how == "akima" else float
    at = float(np.exp(x[lowest])), float(np.exp(tokens[lowest])), float(level(y[lowest]))
    if len(x) < _LEAST_SIZES:
        return Valley(*at, f"{len(x)} sizes; must be at least {_LEAST_SIZES}")
    center, value, reason = _akima(x, y) if how == "akima" else _parabola(x, y)
    if reason:
        return Valley(*at, reason)
    return Valley(float(np.exp(center)), float(np.exp(np.interp(center, x, tokens))), float(level(value)), "")


def _parabola(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> tuple[float, float, str]:
    """The vertex of the parabola through the sizes near the lowest point, and why it is refused."""
    lowest = int(np.argmin(y))
    if lowest in (0, len(x) - 1):
        return math.nan, math.nan, f"the {'smallest' if lowest == 0 else 'largest'} size is best"
    near = np.abs(x - x[lowest]) <= math.log(REACH)
    x, y = x[near], y[near]
    if len(x) < _LEAST_SIZES:
        return math.nan, math.nan, f"{len(x)} sizes near the best one; must be at least {_LEAST_SIZES}"
    middle = float(x.mean())
    square, slope, level = map(float, np.polyfit(x - middle, y, 2))
    center = middle - slope / (2 * square) if square > 0 else math.inf
    if not x[0] < center < x[-1]:
        return math.nan, math.nan, "the parabola has no minimum between its sizes"
    return center, level - slope**2 / (4 * square), ""


def _akima(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> tuple[float, float, str]:
    """The lowest point of the Akima curve, and why it is refused."""
    line = np.linspace(x[0], x[-1], _FINE)
    there = Akima1DInterpolator(x, y)(line)
    best = int(np.argmin(there))
    reason = {0: "the smallest size is best", _FINE - 1: "the largest size is best"}.get(best, "")
    return float(line[best]), float(there[best]), reason


chinchilla_2 = Chinchilla2()
