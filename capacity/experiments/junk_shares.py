"""Shares of junk against size: where does a model that learns most of its people turn into one that learns nobody?

Source: Gu et al. 2025, arXiv 2505.18091, on phase transitions in the mixing ratio and in the size.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pandas as pd

from capacity.experiments.comparison import Comparison
from capacity.experiments.experiment import Finding, Status, Verdict, together
from capacity.laws.groups import phrase
from capacity.laws.ratios import LEAST_SEEDS

SHARES = ("0", "1/2", "3/4", "7/8", "15/16")
"""Of all tokens; each but the first two halves what is left for useful text."""
_MOST, _NOTHING = 0.5, 0.1
"""Of what the same model stores without junk: at least the one is "most", at most the other "almost nothing". Ours."""
_SIZES = ["2x16x2", "2x32", "2x48x2"]
_GPU: Mapping[str, Any] = {"sizes": ["2-2", "3-3", "4-4"], "people": 8000, "r_max": [0, 9]}


@dataclass(frozen=True)
class Transition:
    """How R of one size falls with the share of junk."""

    size: str
    params: float
    kept: dict[Fraction, float]
    """R as a share of that without junk, by the share of junk, in rising order; means over seeds."""
    seeds: int
    """The fewest of any share."""

    @property
    def most_junk(self) -> Fraction:
        """The largest share of junk up to which every model learns most."""
        fails = [share for share, kept in self.kept.items() if kept < _MOST]
        return max(share for share in self.kept if not fails or share < fails[0])

    @property
    def least_lost(self) -> Fraction | None:
        """The smallest share of junk with which almost nothing is learned."""
        return next((share for share, kept in self.kept.items() if kept <= _NOTHING), None)

    @property
    def status(self) -> Status:
        """Whether R falls from most to almost nothing between neighboring shares."""
        if self.seeds < LEAST_SEEDS or self.least_lost is None or len(self.kept) < len(SHARES):
            return "not enough runs"
        between = [share for share in self.kept if self.most_junk < share < self.least_lost]
        return "not reproduced" if between else "reproduced"


def transitions(frame: pd.DataFrame) -> Iterator[Transition]:
    """One for each size with runs without junk, from the smallest on.

    frame: a row a run, with `size`, `params`, `junk`, `seed` and `bits_per_param`, one learning rate a size and share.
    """
    sizes = sorted(frame.groupby("size"), key=lambda group: float(group[1]["params"].mean()))
    for size, rows in sizes:
        R = {Fraction(str(share)): max(0.0, float(of["bits_per_param"].mean())) for share, of in rows.groupby("junk")}
        clean = R.get(Fraction(0), 0.0)
        if clean > 0:
            kept = {share: R[share] / clean for share in sorted(R)}
            seeds = int(rows.groupby("junk")["seed"].nunique().min())
            yield Transition(str(size), float(rows["params"].mean()), kept, seeds)


class _JunkShares(Comparison):
    """A comparison whose verdict is about where R falls, not about ratios."""

    def verdict(self, frame: pd.DataFrame) -> Verdict:
        """Whether R falls at once, and at larger shares of junk for larger models."""
        evidence = [
            f"Most: at least {_MOST:.0%} of what the same model stores without junk; almost nothing: {_NOTHING:.0%}."
        ]
        found = list(transitions(frame))
        findings = [
            Finding(f"R over shares of junk, {one.size}", "from most to almost nothing at once", _told(one), one.status)
            for one in found
        ]
        findings.append(_by_size(found))
        return Verdict(together([finding.status for finding in findings]), evidence, findings)


def _told(one: Transition) -> str:
    return ", ".join(f"{kept:.0%} with {phrase('junk', share)}" for share, kept in one.kept.items() if share)


def _by_size(found: list[Transition]) -> Finding:
    """Whether larger models learn most beside more junk."""
    borders = [one.most_junk for one in found]
    status: Status = "not enough runs"
    if len(found) > 1 and min(one.seeds for one in found) >= LEAST_SEEDS:
        status = "not reproduced"
        if borders == sorted(borders):
            status = "reproduced" if borders[-1] > borders[0] else "reproduced in part"
    told = ", ".join(f"{border} ({one.size})" for border, one in zip(borders, found, strict=True))
    return Finding("the most junk beside which most is learned", "larger models bear more", told, status)


JUNK_SHARES = _JunkShares(
    title="shares of junk against size",
    question="At which share of junk, and from which size on, does a model stop learning its useful texts?",
    source=(
        "Gu et al. (arXiv 2505.18091), on biographies mixed into texts of the web. "
        "Below a critical share of the mixture a model memorizes almost nothing, and above it rapidly more. "
        "At a critical size it goes from very few to most of the biographies. "
        "The critical share follows a power law of the size."
    ),
    settings={phrase("junk", share): {"junk": share, "junk_people": None} for share in SHARES},
    runs=(
        ("laptop", "reproduce/junk-shares", {"junk": list(SHARES)}),
        ("gpu", "reproduce/junk-shares", {"junk": list(SHARES), **_GPU}),
    ),
    claims=(),
    shared={
        **{"dataset": "biod", "recipe": "fast", "biod.name_length": 5, "biod.K": 4, "biod.C": 4},
        **{"domain_token": False, "layout": "rows", "exposures": 300},
        **{"people": 150, "size": _SIZES},
    },
    large=_GPU,
    figures=("shares",),
)
