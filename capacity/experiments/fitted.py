"""An experiment that fits laws of scaling to its runs, and compares fitted numbers with those that a source gives.

In: the fits by name, each a law and the runs that it is fitted to, and expectations of their parameters. Out: an
`Experiment`, which also has the fits for figures.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pandas as pd

from basis.fields import split_values
from capacity.experiments.comparison import matching
from capacity.experiments.experiment import Finding, Scale, Status, Verdict, sweeps_of, together
from capacity.laws.fit import CONVERGED, Fit, Interval, Law
from capacity.laws.ratios import LEAST_SEEDS
from train.sizes import parse_size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_USUAL = {"quantization": "none", "recipe": "fast", "schedule": "cosine", "final_lr": 0.0}
"""What all its runs have in common unless an experiment says otherwise."""
_SURE = 0.2
"""A fitted number is sure if its interval reaches at most this share of what is expected to either side."""
_NEAR = 0.15
"""Where the interval leaves out what is expected, a number off by this share of it is right in part."""


@dataclass(frozen=True)
class OneFit:
    """A law, and the runs that it is fitted to."""

    name: str
    """In a few words."""
    law: Law
    at: Mapping[str, Any] = field(default_factory=dict)
    """Values of options that its runs have."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Columns of the runs by the law's names where they differ, such as "params": "params_non_embedding"."""
    rows: Callable[[pd.DataFrame], pd.DataFrame] = lambda rows: rows
    """Chooses among these runs."""


@dataclass(frozen=True)
class Expected:
    """What a source says that a parameter of a fit is."""

    fit: str
    parameter: str
    symbol: str
    """The parameter in words."""
    value: float | str
    """A number, or the column of the runs that has it."""
    says: str = ""
    """The source's words; else the number."""
    counts: bool = True
    """Whether the verdict rests on it."""


@runtime_checkable
class HasFits(Protocol):
    """An experiment whose page shows fitted laws."""

    def fitted(self, frame: pd.DataFrame) -> Sequence[tuple[str, Fit]]:
        """The fits to its runs, by name; those that have too few runs are left out."""
        ...


@runtime_checkable
class HoldsOut(Protocol):
    """An experiment with runs that its laws were not fitted to."""

    def held_out(self, frame: pd.DataFrame) -> Sequence[Mapping[str, float]]:
        """These runs: the columns that the law needs, and the loss in nats a token."""
        ...


@runtime_checkable
class DrawsItself(Protocol):
    """An experiment with figures of its own."""

    def drawn(self, frame: pd.DataFrame) -> "Mapping[str, Figure]":
        """The figures by the name of their file."""
        ...


