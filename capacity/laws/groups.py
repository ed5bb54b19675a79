"""Groups of runs that may be averaged: runs that differ only in their seed.

In: a table with one row a run (or a run and quantization) and the names of the options that decide a result. Out: the
options by which the runs have to be told apart, and a name for each kind of run.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from biogen.datasets import title_of

PRIMARY = ("dataset", "size", "people", "exposures", "budget", "junk", "architecture", "recipe")
"""Options that tell runs apart whenever they differ; the recipe decides most others from them."""

AXES = ("size", "people")
"""Options that are axes of figures; runs that differ in others are different kinds."""


def differing(frame: pd.DataFrame, options: Sequence[str]) -> list[str]:
    """The options that tell the runs of a table apart: runs with the same values of them differ only in the seed.

    They are the options of `PRIMARY` with more than one value, and every other option with more than one value among
    runs that agree in those before it. So an option that follows from the others (a learning rate that the recipe
    derives from the width) is not among them. A missing value counts as a value.

    Args:
        frame: a row a run, or several of the same values.
        options: names in canonical order; names without a column are skipped.

    """
    values = frame[[name for name in options if name in frame and name != "seed"]]
    if {"budget", "exposures"} <= set(values):  # exposures follow from tokens, a little differently for each seed
        values = values.assign(exposures=values["exposures"].where(values["budget"].isna()))
    values = values.drop_duplicates()
    several = [name for name in map(str, values) if values[name].nunique(dropna=False) > 1]
    found = [name for name in PRIMARY if name in several]
    for name in several:
        if name not in found and _varies_within(values, found, name):
            found.append(name)
    return found


def kinds(frame: pd.DataFrame, options: Sequence[str]) -> list[str]:
    """The options that tell curves apart: `differing` without the axes of figures."""
    return [name for name in differing(frame, options) if name not in AXES]


def label(values: Mapping[str, Any]) -> str:
    """The name of a kind of run, from the options that tell it apart: "bioD, muon, lr 0.01".

    A missing value is named only if all values are missing.
    """
    given = {name: value for name, value in values.items() if not pd.isna(value)}
    given = given or dict.fromkeys(list(values)[-1:], "none")
    return ", ".join(phrase(name, value) for name, value in given.items())


def phrase(name: str, value: Any) -> str:
    """One option in words."""
    match name:
        case "dataset":
            return title_of(str(value))
        case "optimizer" | "architecture":
            return str(value)
        case "exposures":
            return f"{value:,.10g} exposure{'s' if value != 1 else ''}"
        case "budget":
            return f"{value:,.10g} tokens"
        case "junk":
            return "no junk" if str(value) == "0" else f"{value} junk"
        case _:
            return f"{name.replace('_', ' ')} {f'{value:.10g}' if isinstance(value, float) else value}"


def _varies_within(values: pd.DataFrame, keys: Sequence[str], name: str) -> bool:
    """Whether an option has more than one value among rows that agree in `keys`."""
    if not keys:
        return True
    return len(values[[*keys, name]].drop_duplicates()) > len(values[list(keys)].drop_duplicates())
