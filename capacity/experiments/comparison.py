"""An experiment that compares settings: R of each at its best learning rate, and ratios with intervals over seeds.

In: settings by name, each with the options that make it, and claims about pairs of them. Out: an `Experiment`.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from capacity.experiments.experiment import GPU, Finding, Scale, Status, Verdict, sweeps_of, together
from capacity.laws.groups import phrase
from capacity.laws.ratios import LEAST_R, LEAST_SEEDS, Ratio, best_setting, ratio_over_seeds, tried_by_all
from capacity.spec.identity import DEFAULTS

_PLAIN = {"quantization": "none", "architecture": "gpt2", "optimizer": "muon", "precision": "auto"}
"""What all runs have in common unless an experiment says otherwise; experiments share a folder."""
_PAPER = {"recipe": "paper", "optimizer": "adamw", "layout": "packed", "context": 512}
"""What all runs by the paper's protocol have in common."""
_OF_TWO_CORES = ("size", "people", "lr", "biod.")
"""Shared options that say nothing about the source's own runs."""
_LEAST_TRIED = 3
"""Values of what is tuned that a verdict takes at least."""


@dataclass(frozen=True)
class Claim:
    """That one setting's R is so many times another's."""

    base: str
    """The setting that is expected to store more."""
    other: str
    low: float
    """The ratio base / other that counts as the source's lies between these."""
    high: float
    says: str
    """The source's words: "20 times less"."""
    at: Mapping[str, Any]
    """Values of the columns in `by`."""
    other_at: Mapping[str, Any] | None = None
    """Those of the other setting, if they differ."""
    ours: bool = False
    """It is our own guess, no source's, and does not count in the verdict."""

    @property
    def said(self) -> str:
        """What is compared, in words."""
        if self.other_at is None:
            return ", ".join((f"{self.base} against {self.other}", *_phrases(self.at)))
        sides = ((self.base, self.at), (self.other, self.other_at))
        return " against ".join(", ".join((name, *_phrases(at))) for name, at in sides)


