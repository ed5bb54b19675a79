"""How much worse one setting is than another: the ratio of their R over the same seeds, with its interval.

In: the seeds' R of two settings. Out: a `Ratio`; and the best of several values of an option, where every setting had
the same choice.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import t as student

LEAST_R = 0.001
"""Bits per parameter that count at least: below it R says only that nothing was learned, and ratios mean nothing."""

LEAST_SEEDS = 3
"""Seeds that a verdict about a difference takes at least."""


class Ratio(NamedTuple):
    """How many times as large the R of one setting is as that of another."""

    value: float
    """The geometric mean over seeds."""
    low: float
    """Lower end of the 95 % interval over seeds; minus nothing (0) for a single seed."""
    high: float
    """Upper end; infinite for a single seed."""
    seeds: int
    """Pairs of runs with the same seed."""


def half_interval(values: Float[np.ndarray, " n"]) -> float:
    """Half of Student's 95 % interval of the mean of at least two values."""
    return float(student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))


def ratio_over_seeds(base: Mapping[int, float], other: Mapping[int, float]) -> Ratio:
    """The ratio base / other of R by seed.

    The interval is Student's over the logarithms of the ratios of pairs, as runs of one seed are about the same people.
    R below `LEAST_R` count as that.

    Raises:
        ValueError: no seed is in both.

    """
    seeds = sorted(base.keys() & other.keys())
    if not seeds:
        raise ValueError("seeds: no seed has both settings")
    logs = np.array([math.log(max(base[seed], LEAST_R) / max(other[seed], LEAST_R)) for seed in seeds])
    mean = float(logs.mean())
    if len(seeds) == 1:
        return Ratio(math.exp(mean), 0.0, math.inf, 1)
    half = half_interval(logs)
    return Ratio(math.exp(mean), math.exp(mean - half), math.exp(mean + half), len(seeds))


def best_setting(frame: pd.DataFrame, of: Sequence[str], over: Sequence[str]) -> pd.DataFrame:
    """The rows of the best values of some options, by the mean R over seeds.

    Values that fewer seeds tried than others are not taken. Among equally good ones the first of the frame is.

    Args:
        frame: a row a run, with `seed` and `bits_per_param`.
        of: columns whose values each get a best.
        over: columns that are chosen, such as "lr" and "people".

    """
    frame = frame.dropna(subset=["bits_per_param"])
    over = [name for name in over if name in frame]
    if frame.empty or not over:
        return frame
    runs = frame.groupby([*of, *over], dropna=False, sort=False)
    means = runs.agg(R=("bits_per_param", "mean"), seeds=("seed", "nunique")).reset_index()
    most = means.groupby(list(of), dropna=False)["seeds"].transform("max") if of else means["seeds"].max()
    tried = means[means["seeds"] == most]
    best = tried.groupby(list(of), dropna=False, sort=False)["R"].idxmax() if of else [tried["R"].idxmax()]
    return frame.merge(means.loc[best, [*of, *over]], on=[*of, *over], how="inner")


def tried_by_all(frame: pd.DataFrame, setting: str, of: Sequence[str], over: Sequence[str]) -> pd.DataFrame:
    """The rows with values of some options that every setting tried, so that none has more choice than another.

    A setting tried a value if it has `LEAST_SEEDS` seeds of it at each of its N, or as many as any value has.

    Args:
        frame: a row a run, with `seed` and `people`.
        setting: the column that tells settings apart.
        of: columns of a point, at least one; settings are compared within a point.
        over: columns that are tuned, such as "lr".

    """
    over = [name for name in over if name in frame]
    if frame.empty or not over:
        return frame
    each = list(dict.fromkeys((*of, setting, *over)))
    runs = frame.groupby([*each, *({"people"} - set(of))], dropna=False)
    seeds = runs.agg(seeds=("seed", "nunique")).reset_index()
    least = seeds.groupby(each, dropna=False)["seeds"].min().reset_index()
    tried = least[least["seeds"] >= min(LEAST_SEEDS, seeds["seeds"].max())]
    by = tried.groupby([*of, *over], dropna=False)[setting].transform("nunique")
    there = tried.groupby(list(of), dropna=False)[setting].transform("nunique")
    return frame.merge(tried.loc[by == there, [*of, *over]].drop_duplicates(), on=[*of, *over], how="inner")
