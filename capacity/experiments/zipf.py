"""Unequal people: does the capacity law predict the exponents of scaling in a world whose people follow Zipf's law?

α is measured where tokens abound, β on the largest model, both as exponents of the loss above its known floor. The
surface E + A/N^α + B/D^β stands beside them and does not count: by the derivation the loss is the larger of two terms,
and a sum that is fitted to a maximum has other exponents and another E.
"""

from functools import partial

import pandas as pd

from capacity.experiments.fitted import Expected, Fitted, OneFit
from capacity.laws.chinchilla import chinchilla_3
from capacity.laws.power import Power
from capacity.laws.zipf import predicted_exponents

_EXPONENTS = (1.2, 1.35, 1.6)
_PLENTY = {"sizes": ["2x16x1", "4x16x1", "2x32x2", "3x32x2"], "tokens": [60_000_000]}
"""Models so small that their capacity binds, not the tokens."""
ON_GPU = {
    "sizes": ["2x32x2", "2x64x2", "2-2", "4-4", "8-8"],
    "people": 20_000_000,
    "tokens": [10_000_000, 30_000_000, 100_000_000, 300_000_000, 1_000_000_000],
}


def _at_most(column: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the largest value of a column; `excess` is the loss above the texts' entropy, nats a token."""
    most = rows[rows[column] == rows[column].max()]
    return most.assign(excess=most["heldout_loss"] - most["heldout_entropy"])


def _fits(s: float) -> tuple[OneFit, ...]:
    """For an s: the law of parameters, the law of tokens, and the surface."""
    at, excess = {"zipf": s}, {"loss": "excess"}
    return (
        OneFit(f"s = {s:g}, most tokens", Power("params", floor=False), at, excess, partial(_at_most, "tokens")),
        OneFit(f"s = {s:g}, largest model", Power("tokens", floor=False), at, excess, partial(_at_most, "params")),
        OneFit(f"s = {s:g}, surface", chinchilla_3, at),
    )


def _expected(s: float) -> list[Expected]:
    """What follows for an s."""
    law = predicted_exponents(s)
    surface = f"s = {s:g}, surface"
    return [
        Expected(f"s = {s:g}, most tokens", "b", "−α, exponent of parameters", -law["alpha"]),
        Expected(f"s = {s:g}, largest model", "b", "−β, exponent of tokens", -law["beta"]),
        Expected(surface, "a", "a, exponent of the best parameters for a budget", law["a"], counts=False),
        Expected(surface, "E", "E, the irreducible loss in nats a token", "heldout_entropy", counts=False),
    ]


ZIPF = Fitted(
    title="unequal people",
    question="Does the capacity law predict how the loss falls if person i is written about with a probability ∝ i^−s?",
    source=(
        "Our own derivation. A model that holds the K people it has room for, K ∝ P, leaves the tail's share of the "
        "loss, K^(1−s), so α = s − 1. People who came often enough in D tokens are K ∝ D^(1/s), so β = (s − 1)/s and "
        "a = β/(α + β) = 1/(s + 1). The irreducible loss E is the entropy of a text. "
        "Related: Hutter (arXiv 2102.04074), Michaud et al. (arXiv 2303.13506), Cabannes et al. (arXiv 2310.02984)."
    ),
    runs=(("laptop", "reproduce/zipf", {}), ("laptop", "reproduce/zipf", _PLENTY), ("gpu", "reproduce/zipf", ON_GPU)),
    shared={"dataset": "biod", "population": "zipf"},
    fits=tuple(one for s in _EXPONENTS for one in _fits(s)),
    expected=tuple(one for s in _EXPONENTS for one in _expected(s)),
    published=("scaling",),
    figures=("zipf",),
)