@dataclass(frozen=True)
class Comparison:
    """Settings compared on the same people, each at the best of the same learning rates."""

    title: str
    question: str
    source: str
    settings: Mapping[str, Mapping[str, Any]]
    """The options of each setting; None means that an option is left open."""
    runs: tuple[tuple[Scale, str, Mapping[str, Any]], ...]
    """Its sweeps: for which scale, over which preset, with which changes."""
    claims: tuple[Claim, ...]
    shared: Mapping[str, Any]
    """Options of all its runs."""
    by: tuple[str, ...] = ("exposures",)
    """Columns that tell comparisons apart, each a line of the table."""
    tuned: tuple[str, ...] = ("lr",)
    """Columns whose best value counts, for each setting by itself; of the values that all settings tried."""
    own_values: bool = False
    """Each setting has values of its own for what is tuned, as many as the others have."""
    large: Mapping[str, Any] = field(default_factory=lambda: GPU)
    """The sizes and N of a GPU, as options of a sweep; those in `shared` are of two cores."""
    paper: Mapping[str, Any] = field(default_factory=dict)
    """What the runs of the scale "paper" have in place of `shared`, of which `_OF_TWO_CORES` do not count."""
    best_people: bool = False
    """The best N counts, for each setting by itself."""
    published: tuple[str, ...] = ("comparisons",)
    figures: tuple[str, ...] = ("settings",)
    columns: Mapping[str, str] = field(default_factory=dict)
    """More columns of the table, means over seeds: the headings by the columns of the runs."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Columns of the table with parts of R: the columns of bits that they show, a parameter."""

    def sweeps(self, scale: Scale) -> Sequence[Mapping[str, Any]]:
        """Options of the sweeps. Raises ValueError for a scale that it does not have."""
        larger = () if any(at == "gpu" for at, _, _ in self.runs) else tuple(_on_gpu(self.runs))
        return sweeps_of((*self.runs, *larger), scale)

    def _fitting(self, frame: pd.DataFrame, options: Mapping[str, Any]) -> pd.DataFrame:
        """The runs of a setting: those of two cores, then those of a GPU, then those with the source's own options."""
        laptop = _PLAIN | dict(self.shared)
        places = [laptop]
        if {"people", "size"} & laptop.keys():
            N = {"people": self.large["people"]} if "people" in laptop else {}
            places.append(laptop | {"size": self.large["sizes"]} | N)
        if any(at == "paper" for at, _, _ in self.runs):
            own = {name: value for name, value in laptop.items() if not name.startswith(_OF_TWO_CORES)}
            places.append({**own, **_PAPER, **self.paper})
        return pd.concat([matching(frame, shared | dict(options)) for shared in places])

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The runs of its settings, with the setting's name in a column, each at the best of what is tuned."""
        named = [self._fitting(frame, options).assign(setting=name) for name, options in self.settings.items()]
        rows = pd.concat([rows for rows in named if len(rows)] or [frame.iloc[:0].assign(setting="")])
        points = self._points(rows)
        rows = tried_by_all(rows, "setting", ["setting", *points] if self.own_values else points, self.tuned)
        own = rows.groupby(["setting", *points], dropna=False)
        tuned = self._tuned(rows)
        rows = rows.assign(
            tried=own[tuned].transform("nunique").prod(axis=1),
            **{f"least {name}": own[name].transform("min") for name in self._over(rows)},
            **{f"most {name}": own[name].transform("max") for name in self._over(rows)},
        )
        return _compared(best_setting(rows, ["setting", *points], self._over(rows)), points)

    def table(self, frame: pd.DataFrame) -> pd.DataFrame:
        """R of each setting, a line each."""
        several = [name for name in self._points(frame) if name in self.by or frame[name].nunique() > 1]
        chosen = [name for name in self._over(frame) if frame[name].nunique(dropna=False) > 1]
        lines = []
        for _, rows in frame.groupby([*self._points(frame), "setting"], sort=False, dropna=False):
            first, R = rows.iloc[0], rows["bits_per_param"]
            lines.append(
                {name: _text(first[name]) for name in several}
                | {"setting": first["setting"], "R": f"{R.mean():.3f}"}
                | {name: f"{(rows[bits] / rows['params']).mean():.3f}" for name, bits in self.parts.items()}
                | {"lowest to highest seed": f"{R.min():.3f} to {R.max():.3f}", "seeds": str(rows["seed"].nunique())}
                | {heading: f"{rows[name].mean():.3f}" for name, heading in self.columns.items()}
                | {"P": f"{round(rows['params'].mean()):,}", "R max": f"{rows['max_bits_per_param'].mean():.2f}"}
                | {f"best {name}": _best(first, name) for name in chosen}
            )
        return pd.DataFrame(lines)

    def verdict(self, frame: pd.DataFrame) -> Verdict:
        """Whether the ratios are the source's."""
        evidence = ["A against B, 2 times less: B stores half as many bits per parameter as A."]
        findings = []
        for claim in self.claims:
            found = self._ratio(frame, claim)
            wrong = self._tuned_alike(frame, claim) if found else None
            status = judge(found, claim.low, claim.high) if found and wrong is None else "not enough runs"
            if found and self._at_end(frame, claim) and status in _AT_END:
                status = _AT_END[status]
                evidence.append(f"{claim.said}: the best N is the last that was tried.")
            says = f"our guess: {claim.says}" if claim.ours else claim.says
            findings.append(Finding(claim.said, says, told(found) if found else "", status))
            evidence += [] if wrong is None else [f"{claim.said}: {wrong}."]
        if (frame["bits_per_param"] < LEAST_R).any():
            evidence.append(f"R below {LEAST_R:g} count as {LEAST_R:g} in ratios.")
        both = list(zip(self.claims, findings, strict=True))
        counted = [finding.status for claim, finding in both if not claim.ours] or [one.status for one in findings]
        return Verdict(together(counted), evidence, findings)

    def _tuned(self, frame: pd.DataFrame) -> list[str]:
        """The columns that are tuned and that the runs have."""
        return [name for name in self.tuned if name in frame]

    def _over(self, frame: pd.DataFrame) -> list[str]:
        """The columns whose best value counts."""
        return [*self._tuned(frame), *(["people"] if self.best_people else [])]

    def _tuned_alike(self, frame: pd.DataFrame, claim: Claim) -> str | None:
        """What is wrong with the tuning of a claim's two settings; None if nothing is."""
        if not self._tuned(frame):
            return None
        counts = [int(rows["tried"].min()) for rows in self._paired(frame, claim)]
        what = ", ".join(self._tuned(frame))
        if counts[0] != counts[1]:
            return f"{counts[0]} and {counts[1]} values of {what} were tried, which is not alike"
        return None if counts[0] >= _LEAST_TRIED else f"{counts[0]} values of {what} were tried, too few"

    def _points(self, frame: pd.DataFrame) -> list[str]:
        """The columns that tell the points of a setting apart, besides the seed."""
        names = dict.fromkeys((*self.by, "size", *(() if self.best_people else ("people",))))
        varied = {name for options in self.settings.values() for name in options}
        return [name for name in names if name in frame and name not in varied]

    def _at_end(self, frame: pd.DataFrame, claim: Claim) -> bool:
        """Whether the best N of one side is the last that was tried, so that more N could change the ratio."""
        if not self.best_people:
            return False
        ends = [(rows["people"] == rows[end]).any() for rows in self._paired(frame, claim) for end in _ENDS]
        return any(ends)

    def _keys(self, frame: pd.DataFrame, claim: Claim) -> list[str]:
        """The columns by which the runs of a claim's two settings are paired."""
        return [*(point for point in self._points(frame) if point not in claim.at), "seed"]

    def _paired(self, frame: pd.DataFrame, claim: Claim) -> list[pd.DataFrame]:
        """The runs of a claim's two settings at the points that both have, with the same seeds."""
        keys, sides = self._keys(frame, claim), _sides(frame, claim)
        common = sides[0][keys].merge(sides[1][keys]).drop_duplicates()
        return [side.merge(common) for side in sides]

    def _ratio(self, frame: pd.DataFrame, claim: Claim) -> Ratio | None:
        """The ratio over seeds, over all sizes and N together; None without pairs."""
        base, other = (
            rows.assign(log=rows["bits_per_param"].clip(lower=LEAST_R).map(math.log))
            .groupby(self._keys(frame, claim))["log"]
            .mean()
            .groupby("seed")
            .mean()
            .map(math.exp)
            for rows in self._paired(frame, claim)
        )
        return ratio_over_seeds(dict(base), dict(other)) if len(base) else None


