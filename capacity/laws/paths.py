"""Learning-rate schedules as the laws of loss see them: sums of the rate, and its drops.

In: steps and learning rates of one or several curves, one row a logged point. Out: a `Path` a curve.

A curve begins where the step does not grow. Before its first row the rate is taken to have risen linearly from 0, which
is the warm-up. Between rows the rate is taken to be linear for sums, and a drop counts from the row that shows it; so
rows must be dense where the rate changes.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

WARMUP_PIECES = 32
"""Pieces that the warm-up before the first row is cut into."""


@dataclass(frozen=True)
class Path:
    """The schedule of one curve of n rows with k drops."""

    S1: Float[np.ndarray, " n"]
    """Sum of the learning rate over all steps up to each row, the warm-up included."""
    drops: Float[np.ndarray, " k"]
    """By how much the rate fell, in order; the warm-up and other rises are negative."""
    rates: Float[np.ndarray, " k"]
    """The rate after each drop."""
    since: Float[np.ndarray, "n k"]
    """Sum of the rate from each drop to each row; 0 before it."""
    steps: Float[np.ndarray, "n k"]
    """Steps from each drop to each row, its own step included; 0 before it."""
    warmup: int
    """How many of the drops lie before the first row."""


def paths_of(step: Float[np.ndarray, " n"], lr: Float[np.ndarray, " n"]) -> list[Path]:
    """The path of each curve. Raises ValueError for a curve of a single row, which has no schedule."""
    if 1 in np.diff(starts_of(step)):
        raise ValueError("step: a curve of one row is not allowed; must be at least two, as a schedule is a curve")
    return [_path(step[a:b], lr[a:b]) for a, b in pairwise(starts_of(step))]


def starts_of(step: Float[np.ndarray, " n"]) -> list[int]:
    """The first row of each curve, and the number of rows."""
    return [0, *(int(row) + 1 for row in np.flatnonzero(np.diff(step) <= 0)), len(step)]


def _path(step: Float[np.ndarray, " n"], lr: Float[np.ndarray, " n"]) -> Path:
    rising = np.linspace(0, 1, WARMUP_PIECES, endpoint=False)
    all_steps = np.concatenate([rising * step[0], step])
    rate = np.concatenate([rising * lr[0], lr])
    area = np.concatenate([[0.0], np.cumsum(np.diff(all_steps) * (rate[1:] + rate[:-1]) / 2)])
    at = np.flatnonzero(np.diff(rate)) + 1
    rows = np.arange(WARMUP_PIECES, len(rate))
    seen = rows[:, None] >= at
    return Path(
        S1=area[rows],
        drops=-np.diff(rate)[at - 1],
        rates=rate[at],
        since=np.where(seen, area[rows, None] - area[at], 0.0),
        steps=np.where(seen, all_steps[rows, None] - all_steps[at] + 1, 0.0),
        warmup=int((at <= WARMUP_PIECES).sum()),
    )
