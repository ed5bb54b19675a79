"""Loss along a training under any schedule of the learning rate: two laws, fitted on some schedules, predict others.

In: points of loss curves with the columns step, lr and loss, one curve after the other (`capacity.laws.paths`). Out: a
`Fit` whose predictions take whole curves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.optimize import least_squares

from capacity.laws.fit import BADLY_CONDITIONED, CONVERGED, Columns, Fit, Values, require_levels
from capacity.laws.fitting import MOST_CONDITION, NOT_CONVERGED, columns
from capacity.laws.paths import Path, paths_of
from capacity.laws.regression import HUBER

Rows = Float[np.ndarray, " n"]
_LEAST_RATE = 1e-12
"""A rate of 0 counts as this, so that its powers are finite."""


@dataclass(frozen=True)
class MultiPower:
    """Luo et al. 2025 (arXiv 2503.12811): L = L0 + A·S1^-α - B·Σ_k (η_(k-1) - η_k)·(1 - (1 + C·η_k^-γ·S_k)^-β).

    S1 is the sum of the learning rate, warm-up included; S_k its sum since drop k, of which the warm-up has many
    negative ones. C, β and γ are hardly told apart by a few schedules: the deepest minimum fits three public ones with
    half the loss of the published constants and predicts six others worse. So they are held near 1, 0.5 and 0.5, where
    the authors' own optimizer begins and soon stops. How strongly (`prior`) is ours.
    """

    prior: float = 0.25
    """What a factor of e in C, β or γ costs: so many half squares of Huber's delta for each row."""

    law: ClassVar = "schedule"
    formula: ClassVar = "loss = L0 + A·S1^-alpha - B·sum of drops·(1 - (1 + C·lr^-gamma·S)^-beta)"
    names: ClassVar = ("L0", "A", "alpha", "B", "C", "beta", "gamma")
    needs: ClassVar = ("step", "lr", "loss")

    def of_path(self, values: Values, path: Path) -> Rows:
        """The loss at each row of a curve."""
        x = values["C"] * path.since * np.maximum(path.rates, _LEAST_RATE) ** -values["gamma"]
        gone = -np.expm1(-values["beta"] * np.log1p(x)) @ path.drops
        return values["L0"] + values["A"] * path.S1 ** -values["alpha"] - values["B"] * gone

    def held(self, values: Values, rows: int) -> list[float]:
        """Residuals that hold C, β and γ."""
        size = HUBER * (self.prior * rows) ** 0.5
        usual = {"C": 1.0, "beta": 0.5, "gamma": 0.5}
        return [size * float(np.log(values[name] / usual[name])) for name in usual]

    def starts(self, loss: Rows, paths: Sequence[Path]) -> list[dict[str, float]]:
        """Where to begin."""
        begun = _starts(loss, paths)
        return [start | {"B": 0.3 / _fall(paths), "C": 1.0, "beta": 0.5, "gamma": 0.5} for start in begun]

    def curve(self, values: Values, where: Columns) -> Rows:
        """The loss at each row of one or more curves."""
        return _along(self, values, paths_of(where["step"], where["lr"]))

    def fit(self, table: pd.DataFrame, *, draws: int = 0, seed: int = 0) -> Fit:
        """Huber losses of log loss (delta 0.001), as the authors; no intervals (see `fit_schedules`)."""
        return fit_schedules(self, table)


@dataclass(frozen=True)
class Annealing:
    """Tissue et al. 2024 (arXiv 2408.11029): L = L0 + A·S1^-α - C·S2, with S2 = Σ m, m_i = λ·m_(i-1) + (η_(i-1) - η_i).

    So a drop adds (1 - λ^n) / (1 - λ) times its size to S2, n steps later. λ is fitted, too, as 1 - forgets. The
    warm-up counts in S1 and not in S2.
    """

    law: ClassVar = "schedule-annealing"
    formula: ClassVar = "loss = L0 + A·S1^-alpha - C·S2, S2: sum of the drops' momentum 1 - forgets"
    names: ClassVar = ("L0", "A", "alpha", "C", "forgets")
    needs: ClassVar = ("step", "lr", "loss")

    def of_path(self, values: Values, path: Path) -> Rows:
        """The loss at each row of a curve."""
        lasting = np.log1p(-min(values["forgets"], 0.999))
        S2 = -np.expm1(lasting * path.steps[:, path.warmup :]) / values["forgets"] @ path.drops[path.warmup :]
        return values["L0"] + values["A"] * path.S1 ** -values["alpha"] - values["C"] * S2

    def held(self, values: Values, rows: int) -> list[float]:
        """Nothing is held."""
        return []

    def starts(self, loss: Rows, paths: Sequence[Path]) -> list[dict[str, float]]:
        """Where to begin: as the other law, with two λ."""
        begun, fall = _starts(loss, paths), _fall(paths)
        return [start | {"C": 0.3 * one / fall, "forgets": one} for start in begun for one in (1e-2, 1e-3)]

    def curve(self, values: Values, where: Columns) -> Rows:
        """The loss at each row of one or more curves."""
        return _along(self, values, paths_of(where["step"], where["lr"]))

    def fit(self, table: pd.DataFrame, *, draws: int = 0, seed: int = 0) -> Fit:
        """Huber losses of log loss (delta 0.001), as the authors; no intervals (see `fit_schedules`)."""
        return fit_schedules(self, table)


