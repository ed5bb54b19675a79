"""The process that does one run: `python -m capacity.runner.worker RUN_FOLDER` (an engine starts it).

In: the folder of a run. Out: what the run writes there (run_in_folder.py), or failed.json with the reason, and an exit
code. It leaves a checkpoint when a signal stops it, and when the process that started it ends during training. It
does nothing to a run that another process has claimed.

Several processes, started by torchrun, train one model together; the first of them does everything else.
"""

import argparse
import contextlib
import errno
import json
import os
import signal
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from capacity.runner.claim import Lost, Process, acquire
from capacity.runner.run_in_folder import Run
from capacity.store.folders import FAILED, STOPPED, TAKEN, RunFolder, fail
from capacity.store.provenance import commit
from train.devices import pick_device
from train.loop import Diverged
from train.ranks import Ranks, join, leave

_LOOK_SECONDS = 1.0
"""Time between two checks that the process that started the worker still runs."""
PARENT = "CAPACITY_PARENT"
"""The environment variable that names the worker's driver; the worker stops when that process ends."""


class _Driver:
    """The process that started this one; a worker stops when it ends."""

    def __init__(self) -> None:
        named = os.environ.get(PARENT)
        self._process = Process(**json.loads(named)) if named else None
        self._asked, self._gone = time.monotonic(), False

    @property
    def gone(self) -> bool:
        """Whether the driver has ended; checked about once a second."""
        if self._process is not None and not self._gone and time.monotonic() - self._asked > _LOOK_SECONDS:
            self._gone, self._asked = self._process.dead is True, time.monotonic()
        return self._gone


def main(arguments: list[str] | None = None) -> int:
    """Do the run of a folder; returns one of the store's exit codes."""
    parser = argparse.ArgumentParser(prog="python -m capacity.runner.worker", description="Do one run in its folder.")
    parser.add_argument("folder", type=lambda path: RunFolder(Path(path).absolute()))
    parser.add_argument("--device", type=pick_device, default="auto")
    parser.add_argument("--dead-claim", type=int, default=0, help="number of a claim to take over")
    parser.add_argument("--save-seconds", type=float, default=60.0, help="time between checkpoints")
    parser.add_argument("--processes", type=int, default=1, help="processes of torchrun's that train one model")
    options = parser.parse_args(arguments)
    folder, run, stopped, driver = options.folder, None, False, _Driver()

    def on_signal(*_: Any) -> None:
        nonlocal stopped
        first, stopped = not stopped, True
        if first and run is not None and run.measuring:  # the training is saved; it can be measured again
            raise KeyboardInterrupt

    if options.device.type == "cpu":
        torch.set_num_threads(1)
    try:
        folder.check()
    except ValueError as error:  # nothing may be written there, not even why
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    ranks, device = join(options.device, options.processes)  # a signal ends a process that waits for the others
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    try:
        claim = acquire(folder.path, dead_claim=options.dead_claim) if ranks.first else None
    except OSError as error:
        return _fail(folder, error, ranks)
    if not ranks.agree(claim is not None):
        return _exit_code(ranks, TAKEN)
    with claim or contextlib.nullcontext():
        if ranks.agree(folder.done):  # by another process, meanwhile
            if claim is not None:
                folder.clear_finished()
                claim.finished = True
            return 0
        try:
            run = Run(folder, device, claim, options.save_seconds, ranks)
            finished = run.go(lambda: stopped or driver.gone or (claim is not None and claim.lost))
        except Lost:
            return _exit_code(ranks, TAKEN)
        except KeyboardInterrupt:
            return _exit_code(ranks, STOPPED)
        except Exception as error:
            if claim is not None and not claim.held:  # its files may have been removed meanwhile
                return _exit_code(ranks, TAKEN)
            return _fail(folder, error, ranks)
    return 0 if finished else _exit_code(ranks, STOPPED)


def _exit_code(ranks: Ranks, code: int) -> int:
    """The exit code for the engine; torchrun reports any code but 0 as a crash, at length."""
    return code if ranks.size == 1 else 0


def _fail(folder: RunFolder, error: Exception, ranks: Ranks) -> int:
    """Write the reason to the log and to failed.json; returns the exit code. Other files of the run stay."""
    reason = _reason(error)
    known = isinstance(error, Diverged | ValueError | OSError) or _no_memory(error)
    if not known:
        traceback.print_exc()
    print(f"error: {reason}", file=sys.stderr)
    if not ranks.first or (ranks.size > 1 and not known):  # another process may have died: no failure of the run
        return FAILED
    try:
        fail(folder, reason, when=datetime.now(UTC).isoformat(timespec="seconds"), commit=commit())
    except OSError as second:
        print(f"error: failed.json could not be written either ({second.strerror})", file=sys.stderr)
    return FAILED


def _reason(error: Exception) -> str:
    """What went wrong, in one line."""
    text = " ".join(str(error).split())[:300]
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"disk full: {text}; the last checkpoint is whole"
    if _no_memory(error):
        return f"out of memory: {text or 'on the CPU'}"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return text if isinstance(error, Diverged | ValueError) else f"{type(error).__name__}: {text}"


def _no_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


if __name__ == "__main__":
    leave(main())
