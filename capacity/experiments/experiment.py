"""The protocol of an experiment: its sweeps, its table and figures, and a verdict from the data alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import pandas as pd

Scale = Literal["laptop", "gpu", "paper"]
SCALES: tuple[Scale, ...] = ("laptop", "gpu", "paper")
"""laptop: two cores and about an hour; gpu: one GPU and a day; paper: the source's own settings."""
GPU: Mapping[str, Any] = {
    "sizes": ["2-2", "4-4"],
    "people": [1000, 1400, 2000, 2800, 4000, 5600, 8000, 11_000, 16_000, 22_000, 32_000, 45_000, 64_000],
    "r_max": [1.2, 2.2],
}
"""What one GPU trains in place of the sizes and N of two cores: 0.4 and 3.2 million parameters, N about capacity."""
Status = Literal["reproduced", "reproduced in part", "not reproduced", "not enough runs"]


def together(parts: Sequence[Status]) -> Status:
    """The status of a claim with several parts: their common status, else "reproduced in part"."""
    if "not enough runs" in parts or not parts:
        return "not enough runs"
    return parts[0] if len(set(parts)) == 1 else "reproduced in part"


@dataclass(frozen=True)
class Finding:
    """One thing that the source says, beside what came out; in words for a table."""

    what: str
    source: str
    here: str
    """Empty without runs."""
    status: Status


@dataclass(frozen=True)
class Verdict:
    """Whether the data show what the source says, with the evidence, a sentence each, and the findings."""

    status: Status
    evidence: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


@runtime_checkable  # so that the tests can check annotations
class Experiment(Protocol):
    """A question, the runs that answer it, and how to read them."""

    @property
    def title(self) -> str:
        """In a few words."""
        ...

    @property
    def question(self) -> str:
        """What is asked, in one sentence."""
        ...

    @property
    def source(self) -> str:
        """What the source says, with a citation."""
        ...

    @property
    def published(self) -> tuple[str, ...]:
        """Folders of results/ that hold its runs."""
        ...

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures that show it (`capacity.report.figures`)."""
        ...

    def sweeps(self, scale: Scale) -> Sequence[Mapping[str, Any]]:
        """Options of the sweeps, as in a preset's file. Raises ValueError for a scale that it does not have."""
        ...

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of a table of runs (`capacity.store.records.load`) that belong to it."""
        ...

    def table(self, frame: pd.DataFrame) -> pd.DataFrame:
        """What came out, as texts: a row each, columns named as a reader should see them."""
        ...

    def verdict(self, frame: pd.DataFrame) -> Verdict:
        """What the data say about the source's claim."""
        ...


@runtime_checkable
class ReadsCurves(Protocol):
    """An experiment about losses along a training, not at its end alone."""

    def along(self, runs: pd.DataFrame, folders: Sequence[Path]) -> pd.DataFrame:
        """Its table from its runs: a row for each point of their curves, which are in these folders."""
        ...


@dataclass(frozen=True)
class Selected:
    """What an experiment takes of the runs of some folders."""

    runs: pd.DataFrame
    """Its runs, a row each."""
    frame: pd.DataFrame
    """What its table and its verdict are made from: the runs, or the points of their curves."""


def selected(experiment: Experiment, frame: pd.DataFrame, folders: Sequence[Path]) -> Selected:
    """The runs of an experiment among all runs of some folders."""
    runs = experiment.select(frame)
    return Selected(runs, experiment.along(runs, folders) if isinstance(experiment, ReadsCurves) else runs)


def preset_options(name: str, **changes: Any) -> dict[str, Any]:
    """The options of a preset of this project, with changes."""
    from basis.flags import read_yaml
    from capacity.spec.presets import preset_path

    return read_yaml(preset_path(name)) | changes


def sweeps_of(runs: Sequence[tuple[Scale, str, Mapping[str, Any]]], scale: Scale) -> Sequence[Mapping[str, Any]]:
    """The options of the sweeps of a scale, each a preset with changes. Raises ValueError if there is none."""
    found = [preset_options(name, **changes) for at, name, changes in runs if at == scale]
    if not found:
        scales = ", ".join(dict.fromkeys(at for at, _, _ in runs))
        raise ValueError(f"scale: {scale!r} is not allowed for this experiment; must be one of {scales}")
    return found