def fit_schedules(law: MultiPower | Annealing, table: pd.DataFrame) -> Fit:
    """Fit a law of schedules to the points of one or more curves.

    There are no intervals: what a curve has in excess at one row it has at the next, so simulated noise would make them
    far too narrow. Schedules that were left out show how good predictions are.

    Raises:
        ValueError: fewer rows than parameters, or a learning rate that never changes.

    """
    points = columns(table, law.needs)
    require_levels(points, {"lr": 2}, len(law.names))
    paths, measured = paths_of(points["step"], points["lr"]), np.log(points["loss"])

    def residuals(logs: np.ndarray) -> np.ndarray:
        values = _named(law, logs)
        with np.errstate(all="ignore"):
            fitted = np.log(np.maximum(_along(law, values, paths), 1e-9))
        return np.concatenate([_rooted(measured - fitted), law.held(values, len(measured))])

    begun = [[np.log(start[name]) for name in law.names] for start in law.starts(points["loss"], paths)]
    found = min((least_squares(residuals, start, max_nfev=200) for start in begun), key=lambda one: float(one.cost))
    values = _named(law, found.x)
    return Fit(
        law=law.law,
        formula=law.formula,
        parameters=values,
        intervals={},
        method="",
        status=_status(found) or (CONVERGED,),
        residuals=measured - np.log(_along(law, values, paths)),
        objective=float(found.cost),
        measure=f"sum of Huber losses (delta {HUBER:g}) of log loss{', with a prior' * isinstance(law, MultiPower)}",
        points=points,
        target="loss",
        curve=law.curve,
    )


def _along(law: MultiPower | Annealing, values: Values, paths: Sequence[Path]) -> Rows:
    return np.concatenate([law.of_path(values, path) for path in paths])


def _named(law: MultiPower | Annealing, logs: Float[np.ndarray, " p"]) -> dict[str, float]:
    return dict(zip(law.names, np.exp(np.clip(logs, -60, 60)).tolist(), strict=True))


def _rooted(residuals: Rows) -> Rows:
    """Numbers whose half squares are the Huber losses of residuals."""
    size = np.abs(residuals)
    return np.where(size <= HUBER, size, np.sqrt(np.maximum(HUBER * (2 * size - HUBER), 0.0))) * np.sign(residuals)


def _starts(loss: Rows, paths: Sequence[Path]) -> list[dict[str, float]]:
    """Two floors below the lowest loss, and A such that the first row is right."""
    first, S1 = float(loss[0]), float(paths[0].S1[0])
    floors = [share * float(loss.min()) for share in (0.8, 0.95)]
    return [{"L0": L0, "A": (first - L0) * S1**0.5, "alpha": 0.5} for L0 in floors]


def _fall(paths: Sequence[Path]) -> float:
    """The largest fall of the rate in a curve, after its warm-up."""
    return max(float(path.drops[path.warmup :].clip(min=0).sum()) for path in paths) or 1.0


def _status(found: object) -> tuple[str, ...]:
    told = [] if found.status > 0 else [NOT_CONVERGED]  # type: ignore[attr-defined]
    slopes = found.jac / np.maximum(np.linalg.norm(found.jac, axis=0), 1e-300)  # type: ignore[attr-defined]
    condition = float(np.linalg.cond(slopes))
    if condition > MOST_CONDITION:
        told.append(f"{BADLY_CONDITIONED}: {condition:.1e}")
    return tuple(told)


multi_power, annealing = MultiPower(), Annealing()
