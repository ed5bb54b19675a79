"""Unequal people: does the capacity law predict the exponents of scaling in a world whose people follow Zipf's law?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from capacity.experiments.comparison import matching
from capacity.experiments.experiment import Finding, Scale, Status, Verdict, sweeps_of, together
from capacity.laws.chinchilla import chinchilla_3
from capacity.laws.fit import Fit, Interval
from capacity.laws.ratios import LEAST_SEEDS
from capacity.laws.zipf import predicted_exponents

_SURE = 0.2
"""A fitted exponent counts as sure if its interval reaches this share of the prediction, at most, to either side."""
_NEAR = 0.15
"""Outside its interval, a prediction that is off by this share of itself is right in part."""
_SYMBOLS = {"alpha": "α, in parameters", "beta": "β, in tokens", "a": "a, best parameters for a budget"}


@dataclass(frozen=True)
class Zipf:
    """The exponents of a fitted surface beside those that follow from the capacity law."""

    title: str = "unequal people"
    question: str = (
        "If person i is written about with a probability that falls as i^−s, does the capacity law predict how the "
        "loss falls with parameters and tokens?"
    )
    source: str = (
        "Our own derivation. A model that holds the K people it has room for, K ∝ P, leaves the tail's share of the "
        "loss, K^(1−s), so α = s − 1. People who came often enough in D tokens are K ∝ D^(1/s), so β = (s − 1)/s and "
        "a = β/(α + β) = 1/(s + 1). The irreducible loss E is the entropy of a text. "
        "Related: Hutter (arXiv 2102.04074), Michaud et al. (arXiv 2303.13506), Cabannes et al. (arXiv 2310.02984)."
    )
    published: tuple[str, ...] = ("zipf",)
    figures: tuple[str, ...] = ("zipf",)

    def sweeps(self, scale: Scale) -> Sequence[Mapping[str, Any]]:
        """Options of the sweeps. Raises ValueError for a scale that it does not have."""
        large = {"sizes": ["2x32x2", "2x64x2", "2-2", "4-4", "8-8"], "people": 20_000_000, "seeds": [0, 1, 2]}
        large |= {"tokens": [10_000_000, 30_000_000, 100_000_000, 300_000_000, 1_000_000_000]}
        return sweeps_of((("laptop", "reproduce/zipf", {}), ("gpu", "reproduce/zipf", large)), scale)

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The runs of a world of unequal people that were trained by tokens, with their held-out loss."""
        if "heldout_loss" not in frame or "zipf" not in frame:
            return frame.iloc[:0]
        rows = matching(frame, {"dataset": "biod", "population": "zipf", "recipe": "fast", "quantization": "none"})
        return rows.dropna(subset=["heldout_loss", "heldout_entropy", "zipf"])

    def table(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Fitted and predicted exponents, a line for each s."""
        lines = []
        for s, rows, fit in _fits(frame):
            expected = _expected(s, rows)
            lines.append(
                {"s": f"{s:g}"}
                | {f"{name}, predicted": f"{expected[name]:.3g}" for name in expected}
                | {f"{name}, fitted": _told(fit, name) for name in expected}
                | {"runs": str(len(rows)), "status of the fit": "; ".join(fit.status)}
            )
        names = ["s", *(f"{name}, {kind}" for name in (*_SYMBOLS, "E") for kind in ("predicted", "fitted"))]
        shown = pd.DataFrame(lines)
        return shown[[name for name in (*names, "runs", "status of the fit") if name in shown]]

    def verdict(self, frame: pd.DataFrame) -> Verdict:
        """Whether the fitted exponents are the predicted ones."""
        findings = []
        evidence = [
            f"The fit is Chinchilla's third approach, {chinchilla_3.formula}, to the held-out loss of all runs."
        ]
        for s, rows, fit in _fits(frame):
            seeds = int(rows.groupby(["size", "budget"])["seed"].nunique().min())
            for name, expected in _expected(s, rows).items():
                what = f"s = {s:g}: {_SYMBOLS.get(name, 'E, the irreducible loss in nats a token')}"
                status = judge(fit.parameters[name], fit.intervals[name], expected) if seeds >= LEAST_SEEDS else _LESS
                findings.append(Finding(what, f"{expected:.3g}", _told(fit, name), status))
            if fit.status != ("converged",):
                evidence.append(f"s = {s:g}: the fit is {'; '.join(fit.status)}.")
        return Verdict(together([finding.status for finding in findings]), evidence, findings)


_LESS: Status = "not enough runs"


def judge(value: float, interval: Interval, expected: float) -> Status:
    """Whether a fitted number is the expected one: in a narrow interval, or in a wide one or near it (in part)."""
    inside = interval.low <= expected <= interval.high
    narrow = max(interval.high - value, value - interval.low) <= _SURE * abs(expected)
    if inside:
        return "reproduced" if narrow else "reproduced in part"
    return "reproduced in part" if abs(value / expected - 1) <= _NEAR else "not reproduced"


def _fits(frame: pd.DataFrame) -> Iterator[tuple[float, pd.DataFrame, Fit]]:
    """The exponent, the runs and the fitted surface of each s that has enough of them."""
    for s, rows in frame.groupby("zipf"):
        table = rows[["params", "tokens"]].astype(float).assign(loss=rows["heldout_loss"])
        try:
            yield float(str(s)), rows, chinchilla_3.fit(table)
        except ValueError:  # too few sizes, or numbers of tokens
            continue


def _expected(s: float, rows: pd.DataFrame) -> dict[str, float]:
    """The predictions for an s: exponents, and the entropy of a token."""
    return predicted_exponents(s) | {"E": float(rows["heldout_entropy"].mean())}


def _told(fit: Fit, name: str) -> str:
    low, high = fit.intervals[name]
    return f"{fit.parameters[name]:.3g} ({low:.3g} to {high:.3g})"


ZIPF = Zipf()
