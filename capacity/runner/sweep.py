"""Does a sweep: claims and starts every run that is not done, watches it, and starts it again if it dies.

In: plans, an output folder, an engine. Out: the runs that failed, with their reasons; the state is in the folders.
Several drivers may share a folder: each waits for the runs of the others, and takes over those of a dead driver.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.markup import escape

from basis.reading import open_file
from capacity.runner.claim import Watch
from capacity.runner.engine import Engine, Job
from capacity.runner.progress import Display, display
from capacity.spec.plan import Plan
from capacity.store.folders import FAILED, STOPPED, STORE, TAKEN, RunFolder, fail, run_folder

DEATHS = 3
"""A run fails when its worker dies this many times in a row without a new checkpoint."""

_MOST_LOG = 1 << 12
"""Bytes at the end of a worker's log in which its last line is looked for."""

_POLL_SECONDS = 0.2
_LOOK_AGAIN_SECONDS = 1.0
"""Time between two checks of a run that another driver does."""


class Ended(Exception):
    """The sweep ended before all of its runs did, for the reason that `str` gives in a sentence."""

    code: int
    """The exit code of a program that it ends."""


class Stopped(Ended):
    """A signal ended the sweep; every run in progress has left a checkpoint."""

    def __init__(self, signal_number: int) -> None:
        name = signal.Signals(signal_number).name
        super().__init__(f"Stopped by {name}; runs go on from their last checkpoints.")
        self.code = 128 + signal_number


class OutGone(Ended):
    """The folder of the sweep was moved or deleted meanwhile."""

    code = 1

    def __init__(self, out: Path) -> None:
        super().__init__(f"Stopped, as {out} was moved or deleted; runs go on from their checkpoints once it is back.")


@dataclass
class _Run:
    """A run of this sweep as this driver knows it."""

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
    grow: Callable[[], list[Plan]] = list,
    done: Sequence[Plan] = (),
) -> dict[str, str]:
    """Do every run that is not done; returns why runs failed, by their ids.

    grow: called when a run is done; returns the runs to add to the sweep.
    done: the runs of the sweep that are done already; the display counts them.
    Raises Stopped on SIGINT or SIGTERM, after the workers have written their checkpoints; a second signal kills them.
    Raises OutGone, when the workers have ended, if the folder was moved or deleted; nothing is made in its place.
    """
    with _signals() as received, display(console) as shown:
        for plan in done:
            shown.expect(plan)
        sweep, gone = _Sweep(plans, out, engine, shown, grow), False
        try:
            while (sweep.waiting and not (received or gone)) or sweep.jobs:
                gone = gone or _is_gone(out)
                if not (received or gone):
                    sweep.start()
                time.sleep(_POLL_SECONDS)
                _forward(sweep.jobs, stop=bool(received) or gone, kill=len(received) > 1)
                sweep.update(stopping=bool(received) or gone)
        finally:  # also after an error, no worker is left running
            for run in sweep.jobs:
                assert run.job is not None
                run.job.stop()
    if received:
        raise Stopped(received[0])
    if gone or _is_gone(out):
        raise OutGone(out)
    return sweep.failures


