"""The sweep: every run that is not done is claimed, started on an engine, watched, and tried again if it dies.

In: plans, an output folder, an engine. Out: the runs that failed, with their reasons; the truth is in the folders.
Several drivers may work on one folder: what another one does is waited for, and taken over should it die.
"""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.markup import escape

from capacity.runner.claim import Watch
from capacity.runner.engine import Engine, Job
from capacity.runner.progress import Display, display
from capacity.spec.plan import Plan
from capacity.store.folders import FAILED, STOPPED, TAKEN, RunFolder, fail, run_folder

DEATHS = 3
"""A worker that dies so many times in a row without a new checkpoint has failed."""

_POLL_SECONDS = 0.2
_LOOK_AGAIN_SECONDS = 1.0
"""Between two looks at a run that another driver does."""


class Stopped(Exception):
    """A signal ended the sweep; every run in progress has left a checkpoint."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


@dataclass
class _Run:
    """A run of this sweep, as far as this driver knows."""

    plan: Plan
    folder: RunFolder
    job: Job | None = None
    asked_to_stop: bool = False
    look_again: float = 0.0
    deaths: int = 0
    reached: str = ""
    """The newest checkpoint when it last died."""


def run_all(
    plans: list[Plan],
    out: Path,
    engine: Engine,
    console: Console,
    more: Callable[[], list[Plan]] = list,
    done: Sequence[Plan] = (),
) -> dict[str, str]:
    """Do every run that is not done; returns why runs failed, by their ids.

    more: called when a run is done; gives the runs that are to be done, too, now that it is.
    done: the runs of the sweep that are done already, which the display counts in.
    Raises Stopped on SIGINT or SIGTERM, after the workers have written their checkpoints; a second signal kills them.
    """
    with _signals() as received, display(console) as shown:
        for plan in done:
            shown.expect(plan)
        sweep = _Sweep(plans, out, engine, shown, more)
        try:
            while (sweep.waiting and not received) or sweep.jobs:
                if not received:
                    sweep.start()
                time.sleep(_POLL_SECONDS)
                _forward(received, sweep.jobs)
                sweep.look(stopping=bool(received))
        finally:  # nobody is left behind, whatever happens here
            for run in sweep.jobs:
                assert run.job is not None
                run.job.stop()
    if received:
        raise Stopped(received[0])
    return sweep.failures


class _Sweep:
    """The state of a driver."""

    def __init__(
        self, plans: list[Plan], out: Path, engine: Engine, shown: Display, more: Callable[[], list[Plan]]
    ) -> None:
        self._out, self._engine, self._display, self._watch, self._more = out, engine, shown, Watch(), more
        self._said_waiting = False
        self.waiting: list[_Run] = []
        """The largest is taken first, from the end."""
        self.jobs: list[_Run] = []
        self.failures: dict[str, str] = {}
        self._add(plans)

    def _add(self, plans: list[Plan]) -> None:
        new = [_Run(plan, run_folder(self._out, plan.config)) for plan in plans]
        for run in new:
            self._display.expect(run.plan, run.folder)
        self.waiting += new
        self.waiting.sort(key=lambda run: run.plan.flops)

    def start(self) -> None:
        """Start what can be."""
        while self.waiting and len(self.jobs) < self._engine.slots():
            if (run := self._next()) is None:
                break
            self.jobs.append(run)
        others = bool(self.waiting) and all(run.look_again for run in self.waiting)
        if others and not self.jobs and not self._said_waiting:
            self._said_waiting = True
            self._display.say(f"runs left to other drivers on this folder: {len(self.waiting)}; waiting for them")

    def look(self, *, stopping: bool) -> None:
        """Look after all that is under way."""
        self._display.look()
        for run in list(self.jobs):
            assert run.job is not None
            if (code := run.job.poll()) is not None:
                self.jobs.remove(run)
                self._display.end(run.plan)
                if self._again(run, code, stopping):
                    self.waiting.append(run)

    def _next(self) -> _Run | None:
        """Start the largest run that can be; those that others did or do are noted."""
        now, waiting = time.monotonic(), self.waiting
        for run in reversed(list(waiting)):
            if run.look_again > now:
                continue
            if run.folder.done:  # by another driver, since this one started
                waiting.remove(run)
                self._done(run)
                continue
            if (reason := run.folder.read_failure()) is not None:
                waiting.remove(run)
                self._failed(run, reason)
                continue
            try:
                if not run.folder.config.exists():
                    run.folder.write_config(run.plan.config)
                over = self._watch.free(run.folder.path)
                if over is not None:
                    run.job, run.asked_to_stop = self._engine.start(run.plan, run.folder, over), False
                    waiting.remove(run)
                    self._display.start(run.plan, run.folder)
                    return run
            except OSError as error:
                waiting.remove(run)
                self._failed(run, f"{run.folder.path} cannot be written ({error.strerror})")
                continue
            run.look_again = now + _LOOK_AGAIN_SECONDS
        return None

    def _again(self, run: _Run, code: int, stopping: bool) -> bool:
        """What to make of a worker's end; returns whether its run is to be taken up again."""
        folder = run.folder
        if folder.done:
            folder.clear_finished()  # which its worker may have been killed before
            self._done(run, stopping=stopping)
            return False
        if stopping:
            if (reason := folder.read_failure()) is not None:
                self._failed(run, reason)
            elif code != STOPPED:
                self._display.say(
                    f"{folder.path.name}: ended before it left a checkpoint; it goes on from its last one"
                )
            return False
        if code == TAKEN:
            run.look_again = time.monotonic() + _LOOK_AGAIN_SECONDS
            return True
        if code == STOPPED:  # somebody else asked it to
            return True
        if code == FAILED and (reason := folder.read_failure()) is not None:
            self._failed(run, reason)
            return False
        return self._died(run, code)

    def _died(self, run: _Run, code: int) -> bool:
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        paths = run.folder.checkpoints.paths
        reached = paths[-1].name if paths else ""
        run.deaths = run.deaths + 1 if reached == run.reached else 1
        run.reached = reached
        if run.deaths < DEATHS:
            self._display.say(f"{run.folder.path.name}: {how}; it goes on from its last checkpoint")
            return True
        reason = f"{how} {run.deaths} times without progress"
        if code == -signal.SIGKILL:
            reason += " (out of memory?)"
        elif code > 0 and (line := _last_line(run.folder)):
            reason += f": {line}"
        with suppress(OSError):  # a full disk: then only this driver knows
            fail(run.folder, reason)
        self._failed(run, reason)
        return False

    def _done(self, run: _Run, *, stopping: bool = False) -> None:
        self._display.done(run.plan, run.folder)
        for plan in (new := [] if stopping else self._more()):
            self._display.say(f"added: {plan.run_id}, as the best N so far is beside it")
        self._add(new)

    def _failed(self, run: _Run, reason: str) -> None:
        self.failures[run.folder.path.name] = reason
        self._display.leave_out(run.plan)
        self._display.say(f"[red]failed:[/red] {escape(f'{run.folder.path.name}: {reason}')}", markup=True)


def _last_line(folder: RunFolder) -> str:
    """Of a worker's log."""
    with suppress(OSError):
        return next(reversed(folder.log.read_text(errors="replace").strip().splitlines()), "")
    return ""


def _forward(received: list[int], jobs: list[_Run]) -> None:
    """Pass the first signal on as a request to stop, later ones as an order."""
    for run in jobs:
        assert run.job is not None
        if len(received) > 1:
            run.job.kill()
        elif received and not run.asked_to_stop:
            run.job.stop()
            run.asked_to_stop = True


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying of them."""
    received: list[int] = []

    def collect(number: int, _: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, collect) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
