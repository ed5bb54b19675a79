"""An experiment that compares settings: R of each at its best learning rate, and ratios with intervals over seeds.

In: settings by name, each with the options that make it, and claims about pairs of them. Out: an `Experiment`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from capacity.experiments.experiment import Scale, Status, Verdict, sweeps_of, together
from capacity.laws.groups import phrase
from capacity.laws.ratios import LEAST_R, Ratio, best_setting, ratio_over_seeds
from capacity.spec.identity import DEFAULTS

_LEAST_SEEDS = 3
"""Seeds that a verdict takes at least."""


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
    over: tuple[str, ...] = ("lr",)
    """Columns whose best value counts, for each setting by itself."""
    published: tuple[str, ...] = ("comparisons",)
    figures: tuple[str, ...] = ("settings",)
    parts: Mapping[str, str] = field(default_factory=dict)
    """Columns of the table with parts of R: the columns of bits that they show, a parameter."""

    def sweeps(self, scale: Scale) -> Sequence[Mapping[str, Any]]:
        """Options of the sweeps. Raises ValueError for a scale that it does not have."""
        return sweeps_of(self.runs, scale)

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The runs of its settings, with the setting's name in a column, each at the best of what is tuned."""
        frame = matching(frame, self.shared)
        named = [matching(frame, options).assign(setting=name) for name, options in self.settings.items()]
        rows = pd.concat([rows for rows in named if len(rows)] or [frame.iloc[:0].assign(setting="")])
        return best_setting(rows, ["setting", *self._points(rows)], self.over)

    def table(self, frame: pd.DataFrame) -> pd.DataFrame:
        """R of each setting, a line each."""
        several = [name for name in self._points(frame) if name in self.by or frame[name].nunique() > 1]
        chosen = [name for name in self.over if name in frame and frame[name].nunique(dropna=False) > 1]
        lines = []
        for _, rows in frame.groupby([*self._points(frame), "setting"], sort=False, dropna=False):
            first, R = rows.iloc[0], rows["bits_per_param"]
            lines.append(
                {name: _text(first[name]) for name in several}
                | {"setting": first["setting"], "R": f"{R.mean():.3f}"}
                | {name: f"{(rows[bits] / rows['params']).mean():.3f}" for name, bits in self.parts.items()}
                | {"lowest to highest seed": f"{R.min():.3f} to {R.max():.3f}", "seeds": str(len(R))}
                | {"P": f"{round(rows['params'].mean()):,}", "R max": f"{rows['max_bits_per_param'].mean():.2f}"}
                | {f"best {name}": _text(first[name]) for name in chosen}
            )
        return pd.DataFrame(lines)

    def verdict(self, frame: pd.DataFrame) -> Verdict:
        """Whether the ratios are the source's."""
        statuses: list[Status] = []
        evidence = []
        for claim in self.claims:
            found = self._ratio(frame, claim)
            where = ", ".join(phrase(name, value) for name, value in claim.at.items())
            said = f"{claim.base} against {claim.other}{', ' if where else ''}{where}"
            if found is None:
                statuses.append("not enough runs")
                evidence.append(f"{said}: no runs with the same seeds; the source says {claim.says}.")
                continue
            statuses.append(judge(found, claim.low, claim.high))
            evidence += [f"{said}: {told(found)}.", f"The source says {claim.says}: {statuses[-1]}."]
        if (frame["bits_per_param"] < LEAST_R).any():
            evidence.append(f"R below {LEAST_R:g} count as {LEAST_R:g} in ratios.")
        return Verdict(together(statuses), evidence)

    def _points(self, frame: pd.DataFrame) -> list[str]:
        """The columns that tell the points of a setting apart, besides the seed."""
        names = dict.fromkeys((*self.by, "size", *(() if "people" in self.over else ("people",))))
        varied = {name for options in self.settings.values() for name in options}
        return [name for name in names if name in frame and name not in varied]

    def _ratio(self, frame: pd.DataFrame, claim: Claim) -> Ratio | None:
        """The ratio over seeds, over all sizes and N together; None without pairs."""
        rows = matching(frame, claim.at)
        logs: list[dict[Any, float]] = []
        for name in (claim.base, claim.other):
            own = rows[rows["setting"] == name]
            points = [point for point in self._points(frame) if point not in claim.at]
            R = own.assign(log=own["bits_per_param"].clip(lower=LEAST_R).map(math.log))
            logs.append(R.groupby([*points, "seed"])["log"].mean().to_dict())
        both = logs[0].keys() & logs[1].keys()
        if not both:
            return None
        base, other = (pd.Series({key: one[key] for key in both}).groupby(_seed).mean().map(math.exp) for one in logs)
        return ratio_over_seeds(dict(base), dict(other))


def matching(frame: pd.DataFrame, options: Mapping[str, Any]) -> pd.DataFrame:
    """The rows with some values of options; None is an option left open, a list any of its values.

    Where no run of the frame has an option, all have its default. Rows are of models as trained unless `options` names
    a quantization.
    """
    fits = np.ones(len(frame), dtype=bool)
    for name, value in ({"quantization": "none"} | dict(options)).items():
        found = frame[name] if name in frame else pd.Series([DEFAULTS.get(name)] * len(frame), index=frame.index)
        if value is None:
            fits &= found.isna().to_numpy()
        else:
            allowed = value if isinstance(value, list | tuple) else [value]
            fits &= np.array([any(_is(one, each) for each in allowed) for one in found], dtype=bool)
    return frame[fits]


def _is(value: Any, wanted: Any) -> bool:
    return not pd.isna(value) and bool(value == wanted or str(value) == str(wanted))


def judge(found: Ratio, low: float, high: float) -> Status:
    """Whether a ratio is the one that a source gives as `low` to `high`.

    In part: the interval over seeds reaches what the source says, and the mean does not.
    """
    if found.seeds < _LEAST_SEEDS:
        return "not enough runs"
    if low <= found.value <= high:
        return "reproduced"
    return "reproduced in part" if found.low <= high and found.high >= low else "not reproduced"


def told(found: Ratio) -> str:
    """A ratio in words: "1.31 times as much (1.25 to 1.38 over 3 seeds)"."""
    seeds = f"{found.seeds} seed{'s' if found.seeds > 1 else ''}"
    interval = f"95 %: {_factor(found.low)} to {_factor(found.high)}, {seeds}" if found.seeds > 1 else seeds
    return f"R is {_factor(found.value)} times as large ({interval})"


def claims(pairs: Iterable[tuple[str, str, float, float, str, Mapping[str, Any]]]) -> tuple[Claim, ...]:
    """Claims from their fields in order: base, other, low, high, says, at."""
    return tuple(Claim(*fields) for fields in pairs)


def _factor(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _seed(key: Any) -> int:
    return int(key[-1] if isinstance(key, tuple) else key)


def _text(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,.10g}"
    return "none" if pd.isna(value) else str(value)
