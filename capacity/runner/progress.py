"""The display of a sweep: the progress of each run, R so far, the time left, and the workers' output.

In: plans and the folders of runs under way. Out: a live display, or a line now and then without a terminal.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from basis.reading import open_file, parse_json
from basis.text import printable
from capacity.runner.claim import last_notice
from capacity.spec.plan import Plan
from capacity.store.folders import RunFolder
from capacity.store.record import is_number

_PLAIN_SECONDS = 30.0
"""Without a terminal, progress is printed this often."""
_LOOK_SECONDS = 1.0
"""Time between two reads of the folders of the runs under way."""
_MOST_BYTES = 1 << 16
"""Bytes of a file that are read at a time."""


_NUMBERS = ("exposures", "loss", "tokens_per_second")


def progress_of(folder: RunFolder) -> dict[str, Any] | None:
    """The last progress of a run: exposures, loss (nats a token), tokens_per_second; None before the first."""
    notice = last_notice(folder.path) or {}
    numbers = {name: notice[name] for name in _NUMBERS if is_number(notice.get(name))}
    others = {name: value for name, value in notice.items() if name not in _NUMBERS}
    return others | numbers if "exposures" in numbers else None


@dataclass(frozen=True)
class Row:
    """A line of the display: all runs, or one of those under way."""

    name: str
    share: float
    """How much of it is done, from 0 to 1."""
    detail: str

    def __str__(self) -> str:
        return f"{self.name} {self.share:.0%}, {self.detail}"


class Tail:
    """Reads the lines that are appended to a file."""

    def __init__(self, path: Path, *, skip: bool = False) -> None:
        """skip: begin after the present end of the file."""
        self._path, self._read = path, 0
        if skip and path.exists():
            self._read = path.stat().st_size

    def lines(self) -> list[str]:
        """The whole lines that have been appended since the last call, 64 KiB of them at most."""
        try:
            with open_file(self._path) as file:
                if file.seek(0, 2) < self._read:  # truncated by a worker that resumed from a checkpoint
                    self._read = 0
                file.seek(self._read)
                found = file.read(_MOST_BYTES)
        except OSError:
            return []
        whole = found[: found.rfind(b"\n") + 1] or (found if len(found) == _MOST_BYTES else b"")
        self._read += len(whole)
        return whole.decode(errors="replace").splitlines()


def records(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The JSON objects among lines; incomplete lines are skipped."""
    for line in lines:
        with suppress(ValueError):
            if isinstance(record := parse_json(line), dict):
                yield record


@dataclass
class _Run:
    """A run of the sweep."""

    flops: float
    share: float = 0.0
    """How much of its training is done."""


@dataclass
class _UnderWay:
    """A run that a worker of this driver is doing."""

    name: str
    run: _Run
    exposures: float
    folder: RunFolder
    since: float
    share_before: float
    log: Tail
    metrics: Tail
    R: str = ""
    """R at the latest mark of the learning curve, in words."""
    notice: dict[str, Any] = field(default_factory=dict)

    def row(self, now: float) -> Row:
        """The row of the display."""
        gained = self.run.share - self.share_before
        left = _left(1 - self.run.share, gained, now - self.since)
        state = "measuring" if self.notice.get("measuring") else "" if self.notice else "starting"
        parts = [self.R, state or left]
        if {"loss", "tokens_per_second"} <= self.notice.keys():
            parts += [f"loss {self.notice['loss']:.3f}", f"{self.notice['tokens_per_second'] / 1e3:.0f}K tokens/s"]
        return Row(self.name, self.run.share, ", ".join(part for part in parts if part))


def _left(rest: float, gained: float, seconds: float) -> str:
    """The time that the rest takes at the pace so far, in words; empty if there is no rest, or no pace yet."""
    return f"left {_clock_time(rest * seconds / gained)}" if rest > 0 and gained > 0 else ""


def _clock_time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


