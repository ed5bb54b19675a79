"""Passes against parameters: how often a model of P parameters must read k bits of facts to know a share of them.

In: shares known by size and exposures. Out: the fewest exposures for a share, by size; and a law with four parameters.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, SupportsFloat

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.optimize import least_squares

BOUNDS = {
    "scale": (1e-3, 1e7),
    "slope": (1e-3, math.exp(2.5)),
    "steepness": (0.1, math.exp(2.5)),
    "capacity": (0.1, 8.0),
}
"""Where each parameter may be."""


class PassesLaw(NamedTuple):
    """share = ceiling · (1 − exp(−(e / e0)^steepness)), with e0 = scale · x^−slope and ceiling = min(1, capacity · x).

    x is parameters per bit of what there is to know, P / k, and e the number of exposures. Our own form: learning that
    saturates exponentially in epochs is Lu et al.'s (arXiv 2406.15720), the ceiling is the capacity law.
    """

    scale: float
    """Exposures at which a model with a parameter a bit knows 1 − 1/e of what it can."""
    slope: float
    """A model twice as large needs 2^slope times fewer."""
    steepness: float
    capacity: float
    """Bits a parameter that a model holds in the end."""
    error: float
    """Root mean square of the residuals, in shares."""

    def share(self, x: Float[np.ndarray, " n"], exposures: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """The share known."""
        return share(self.scale, self.slope, self.steepness, self.capacity, x, exposures)


Parameter = float | Float[np.ndarray, "k 1"]
"""Of one law, or of k laws at once."""


def share(
    scale: Parameter,
    slope: Parameter,
    steepness: Parameter,
    capacity: Parameter,
    x: Float[np.ndarray, " n"],
    exposures: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "*k n"]:
    """The share that `PassesLaw` gives; of k laws, a row each."""
    turn = (exposures / scale * x**slope) ** steepness
    return np.minimum(1.0, capacity * x) * -np.expm1(-turn)


def fit_passes(
    x: Float[np.ndarray, " n"], exposures: Float[np.ndarray, " n"], share: Float[np.ndarray, " n"]
) -> PassesLaw:
    """The law with the least squares of shares, the best of several starts.

    Raises:
        ValueError: fewer points than parameters, or all of one size.

    """
    if len(x) < 5 or len(np.unique(x)) < 2:
        raise ValueError(f"points: {len(x)} of {len(np.unique(x))} sizes are not enough; allowed are at least 5 of 2")

    def law(values: Float[np.ndarray, " 4"]) -> PassesLaw:
        scale, slope, steepness, capacity = np.exp(values)
        return PassesLaw(float(scale), float(slope), float(steepness), float(capacity), math.nan)

    starts = [(math.log(scale), 0.0, 0.5, math.log(most)) for scale in (3, 30, 300) for most in (0.7, 1.2, 1.8)]
    bounds = tuple(np.log([ends[place] for ends in BOUNDS.values()]) for place in (0, 1))
    found = [
        least_squares(lambda values: law(values).share(x, exposures) - share, start, bounds=bounds) for start in starts
    ]
    best = min(found, key=lambda one: one.cost)
    return law(best.x)._replace(error=float(np.sqrt(np.mean(best.fun**2))))


def fewest_exposures(exposures: Sequence[SupportsFloat], share: Sequence[SupportsFloat], wanted: float) -> float:
    """The fewest exposures from which on a share is known: between two tried ones, by their logarithms.

    The first number tried if it is enough; NaN if none is. Later numbers that fall below again do not count.
    """
    points = sorted((float(number), float(known)) for number, known in zip(exposures, share, strict=True))
    for place, (number, known) in enumerate(points):
        if known >= wanted:
            if place == 0:
                return number
            before, less = points[place - 1]
            part = (wanted - less) / (known - less)
            return before * (number / before) ** part
    return math.nan


def known_shares(frame: pd.DataFrame) -> pd.DataFrame:
    """The share of all bits that is known, by size and exposures: mean, lowest and highest seed.

    Columns: size, params, exposures, x (parameters a bit of all there is), share, low, high, seeds.
    """
    rows = frame.assign(share=frame["bits"] / frame["max_bits"], x=frame["params"] / frame["max_bits"])
    runs = rows.groupby(["size", "exposures"], sort=False)
    shares = runs["share"].agg(["mean", "min", "max", "size"]).set_axis(["share", "low", "high", "seeds"], axis=1)
    means = shares.assign(params=runs["params"].mean(), x=runs["x"].mean()).reset_index()
    return means.sort_values(["params", "exposures"], ignore_index=True)