@dataclass(frozen=True)
class Fitted:
    """Laws fitted to the held-out loss of runs."""

    title: str
    question: str
    source: str
    runs: tuple[tuple[Scale, str, Mapping[str, Any]], ...]
    """Its sweeps: for which scale, over which preset, with which changes."""
    shared: Mapping[str, Any]
    """Options of all its runs."""
    fits: tuple[OneFit, ...]
    expected: tuple[Expected, ...]
    published: tuple[str, ...]
    figures: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    """The fits whose own figures the page shows."""

    def sweeps(self, scale: Scale) -> Sequence[Mapping[str, Any]]:
        """Options of the sweeps. Raises ValueError for a scale that it does not have."""
        return sweeps_of(self.runs, scale)

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The runs of its own sweeps, of the scale that has more of them; other experiments' runs may lie beside."""
        known = ["heldout_loss", *{claim.value for claim in self.expected if isinstance(claim.value, str)}]
        if not {*known, "budget"} <= set(frame):
            return frame.iloc[:0]
        rows = matching(frame, _USUAL | dict(self.shared)).dropna(subset=known)
        scales = dict.fromkeys(scale for scale, _, _ in self.runs)
        return max((_of_sweeps(rows, self.sweeps(scale)) for scale in scales), key=len)

    def fitted(self, frame: pd.DataFrame) -> Sequence[tuple[str, Fit]]:
        """The fits that the page draws."""
        return [(one.name, fit) for one, _, fit in self._all(frame) if one.name in self.shown]

    def table(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Every parameter of every fit, a line each."""
        lines = [
            {
                "fit": one.name,
                "law": fit.formula,
                "parameter": name,
                "value": f"{value:.4g}",
                "95 %": _ends(fit.intervals.get(name)),
                "runs": str(len(rows)),
                "status": "; ".join(fit.status),
            }
            for one, rows, fit in self._all(frame)
            for name, value in fit.parameters.items()
        ]
        return pd.DataFrame(lines)

    def verdict(self, frame: pd.DataFrame) -> Verdict:
        """Whether the fitted numbers are the expected ones."""
        fits = {one.name: (rows, fit) for one, rows, fit in self._all(frame)}
        findings, evidence = [], [f"{name}: the fit is {'; '.join(fit.status)}." for name, (_, fit) in fits.items()]
        for claim in self.expected:
            if claim.fit not in fits:
                findings.append(Finding(f"{claim.fit}: {claim.symbol}", claim.says, "", "not enough runs"))
                continue
            rows, fit = fits[claim.fit]
            value = float(rows[claim.value].mean()) if isinstance(claim.value, str) else claim.value
            found, interval = fit.parameters[claim.parameter], fit.intervals.get(claim.parameter)
            status: Status = "not enough runs"
            if interval is not None and rows.groupby(["size", "tokens"])["seed"].nunique().min() >= LEAST_SEEDS:
                status = judge(found, interval, value, sure=fit.status == (CONVERGED,))
            says = claim.says or f"{value:.3g}"
            findings.append(Finding(f"{claim.fit}: {claim.symbol}", says, f"{found:.3g} ({_ends(interval)})", status))
        counted = [one.status for one, claim in zip(findings, self.expected, strict=True) if claim.counts]
        sure = [line for line in evidence if not line.endswith(f"is {CONVERGED}.")]
        return Verdict(together(counted), sure or ["All fits have converged."], findings)

    def _all(self, frame: pd.DataFrame) -> Iterator[tuple[OneFit, pd.DataFrame, Fit]]:
        """Each fit that has enough runs, with these."""
        for one in self.fits if len(frame) else ():
            rows = one.rows(matching(frame, one.at))
            names = {name: one.columns.get(name, name) for name in ("params", "tokens", "flops")}
            names["loss"] = one.columns.get("loss", "heldout_loss")
            table = pd.DataFrame({name: rows[column].astype(float) for name, column in names.items()})
            try:
                yield one, rows, _fit(one.law, tuple(names), tuple(map(tuple, table.to_numpy())))  # type: ignore[arg-type]
            except ValueError:  # too few sizes, or numbers of tokens
                continue


@lru_cache(maxsize=64)
def _fit(law: Any, names: tuple[str, ...], rows: tuple[tuple[float, ...], ...]) -> Fit:
    """The fit of a law, which can be hashed, to a table; a page asks for it several times."""
    fit: Fit = law.fit(pd.DataFrame(rows, columns=list(names)), draws=1000, seed=0)
    return fit


def _of_sweeps(rows: pd.DataFrame, sweeps: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows with sizes, tokens and people of some sweeps."""
    points = {
        (str(parse_size(str(size))), int(float(tokens)), int(people))
        for sweep in sweeps
        for size, tokens, people in product(*(split_values(sweep[name]) for name in ("sizes", "tokens", "people")))
    }
    found = zip(rows["size"], rows["budget"], rows["people"], strict=True)
    return rows[[(str(size), int(tokens), int(people)) in points for size, tokens, people in found]]


def judge(value: float, interval: Interval, expected: float, *, sure: bool = True) -> Status:
    """Whether a fitted number is the expected one: in a narrow interval, or in a wide one or near it (in part).

    An interval that reaches as far as the number itself says nothing. sure: whether the fit has converged, with enough
    levels; else it is right in part at most.
    """
    reach = max(interval.high - value, value - interval.low)
    if not reach < abs(expected):
        return "not enough runs"
    if interval.low <= expected <= interval.high:
        return "reproduced" if sure and reach <= _SURE * abs(expected) else "reproduced in part"
    return "reproduced in part" if abs(value - expected) <= _NEAR * abs(expected) else "not reproduced"


def _ends(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.low:.4g} to {interval.high:.4g}"
