"""Rows of the paper's table, word for word: is the law on two cores the paper's law?

Source: Allen-Zhu and Li, arXiv 2404.05405, result 1 (figure 1), and its table of settings (appendix A).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from capacity.experiments.comparison import matching
from capacity.experiments.experiment import Finding, Scale, Status, Verdict, sweeps_of, together
from capacity.laws.ratios import LEAST_SEEDS

_LEAST_PEOPLE = 10_000
"""The smallest N of the table at 1000 exposures."""
_LEARNED = 1.8
"""Up to this R max, the source says, nearly all is learned; above it R is about 2."""
_NEARLY = 0.9
"""The share of R max that counts as nearly all: our choice."""
_LOW, _HIGH = 1.8, 2.3
"""The R that count as "about 2, never above 2.3"."""
_PROTOCOL = {
    "quantization": "none",
    "recipe": "paper",
    "exposures": 1000,
    "layout": "packed",
    "context": 512,
    "optimizer": "adamw",
    "junk": "0",
}
_DATA: tuple[Mapping[str, Any], ...] = (
    {"dataset": "biod"},
    {"dataset": "bios", "templates": 200, "variant": "fresh", "questions": "none", "pools.last_names": 1000},
)


@dataclass(frozen=True)
class PaperRow:
    """Runs by the paper's own protocol, each row of its table beside what it says of it."""

    title: str = "rows of the paper's table"
    question: str = "Do models trained by the paper's protocol, word for word, store what the paper says?"
    source: str = (
        "Allen-Zhu and Li (arXiv 2404.05405, result 1). "
        "After 1000 exposures nearly all is learned where R max is at most 1.8. "
        "Where there is more to learn, R is about 2, and never above 2.3."
    )
    runs: tuple[tuple[Scale, str, Mapping[str, Any]], ...] = (
        ("laptop", "reproduce/paper-row-biod", {}),
        ("gpu", "reproduce/paper-row-biod", {}),
        ("gpu", "reproduce/paper-row-bios", {}),
        ("gpu", "reproduce/paper-row-gpu", {"dataset": "biod"}),
        ("gpu", "reproduce/paper-row-gpu", {"dataset": "bios", "tokenizer": "gpt2"}),
        ("paper", "paper/biod", {"quantize": "none"}),
        ("paper", "paper/exposures-1000", {"quantize": "none"}),
    )
    published: tuple[str, ...] = ("comparisons",)
    figures: tuple[str, ...] = ("law",)

    def sweeps(self, scale: Scale) -> Sequence[Mapping[str, Any]]:
        """Options of the sweeps. Raises ValueError for a scale that it does not have."""
        return sweeps_of(self.runs, scale)

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The runs by the paper's protocol, with its N, as trained."""
        ours = matching(frame, _PROTOCOL)
        ours = ours[ours["people"] >= _LEAST_PEOPLE]
        return pd.concat([matching(ours, data) for data in _DATA])

    def table(self, frame: pd.DataFrame) -> pd.DataFrame:
        """R of each row, and what the source says."""
        return pd.DataFrame(
            {
                "data set": row.dataset,
                "N": f"{row.people:,}",
                "size": row.size,
                "P": f"{row.params:,}",
                "R max": f"{row.r_max:.2f}",
                "R": f"{row.R.mean():.3f}",
                "lowest to highest seed": f"{row.R.min():.3f} to {row.R.max():.3f}",
                "seeds": str(len(row.R)),
                "the source": row.says,
            }
            for row in _rows(frame)
        )

    def verdict(self, frame: pd.DataFrame) -> Verdict:
        """Whether the R of every row is what the source says of it."""
        rows = list(_rows(frame))
        findings = [
            Finding(
                f"{row.dataset}, N={row.people:,}, R max {row.r_max:.2f}", row.says, f"{row.R.mean():.2f}", row.status
            )
            for row in rows
        ]
        return Verdict(together([row.status for row in rows]), [], findings)


@dataclass(frozen=True)
class _Row:
    """The runs of one data set, N and size."""

    dataset: str
    people: int
    size: str
    params: int
    r_max: float
    R: "pd.Series[float]"
    """By seed."""

    @property
    def expected(self) -> tuple[float, float]:
        """The lowest and the highest R that are the source's."""
        return (_NEARLY * self.r_max, self.r_max) if self.r_max <= _LEARNED else (_LOW, _HIGH)

    @property
    def says(self) -> str:
        """What the source says, in words."""
        low, high = self.expected
        return f"{'nearly all' if self.r_max <= _LEARNED else 'about 2'}, here {low:.2f} to {high:.2f}"

    @property
    def status(self) -> Status:
        """In part: the mean over seeds is elsewhere, and a seed is where the source has it."""
        if len(self.R) < LEAST_SEEDS:
            return "not enough runs"
        low, high = self.expected
        if low <= self.R.mean() <= high:
            return "reproduced"
        return "reproduced in part" if self.R.between(low, high).any() else "not reproduced"


def _rows(frame: pd.DataFrame) -> Iterator[_Row]:
    groups: list[Any] = list(frame.groupby(["dataset", "people", "size"]))
    for (dataset, people, size), runs in groups:
        R = runs.groupby("seed")["bits_per_param"].mean()
        params, r_max = round(runs["params"].mean()), float(runs["max_bits_per_param"].mean())
        yield _Row(dataset, people, size, params, r_max, R)


PAPER_ROW = PaperRow()
