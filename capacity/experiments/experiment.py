"""What an experiment is: its sweeps, its table and figure, and a verdict that follows from the data alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import pandas as pd
from matplotlib.figure import Figure

Scale = Literal["laptop", "gpu", "paper"]
SCALES: tuple[Scale, ...] = ("laptop", "gpu", "paper")
"""laptop: two cores and about an hour; gpu: one GPU and a day; paper: the source's own settings."""
Status = Literal["reproduced", "reproduced in part", "not reproduced", "not enough runs"]


@dataclass(frozen=True)
class Verdict:
    """Whether the data show what the source says, and the evidence, a sentence each."""

    status: Status
    evidence: list[str] = field(default_factory=list)


@runtime_checkable  # so that the tests can check annotations
class Experiment(Protocol):
    """A question, the runs that answer it, and how to read them."""

    title: str
    """In a few words."""
    question: str
    """What is asked, in one sentence."""
    source: str
    """What the source says, with a citation."""
    published: tuple[str, ...]
    """Folders of results/ that hold runs of it."""

    def sweeps(self, scale: Scale) -> Sequence[Mapping[str, Any]]:
        """Options of the sweeps, as in a preset's file. Raises ValueError for a scale that it does not have."""
        ...

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of a table of runs that belong to it."""
        ...

    def table(self, frame: pd.DataFrame) -> pd.DataFrame:
        """What came out, ready to print: a row each, columns named as a reader should see them."""
        ...

    def figure(self, frame: pd.DataFrame) -> Figure | None:
        """The picture of it, or None if there are too few runs."""
        ...

    def verdict(self, frame: pd.DataFrame) -> Verdict:
        """What the data say about the source's claim."""
        ...
