"""The record: in how few exposures do models of two fixed sizes store 1.0 and 1.8 bits per parameter?

An entry is a file of `configs/record/`: a preset whose first line says in a comment what it changed. It counts by the
mean R over its seeds, three at least. To add one, add its file, run `capacity reproduce record`, and publish the runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd

from capacity.experiments.experiment import Finding, Scale, Status, Verdict, preset_options
from capacity.laws.ratios import LEAST_SEEDS

LEVELS = (1.0, 1.8)
"""Bits per parameter that an entry can reach."""
SIZES = {"biod": "2x48x2", "bios": "2x64x2"}
"""The size of the models by data set: 59,952 and about 143,000 parameters."""
_GOAL = ("biod", 1.8, 150)
"""The data set, bits per parameter and exposures that the record aims at."""
_BEGAN = {("biod", 1.0): 100, ("biod", 1.8): 300, ("bios", 1.0): 100, ("bios", 1.8): 1000}
"""The fewest exposures that had been tried and had reached a level when the record began."""


def entries() -> dict[str, str]:
    """What each entry changed, by the entry's name, in the order of their names."""
    from capacity.spec.presets import preset_names, preset_path

    names = [name for name in preset_names() if name.startswith("record/")]
    return {
        name.partition("/")[2]: preset_path(name).read_text("utf-8").partition("\n")[0].strip("# ") for name in names
    }


@cache
def entry_runs(name: str) -> tuple[str, ...]:
    """The ids of an entry's runs."""
    from capacity.runner.launch import make_preset
    from capacity.spec.plan import make_plans

    return tuple(plan.run_id for plan in make_plans(make_preset(preset_options(f"record/{name}"))))


@dataclass(frozen=True)
class FewestExposures:
    """Entries, and the fewest exposures in which one of them reached each level."""

    title: str = "the record: the fewest exposures"
    question: str = "In how few exposures does a model store 1.0 and 1.8 bits per parameter, on two cores?"
    source: str = (
        "None (arXiv 2404.05405 asks for 100 and 1000): this is an open record, in the mean of three seeds. "
        "It aims at 1.8 bits of bioD per parameter in 150 exposures, by models of 59,952 parameters."
    )
    published: tuple[str, ...] = ("comparisons",)
    figures: tuple[str, ...] = ("settings",)

    def sweeps(self, scale: Scale) -> Sequence[Mapping[str, Any]]:
        """Options of the sweeps: the entries, on two cores as on a GPU. Raises ValueError for the scale "paper"."""
        if scale == "paper":
            raise ValueError(f"scale: {scale!r} is not allowed for this experiment; must be one of laptop, gpu")
        return [preset_options(f"record/{name}") for name in entries()]

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The runs of all entries, with the entry's name as `setting`."""
        plain = frame[frame["quantization"] == "none"]
        found = [plain[plain["run_id"].isin(entry_runs(name))].assign(setting=name) for name in entries()]
        return pd.concat(found) if found else plain.iloc[:0].assign(setting="")

    def table(self, frame: pd.DataFrame) -> pd.DataFrame:
        """R and minutes of each entry, a line each."""
        lines = []
        for name, rows in frame.groupby("setting", sort=False):
            R = rows["bits_per_param"]
            lines.append(
                {"entry": name, "what it changed": entries()[str(name)], "data set": rows["dataset"].iloc[0]}
                | {"N": f"{rows['people'].iloc[0]:,}", "exposures": f"{rows['exposures'].iloc[0]:,}"}
                | {"R": f"{R.mean():.3f}", "lowest to highest seed": f"{R.min():.3f} to {R.max():.3f}"}
                | {"seeds": str(len(R)), "minutes a run": f"{rows['seconds'].mean() / 60:.1f}"}
            )
        return pd.DataFrame(lines)

    def verdict(self, frame: pd.DataFrame) -> Verdict:
        """The fewest exposures to each level, and whether the aim is reached."""
        findings = {of: _finding(frame, *of) for of in _BEGAN}
        return Verdict(findings[_GOAL[:2]].status, [], list(findings.values()))


def _finding(frame: pd.DataFrame, dataset: str, level: float) -> Finding:
    """The fewest exposures to a level on a data set, beside those at the beginning and, where there is one, the aim."""
    began, rows = _BEGAN[dataset, level], frame[frame["dataset"] == dataset]
    aim = _GOAL[2] if (dataset, level) == _GOAL[:2] else began
    best = quickest(rows, level)
    status: Status = "not reproduced" if best is None or best[0] > aim else "reproduced"
    if not (rows.groupby("setting")["seed"].nunique() >= LEAST_SEEDS).any():
        status = "not enough runs"
    said = f"{began:,} when the record began" + (f", the aim is {aim:,}" if aim != began else "")
    what = f"exposures to {level:g} bits per parameter, {dataset}, {SIZES[dataset]}"
    return Finding(what, said, "" if best is None else f"{best[0]:,} ({best[1]})", status)


def quickest(frame: pd.DataFrame, level: float) -> tuple[int, str] | None:
    """The fewest exposures of an entry whose mean R is at least `level`, and its name; None if there is none."""
    entry = frame.groupby(["setting", "exposures"])
    means = entry.agg(R=("bits_per_param", "mean"), seeds=("seed", "nunique")).reset_index()
    reached = means[(means["R"] >= level) & (means["seeds"] >= LEAST_SEEDS)].sort_values("exposures")
    return None if reached.empty else (int(reached["exposures"].iloc[0]), str(reached["setting"].iloc[0]))


RECORD = FewestExposures()