class _Sweep:
    """The state of a driver."""

    def __init__(
        self, plans: list[Plan], out: Path, engine: Engine, shown: Display, grow: Callable[[], list[Plan]]
    ) -> None:
        self._out, self._engine, self._display, self._watch, self._grow = out, engine, shown, Watch(), grow
        self._said_waiting = False
        self.waiting: list[_Run] = []
        """Sorted by cost; the largest is last and is started first."""
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
        """Start as many runs as the engine takes."""
        while self.waiting and len(self.jobs) < self._engine.slots():
            if (run := self._next()) is None:
                break
            self.jobs.append(run)
        others = bool(self.waiting) and all(run.look_again for run in self.waiting)
        if others and not self.jobs and not self._said_waiting:
            self._said_waiting = True
            self._display.print(f"runs left to other drivers on this folder: {len(self.waiting)}; waiting for them")

    def update(self, *, stopping: bool) -> None:
        """Update the display, and handle the workers that have ended."""
        self._display.update()
        for run in list(self.jobs):
            assert run.job is not None
            if (code := run.job.poll()) is not None:
                self.jobs.remove(run)
                self._display.end(run.plan)
                if self._handle_end(run, code, stopping):
                    self.waiting.append(run)

    def _next(self) -> _Run | None:
        """Start the largest run that is free; skip those that other drivers did or do."""
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
                run.folder.check()
                if not run.folder.config.exists():
                    run.folder.write_config(run.plan.config)
                dead_claim = self._watch.free(run.folder.path)
                if dead_claim is not None:
                    run.job, run.asked_to_stop = self._engine.start(run.plan, run.folder, dead_claim), False
                    waiting.remove(run)
                    self._display.start(run.plan, run.folder)
                    return run
            except OSError as error:
                waiting.remove(run)
                self._failed(run, f"{run.folder.path} cannot be written ({error.strerror})")
                continue
            except ValueError as error:  # nothing may be written there, not even why
                waiting.remove(run)
                self._failed(run, str(error))
                continue
            run.look_again = now + _LOOK_AGAIN_SECONDS
        return None

    def _handle_end(self, run: _Run, code: int, stopping: bool) -> bool:
        """Handle a worker's end; returns whether its run is to be started again."""
        folder = run.folder
        if folder.done:
            folder.clear_finished()  # its worker may have been killed before it did
            self._done(run, stopping=stopping)
            return False
        if stopping:
            if (reason := folder.read_failure()) is not None:
                self._failed(run, reason)
            elif code != STOPPED:
                self._display.print(
                    f"{folder.path.name}: ended before it left a checkpoint; it goes on from its last one"
                )
            return False
        if code == TAKEN:
            run.look_again = time.monotonic() + _LOOK_AGAIN_SECONDS
            return True
        if code == STOPPED:  # another process stopped it
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
            self._display.print(f"{run.folder.path.name}: {how}; it goes on from its last checkpoint")
            return True
        reason = f"{how} {run.deaths} times without progress"
        if code == -signal.SIGKILL:
            reason += " (out of memory?)"
        elif code > 0 and (line := _last_line(run.folder)):
            reason += f": {line}"
        with suppress(OSError):  # a full disk: only this driver reports it
            fail(run.folder, reason)
        self._failed(run, reason)
        return False

    def _done(self, run: _Run, *, stopping: bool = False) -> None:
        self._display.done(run.plan, run.folder)
        for plan in (new := [] if stopping else self._grow()):
            self._display.print(f"added: {plan.run_id}, as the best N so far is beside it")
        self._add(new)

    def _failed(self, run: _Run, reason: str) -> None:
        self.failures[run.folder.path.name] = reason
        self._display.finish(run.plan)
        self._display.print(f"[red]failed:[/red] {escape(f'{run.folder.path.name}: {reason}')}", markup=True)


def _is_gone(out: Path) -> bool:
    """Whether a sweep's folder is no longer there; a file server that does not answer says nothing."""
    try:
        os.stat(out / STORE)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False


def _last_line(folder: RunFolder) -> str:
    """The last line of a worker's log."""
    with suppress(OSError), open_file(folder.log) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _MOST_LOG))
        return next(reversed(file.read(_MOST_LOG).decode(errors="replace").strip().splitlines()), "")
    return ""


def _forward(jobs: list[_Run], *, stop: bool, kill: bool) -> None:
    """Ask the workers to stop, once, or kill them."""
    for run in jobs:
        assert run.job is not None
        if kill:
            run.job.kill()
        elif stop and not run.asked_to_stop:
            run.job.stop()
            run.asked_to_stop = True


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of ending the process."""
    received: list[int] = []

    def collect(number: int, _: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, collect) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
