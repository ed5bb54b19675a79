"""The critical batch size against loss: B_crit = B_star / L^(1/alpha_B).

Kaplan et al. 2020 (arXiv 2001.08361, equations 1.4, 5.1 and 5.2), after McCandlish et al. 2018 (arXiv 1812.06162). For
each loss that runs of several batch sizes reached, the steps S and tokens E = B·S that it took obey
(S/S_min − 1)(E/E_min − 1) = 1, which is S = S_min·(1 + B_crit/B) with B_crit = E_min/S_min.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from capacity.laws.fit import Columns, Fit, Values
from capacity.laws.fitting import columns
from capacity.laws.line import LEAST_POINTS, fit_line
from capacity.laws.regression import Parameter, Problem, solve

_LEAST_BATCHES = 3


@dataclass(frozen=True)
class CriticalBatch:
    """A row of the table is a loss, a batch size in tokens, and the steps until the loss was reached."""

    formula = "critical_batch = B_star·loss^power, power = −1/alpha_B"
    needs = ("loss", "batch", "steps")

    def fit(self, table: pd.DataFrame, *, draws: int = 1000, seed: int = 0) -> Fit:
        """Least squares of log B_crit. Raises ValueError unless `LEAST_POINTS` losses have one."""
        points = columns(table, self.needs)
        levels = pairs(points)
        good = levels[levels["refused"] == ""]
        if len(good) < LEAST_POINTS:
            raise ValueError(
                f"loss: {len(good)} different losses with a critical batch size are not enough; must be at least "
                f"{LEAST_POINTS}, each reached at {_LEAST_BATCHES} batch sizes"
            )
        refused = len(levels) - len(good)
        return fit_line(
            "critical-batch",
            self.formula,
            {name: good[name].to_numpy() for name in ("loss", "critical_batch")},
            names=("B_star", "power"),
            draws=draws,
            derive=lambda values: {"alpha_B": -1 / np.asarray(values["power"])},
            tables={"levels": levels},
            status=(f"refused: {refused} of {len(levels)} losses",) if refused else (),
        )


def pairs(points: Columns) -> pd.DataFrame:
    """S_min, E_min and B_crit of each loss, and why it is refused ("" if it is not)."""
    rows = []
    for loss in np.unique(points["loss"]):
        of = points["loss"] == loss
        B, S = points["batch"][of], points["steps"][of]
        if len(np.unique(B)) < _LEAST_BATCHES:
            reason = f"{len(np.unique(B))} batch sizes; must be at least {_LEAST_BATCHES}"
            rows.append({"loss": loss, "S_min": np.nan, "E_min": np.nan, "critical_batch": np.nan, "refused": reason})
            continue
        S_min, critical = hyperbola(B, S)
        inside = B.min() / 100 < critical < B.max() * 100
        reason = "" if inside else "its batch sizes say nothing about a critical one"
        found = {"S_min": S_min, "E_min": S_min * critical, "critical_batch": critical}
        rows.append({"loss": float(loss)} | found | {"refused": reason})
    return pd.DataFrame(rows)


def hyperbola(B: Float[np.ndarray, " n"], S: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """S_min and B_crit of one loss, by least squares of log steps."""
    parameters = Parameter("S_min"), Parameter("critical", float(B.min()) / 1e3, float(B.max()) * 1e3)
    starts = [{"S_min": float(S.min()), "critical": float(one)} for one in np.geomspace(B.min(), B.max(), 4)]
    problem = Problem(steps, parameters, {"batch": B, "steps": S}, "steps", starts)
    found = problem.values(solve(problem).coordinates)
    return float(found["S_min"][0, 0]), float(found["critical"][0, 0])


def steps(values: Values, where: Columns) -> np.ndarray:
    """Steps to one loss at each batch size."""
    return values["S_min"] * (1 + values["critical"] / where["batch"])


critical_batch = CriticalBatch()