class Display:
    """The runs of a sweep on a console."""

    def __init__(
        self, console: Console, show: Callable[[list[Row]], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """show: takes the rows of the display whenever they have changed. clock: seconds."""
        self._console, self._show, self._clock = console, show, clock
        self._runs: dict[str, _Run] = {}
        self._under_way: dict[str, _UnderWay] = {}
        self._started: set[str] = set()
        self._since, self._looked = clock(), -_LOOK_SECONDS
        self._gained = 0.0
        """FLOPs of training that the workers of this driver have done."""

    def expect(self, plan: Plan, folder: RunFolder | None = None) -> None:
        """Add a run to the total. folder: where it may have been begun; None: it is done."""
        run = self._runs[plan.run_id] = _Run(float(plan.flops), 1.0)
        if folder is not None:
            run.share = _share_before(folder, plan.exposures)

    def start(self, plan: Plan, folder: RunFolder) -> None:
        """A worker has started."""
        run_id = plan.run_id
        run = self._runs[run_id]
        self._started.add(run_id)
        self._under_way[run_id] = _UnderWay(
            name=folder.path.name.rpartition("-")[0],
            run=run,
            exposures=plan.exposures,
            folder=folder,
            since=self._clock(),
            share_before=run.share,
            log=Tail(folder.log, skip=True),
            metrics=Tail(folder.metrics),
        )

    def update(self) -> None:
        """Read the progress and the logs of the runs under way; at most once a second."""
        if self._clock() - self._looked < _LOOK_SECONDS:
            return
        self._looked = self._clock()
        for one in self._under_way.values():
            self._pass_log_on(one)
            for record in records(one.metrics.lines()):
                with suppress(KeyError, TypeError, ValueError):
                    if record["kind"] == "recall":
                        one.R = f"R {record['bits_per_param']:.2f} after {record['exposures']:g} exposures"
            if (notice := progress_of(one.folder)) is not None:
                one.notice = notice
                self._advance(one.run, _share(notice["exposures"], one.exposures))
        self._show(self.rows())

    def end(self, plan: Plan) -> None:
        """A worker has ended."""
        self._pass_log_on(self._under_way.pop(plan.run_id))

    def done(self, plan: Plan, folder: RunFolder) -> None:
        """A run is done, by this driver or another."""
        if plan.run_id in self._started:
            self._advance(self._runs[plan.run_id], 1.0)
        self.print(f"done: {folder.path.name}")
        self.finish(plan)

    def finish(self, plan: Plan) -> None:
        """Count a run as finished: it is done, or has failed."""
        self._runs[plan.run_id].share = 1.0
        self._show(self.rows())

    def print(self, text: str, *, markup: bool = False) -> None:
        """Print a line above the display; control and escape codes are shown, not obeyed."""
        self._console.print(printable(text), markup=markup, highlight=False, soft_wrap=True)

    def rows(self) -> list[Row]:
        """All runs together, and each that is under way."""
        now = self._clock()
        total = sum(run.flops for run in self._runs.values())
        rest = sum(run.flops * (1 - run.share) for run in self._runs.values())
        times = [f"elapsed {_clock_time(now - self._since)}", _left(rest, self._gained, now - self._since)]
        together = Row("all runs", 1 - rest / total if total else 0.0, ", ".join(part for part in times if part))
        return [together, *(one.row(now) for one in self._under_way.values())]

    def _advance(self, run: _Run, share: float) -> None:
        self._gained += (share - run.share) * run.flops
        run.share = share

    def _pass_log_on(self, one: _UnderWay) -> None:
        for line in one.log.lines():
            self.print(f"{one.name}: {line}")


def _share(reached: int | float, exposures: float) -> int | float:
    return min(1.0, max(0.0, reached / exposures))


def _share_before(folder: RunFolder, exposures: float) -> float:
    """The share of a run's training that was done before this driver began, from its metrics."""
    if not folder.checkpoints.paths:
        return 0.0
    with suppress(OSError), open_file(folder.metrics) as file:
        file.seek(max(0, file.seek(0, 2) - _MOST_BYTES))
        found = records(file.read().decode(errors="replace").splitlines())
        reached = [record["exposures"] for record in found if is_number(record.get("exposures"))]
        return _share(max(reached, default=0), exposures)
    return 0.0


@contextmanager
def display(console: Console) -> Iterator[Display]:
    """A live display, or a line now and then without a terminal."""
    if not console.is_terminal:
        yield Display(console, Lines(console))
        return
    with Live(console=console, refresh_per_second=4) as live:
        yield Display(console, lambda rows: live.update(bars(rows)))


def bars(rows: list[Row]) -> Table:
    """The rows with a bar each."""
    table = Table.grid(padding=(0, 1), expand=True)
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)  # cut if too long
    for row in rows:
        bar = ProgressBar(total=1.0, completed=row.share, width=10)
        table.add_row(Text(row.name), bar, f"{row.share:>4.0%}", Text(row.detail))
    return table


class Lines:
    """Prints the rows as one line, every half minute."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock, self._said = console, clock, clock()

    def __call__(self, rows: list[Row]) -> None:
        """Print them if the last line is old enough."""
        if self._clock() - self._said >= _PLAIN_SECONDS:
            self._said = self._clock()
            self._console.print("; ".join(map(str, rows)), markup=False, highlight=False, soft_wrap=True)
