"""The capacity of a model: the largest R, bits per parameter, over numbers of people.

In: a table of runs, one row a run and quantization, and the options that tell kinds of runs apart
(`capacity.laws.groups.kinds`). Out: means over seeds, and the best of them of each kind and size.
"""

from collections.abc import Sequence

import pandas as pd


def compared(frame: pd.DataFrame, kind: Sequence[str]) -> pd.DataFrame:
    """The rows that can be compared: quantizations that all seeds of a kind, size and N have.

    The mean of these seeds would differ from that of all by more than quantization costs.
    """
    point = [*kind, "size", "people"]
    runs = frame.groupby(point, dropna=False)["run_id"].transform("nunique")
    return frame[frame.groupby([*point, "quantization"], dropna=False)["run_id"].transform("nunique") == runs]


def over_seeds(frame: pd.DataFrame, kind: Sequence[str]) -> pd.DataFrame:
    """The mean R over seeds of each kind, size, N and quantization, in order of first appearance.

    Columns: the kind, `size`, `people`, `quantization`, `params`, `R`, the lowest and highest seed as `low` and `high`,
    and the number of `seeds`. Runs without R and rows that cannot be compared are left out.
    """
    frame = compared(frame, kind).dropna(subset=["bits_per_param"])
    runs = frame.groupby([*kind, "size", "people", "quantization"], dropna=False, sort=False)
    R = runs["bits_per_param"]
    # A vocabulary that is learned from the people differs by a few tokens from seed to seed, and so does P.
    P = runs["params"].mean().round().astype("int64")
    means = pd.DataFrame({"params": P, "R": R.mean(), "low": R.min(), "high": R.max(), "seeds": R.size()})
    return means.reset_index()


def best_over_people(frame: pd.DataFrame, kind: Sequence[str]) -> pd.DataFrame:
    """The capacity of each kind, size and quantization: the largest mean R over N, as the paper reads it off.

    Columns are those of `over_seeds`, `tried`, the number of N, and `bracketed`: whether a smaller and a larger N than
    the best were tried, so that R is not only a lower bound. Among equally good N the smallest is taken.
    """
    means, of_size = over_seeds(frame, kind), [*kind, "size", "quantization"]
    means["params"] = means.groupby(of_size, dropna=False)["params"].transform("mean").round().astype("int64")
    tried = means.groupby(of_size, dropna=False)["people"]
    means["tried"] = tried.transform("nunique")
    means["bracketed"] = (tried.transform("min") < means["people"]) & (means["people"] < tried.transform("max"))
    rising = means.sort_values("people", kind="stable")
    best = rising.groupby(of_size, dropna=False, sort=False)["R"].idxmax()
    return means.loc[sorted(best)].reset_index(drop=True)