def _compared(frame: pd.DataFrame, points: Sequence[str]) -> pd.DataFrame:
    """The rows of points at which there are several settings; other experiments' runs may be alike to one of them."""
    if frame.empty:
        return frame
    several = frame.groupby(list(points), dropna=False)["setting"].transform("nunique") > 1
    return frame[several] if several.any() else frame


_ENDS = ("least people", "most people")
_AT_END: dict[Status, Status] = {"reproduced": "reproduced in part", "not reproduced": "not enough runs"}
"""What a status becomes where more N could change the ratio."""


def _on_gpu(runs: Iterable[tuple[Scale, str, Mapping[str, Any]]]) -> Iterator[tuple[Scale, str, Mapping[str, Any]]]:
    """The sweeps of two cores with the sizes and N of a GPU."""
    return (("gpu", name, {**changes, **GPU}) for at, name, changes in runs if at == "laptop")


def _sides(frame: pd.DataFrame, claim: Claim) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The runs of a claim's two settings."""
    other_at = claim.at if claim.other_at is None else claim.other_at
    sides = ((claim.base, claim.at), (claim.other, other_at))
    base, other = (matching(frame, {"setting": name} | dict(at)) for name, at in sides)
    return base, other


def _phrases(values: Mapping[str, Any]) -> list[str]:
    return [phrase(name, value) for name, value in values.items()]


def matching(frame: pd.DataFrame, options: Mapping[str, Any]) -> pd.DataFrame:
    """The rows with some values of options; None is an option left open, a list any of its values.

    Where no run of the frame has an option, all have its default.
    """
    fits = np.ones(len(frame), dtype=bool)
    for name, value in options.items():
        if name not in frame and name not in DEFAULTS:
            continue  # unknown of all of them
        found = frame[name] if name in frame else pd.Series([DEFAULTS.get(name)] * len(frame), index=frame.index)
        if value is None:
            fits &= found.isna().to_numpy()
        else:
            allowed = value if isinstance(value, list | tuple) else [value]
            fits &= found.isin([one for one in found.unique() if any(_is(one, each) for each in allowed)]).to_numpy()
    return frame[fits]


def _is(value: Any, wanted: Any) -> bool:
    return not pd.isna(value) and bool(value == wanted or str(value) == str(wanted))


def judge(found: Ratio, low: float, high: float) -> Status:
    """Whether a ratio is the one that a source gives as `low` to `high`.

    Reproduced: the mean is there, and the interval over seeds is there too (for a source that speaks of no difference),
    or leaves 1 out (for one that speaks of a difference). In part: one of the two, or the interval reaches it.
    """
    if found.seeds < LEAST_SEEDS:
        return "not enough runs"
    if low <= found.value <= high:
        sure = found.low > 1 if low >= 1 else low <= found.low and found.high <= high
        return "reproduced" if sure else "reproduced in part"
    return "reproduced in part" if found.low <= high and found.high >= low else "not reproduced"


def told(found: Ratio) -> str:
    """A ratio in words: "1.31 times less (95 %: 1.25 to 1.38, 3 seeds)"."""
    interval = f"95 %: {_factor(found.low)} to {_factor(found.high)}, " if found.seeds > 1 else ""
    return f"{_factor(found.value)} times less ({interval}{found.seeds} seed{'s' if found.seeds > 1 else ''})"


def claims(pairs: Iterable[tuple[Any, ...]], *, ours: bool = False) -> tuple[Claim, ...]:
    """Claims from their fields in order: base, other, low, high, says, at, and perhaps other_at."""
    return tuple(replace(Claim(*fields), ours=ours) for fields in pairs)


def _factor(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}".rstrip(".")


def _best(row: pd.Series, name: str) -> str:
    """The value of what is tuned, and whether it is the last that was tried."""
    for end, word in (("least", "smallest"), ("most", "largest")):
        if row.get("tried", 1) > 1 and row.get(f"{end} {name}") == row[name]:
            return f"{_text(row[name])} ({word} tried)"
    return _text(row[name])


def _text(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,.10g}"
    return "none" if pd.isna(value) else str(value)
