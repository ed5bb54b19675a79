"""The capacity law: the best bits per parameter over N, for models of several sizes, after 1000 and 100 exposures.

Source: Allen-Zhu and Li, arXiv 2404.05405, results 1 and 4 (figure 1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from capacity.experiments.experiment import GPU, Finding, Scale, Status, Verdict, sweeps_of, together
from capacity.laws.capacity import best_over_people

_KIND = ["recipe", "exposures"]
_CLAIMS = {1000: (1.8, 2.3), 100: (0.8, 1.2)}
_SAYS = {1000: "about 2, never above 2.3", 100: "about 1"}
"""What the source says of the best R over N by exposures, and the R that count as that."""
_RECIPE = "paper"
"""The recipe that follows the source; the verdict is about its runs; the evidence lists the others, too."""


@dataclass(frozen=True)
class Law:
    """The law on one data set."""

    dataset: str
    people: str
    """What it writes about, in words."""
    runs: tuple[tuple[Scale, str, Mapping[str, Any]], ...]
    """Its sweeps: for which scale, over which preset, with which changes."""
    published: tuple[str, ...] = ("law-laptop",)
    figures: tuple[str, ...] = ("law",)

    @property
    def title(self) -> str:
        """In a few words."""
        return f"the law on {self.people}"

    @property
    def question(self) -> str:
        """What is asked, in one sentence."""
        return f"How many bits of {self.people} does a model store per parameter, whatever its size?"

    @property
    def source(self) -> str:
        """What the source says, with a citation."""
        return (
            "Allen-Zhu and Li (arXiv 2404.05405, results 1 and 4). "
            "After 1000 exposures the best R over N is about 2 for every size, and never above 2.3. "
            "After 100 exposures it is about 1."
        )

    def sweeps(self, scale: Scale) -> Sequence[Mapping[str, Any]]:
        """Options of the sweeps. Raises ValueError for a scale that it does not have."""
        return sweeps_of(self.runs, scale)

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The runs on its data set, without junk and questions, at the exposures that the source speaks of."""
        ours = (frame["dataset"] == self.dataset) & (frame["junk"] == "0") & frame["exposures"].isin(list(_CLAIMS))
        if "questions" in frame:
            ours &= frame["questions"].fillna("none") == "none"
        return frame[ours]

    def table(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The best R of each recipe, number of exposures and size."""
        best = _best(frame)
        return pd.DataFrame(
            {
                "recipe": best["recipe"],
                "exposures": [f"{number:,}" for number in best["exposures"]],
                "size": best["size"],
                "P": [f"{number:,}" for number in best["params"]],
                "best R": [
                    f"{'' if bracketed else '≥ '}{R:.2f}"
                    for R, bracketed in zip(best["R"], best["bracketed"], strict=True)
                ],
                "seeds": best["seeds"].astype(str),
                "best N": [f"{number:,}" for number in best["people"]],
            }
        )

    def verdict(self, frame: pd.DataFrame) -> Verdict:
        """Whether the best R of every size lies where the source has it."""
        best = _best(frame)
        statuses: list[Status] = []
        evidence = []
        findings = []
        groups: list[Any] = list(best.groupby(_KIND, sort=False))
        for (recipe, exposures), rows in groups:
            low, high = _CLAIMS[exposures]
            inside = rows["R"].between(low, high)
            evidence += _sentences(recipe, exposures, rows, int(inside.sum()), low, high)
            if recipe == _RECIPE:
                statuses.append(_status(rows, inside))
                here = f"{rows['R'].min():.2f} to {rows['R'].max():.2f}"
                what = f"best R over N, {exposures:,} exposures"
                findings.append(Finding(what, _SAYS[exposures], here, statuses[-1]))
        missing = len(_CLAIMS) - len(statuses)
        if missing:
            statuses.append("not enough runs")
        return Verdict(together(statuses), evidence, findings)


def _best(frame: pd.DataFrame) -> pd.DataFrame:
    best = best_over_people(frame[frame["quantization"] == "none"], _KIND)
    return best.sort_values(["recipe", "exposures", "params"], ascending=[False, False, True], ignore_index=True)


def _status(rows: pd.DataFrame, inside: "pd.Series[bool]") -> Status:
    if len(rows) < 2:
        return "not enough runs"
    if inside.all() and rows["bracketed"].all():
        return "reproduced"
    return "reproduced in part" if inside.any() else "not reproduced"


def _sentences(recipe: str, exposures: int, rows: pd.DataFrame, inside: int, low: float, high: float) -> list[str]:
    sizes = f"{len(rows)} size{'s' if len(rows) > 1 else ''}"
    spread = f"{rows['params'].min():,} to {rows['params'].max():,} parameters"
    seeds = int((rows["seeds"] >= 3).sum())
    return [
        f"Recipe {recipe}, {exposures:,} exposures: best R {rows['R'].min():.2f} to {rows['R'].max():.2f}.",
        f"These are {sizes} of {spread}: {inside} in {low:g} to {high:g}, {int(rows['bracketed'].sum())} bracketed, "
        f"{seeds} with three seeds.",
    ]


LAW_BIOD = Law(
    dataset="biod",
    people="bioD (abstract people)",
    runs=(
        ("laptop", "law-laptop/biod", {"recipe": "paper", "layout": "rows", "exposures": 1000}),
        ("laptop", "law-laptop/biod", {"recipe": "paper", "layout": "rows", "exposures": 100, "r_max": [0.5, 1]}),
        ("laptop", "law-laptop/biod", {"recipe": "fast", "exposures": 100, "r_max": [1.2, 2.5]}),
        ("gpu", "law-laptop/biod", {**GPU, "recipe": "paper", "layout": "rows"}),
        ("paper", "paper/biod", {}),
    ),
)
LAW_BIOS = Law(
    dataset="bios",
    people="bioS (biographies)",
    runs=(
        ("laptop", "law-laptop/bios", {}),
        ("laptop", "law-laptop/bios-100", {}),
        ("gpu", "law-laptop/bios", {**GPU, "exposures": [100, 1000]}),
        ("paper", "paper/exposures-1000", {}),
        ("paper", "paper/exposures-100", {}),
    ),
)
