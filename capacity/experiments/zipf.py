"""Unequal people: does the capacity law predict the exponents of scaling in a world whose people follow Zipf's law?"""

from capacity.experiments.fitted import Expected, Fitted, OneFit
from capacity.laws.chinchilla import chinchilla_3
from capacity.laws.zipf import predicted_exponents

_EXPONENTS = (1.2, 1.35, 1.6)
_SYMBOLS = {"alpha": "α, of parameters", "beta": "β, of tokens", "a": "a, of the best parameters for a budget"}
ON_GPU = {
    "sizes": ["2x32x2", "2x64x2", "2-2", "4-4", "8-8"],
    "people": 20_000_000,
    "tokens": [10_000_000, 30_000_000, 100_000_000, 300_000_000, 1_000_000_000],
}


def _expected(s: float) -> list[Expected]:
    """What follows for an s."""
    fit = f"s = {s:g}"
    exponents = [Expected(fit, name, _SYMBOLS[name], value) for name, value in predicted_exponents(s).items()]
    return [*exponents, Expected(fit, "E", "E, the irreducible loss in nats a token", "heldout_entropy")]


ZIPF = Fitted(
    title="unequal people",
    question="Does the capacity law predict how the loss falls if person i is written about with a probability ∝ i^−s?",
    source=(
        "Our own derivation. A model that holds the K people it has room for, K ∝ P, leaves the tail's share of the "
        "loss, K^(1−s), so α = s − 1. People who came often enough in D tokens are K ∝ D^(1/s), so β = (s − 1)/s and "
        "a = β/(α + β) = 1/(s + 1). The irreducible loss E is the entropy of a text. "
        "Related: Hutter (arXiv 2102.04074), Michaud et al. (arXiv 2303.13506), Cabannes et al. (arXiv 2310.02984)."
    ),
    runs=(("laptop", "reproduce/zipf", {}), ("gpu", "reproduce/zipf", ON_GPU)),
    shared={"dataset": "biod", "population": "zipf"},
    fits=tuple(OneFit(f"s = {s:g}", chinchilla_3, {"zipf": s}) for s in _EXPONENTS),
    expected=tuple(one for s in _EXPONENTS for one in _expected(s)),
    published=("scaling",),
    figures=("zipf",),
)
