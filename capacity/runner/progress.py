"""What a driver shows while a sweep goes on: how far every run is, what workers say, what is done.

In: plans and the folders of runs under way. Out: a live display, or a line now and then where there is no terminal.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from capacity.runner.claim import last_notice
from capacity.spec.plan import Plan
from capacity.store.folders import RunFolder

_PLAIN_SECONDS = 30.0
"""Without a terminal, progress is printed this often."""
_SHOW_SECONDS = 1.0
_MOST_LOG = 1 << 16
"""Bytes of a log that are shown at a time."""


def progress_of(folder: RunFolder) -> dict[str, Any] | None:
    """What a run under way last told of itself: exposures, loss (nats a token), tokens_per_second; None before."""
    notice = last_notice(folder.path)
    return notice if notice is not None and "exposures" in notice else None


class Display:
    """The runs of a sweep on a console."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._flops: dict[str, float] = {}
        self._total = progress.add_task("all runs", total=0.0, detail="")
        self._under_way: dict[str, tuple[TaskID, float]] = {}
        self._left: dict[str, float] = {}
        """What workers have done that ended before their runs did."""
        self._logs: dict[str, int] = {}
        self._shown: dict[str, float] = {}

    def expect(self, plans: list[Plan]) -> None:
        """Add runs to the total."""
        self._flops |= {plan.config.run_id: plan.flops / 1e9 for plan in plans}
        self._progress.update(self._total, total=sum(self._flops.values()))

    def add(self, plan: Plan, folder: RunFolder) -> None:
        """A run is under way."""
        name = folder.path.name.rsplit("-", 1)[0]
        task = self._progress.add_task(name, total=float(plan.config.exposures), detail="starting")
        self._under_way[folder.path.name] = task, self._left.pop(folder.path.name, 0.0)
        self._logs[folder.path.name] = folder.log.stat().st_size if folder.log.exists() else 0

    def show(self, plan: Plan, folder: RunFolder) -> None:
        """Look how far a run is, and what its worker says."""
        name, now = folder.path.name, time.monotonic()
        if now - self._shown.get(name, 0.0) < _SHOW_SECONDS:
            return
        self._shown[name] = now
        self._say_log(folder)
        notice = progress_of(folder)
        if notice is None:
            return
        task, _ = self._under_way[name]
        exposures, detail = notice["exposures"], "measuring"
        if "loss" in notice:
            detail = f"loss {notice['loss']:.3f}  {notice['tokens_per_second'] / 1e3:.0f}K tokens/s"
        self._progress.update(task, completed=exposures, detail=detail)
        self._under_way[name] = task, self._flops[plan.config.run_id] * exposures / plan.config.exposures
        self._update()

    def remove(self, plan: Plan, folder: RunFolder) -> None:
        """A worker has ended."""
        self._say_log(folder)
        task, self._left[folder.path.name] = self._under_way.pop(folder.path.name)
        self._progress.remove_task(task)
        self._update()

    def done(self, plan: Plan, folder: RunFolder) -> None:
        """A run is done, by whomever."""
        self.leave_out(plan)
        self.say(f"done: {folder.path.name}")
        self._update()

    def leave_out(self, plan: Plan) -> None:
        """Nothing of a run is left to do: it is done, or has failed."""
        self._left[plan.config.run_id] = self._flops[plan.config.run_id]

    def say(self, text: str, *, markup: bool = False) -> None:
        """Print a line above the display."""
        self._progress.console.print(text, markup=markup, highlight=False, soft_wrap=True)

    def _update(self) -> None:
        self._progress.update(
            self._total, completed=sum([*self._left.values(), *(done for _, done in self._under_way.values())])
        )

    def _say_log(self, folder: RunFolder) -> None:
        """Pass on what a worker has printed since the last look."""
        name = folder.path.name
        try:
            with folder.log.open("rb") as file:
                file.seek(self._logs[name])
                said = file.read(_MOST_LOG)
        except OSError:
            return
        whole = said[: said.rfind(b"\n") + 1]
        self._logs[name] += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            self.say(f"{name.rsplit('-', 1)[0]}: {line}")


@contextmanager
def display(console: Console) -> Iterator[Display]:
    """A live display, or a line now and then where there is no terminal."""
    columns: list[Any] = [
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}"),
    ]
    if console.is_terminal:
        with Progress(*columns, console=console, refresh_per_second=4) as progress:
            yield Display(progress)
    else:
        yield Display(_PlainProgress(*columns, console=console, disable=True))


class _PlainProgress(Progress):
    """Says how far each run is, every half minute."""

    _said = 0.0

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """Update, and print the state of all runs if it is time to."""
        super().update(task_id, **changes)
        now = time.monotonic()
        if "completed" not in changes or self.tasks[0].id != task_id or now - self._said < _PLAIN_SECONDS:
            return
        self._said = now
        states = [f"{task.description} {task.percentage:.0f}% {task.fields['detail']}".strip() for task in self.tasks]
        self.console.print("; ".join(states), highlight=False, soft_wrap=True)
