"""The local engine: runs as worker processes side by side on this machine, largest first, with live progress.

In: plans, an output folder, the number of workers. Out: an `Outcome` for every run; the truth is in the folders.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from capacity.plan import Plan
from capacity.store import STOPPED, RunFolder, last_metric, run_folder

_POLL_SECONDS = 0.2
_PLAIN_SECONDS = 30.0
"""Without a terminal, progress is printed this often."""


class Stopped(Exception):
    """A signal ended the sweep; every run in progress has left a checkpoint."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


@dataclass
class _Job:
    plan: Plan
    folder: RunFolder
    process: subprocess.Popen[bytes]
    task: TaskID
    slot: int


def default_workers(device: str) -> int:
    """One training a GPU, or one a core."""
    if device in ("auto", "cuda") and torch.cuda.is_available():
        return torch.cuda.device_count()
    if device == "mps" or (device == "auto" and torch.backends.mps.is_available()):
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def run_all(plans: list[Plan], out: Path, *, workers: int, device: str, console: Console) -> list[RunFolder]:
    """Do every run that is not done; returns the folders of those that failed.

    Raises Stopped on SIGINT or SIGTERM, after the workers have written their checkpoints; a second signal kills
    them.
    """
    waiting = sorted(plans, key=lambda plan: plan.flops)  # the largest is taken first, from the end
    free = list(reversed(range(workers)))
    jobs: list[_Job] = []
    failed: list[RunFolder] = []
    with _signals() as received, _progress(console) as progress:
        total = progress.add_task("all runs", total=sum(p.flops for p in plans) / 1e9, detail="")
        done = 0.0
        while (waiting and not received) or jobs:
            while waiting and free and not received:
                jobs.append(_start(waiting.pop(), out, device, free.pop(), progress))
            time.sleep(_POLL_SECONDS)
            _forward(received, jobs)
            for job in list(jobs):
                _show(job, progress)
                code = job.process.poll()
                if code is None:
                    continue
                jobs.remove(job)
                free.append(job.slot)
                progress.remove_task(job.task)
                done += job.plan.flops / 1e9
                if not job.folder.done and not received:
                    failed.append(job.folder)
                    _explain(job.folder.log, code)
                    where = escape(f"{job.folder.path.name} (see {job.folder.log})")
                    progress.console.print(f"[red]failed:[/red] {where}", soft_wrap=True)
                elif job.folder.done:
                    progress.console.print(f"done: {job.folder.path.name}", highlight=False, soft_wrap=True)
            running = sum(_share(job) * job.plan.flops / 1e9 for job in jobs)
            progress.update(total, completed=done + running)
    if received:
        raise Stopped(received[0])
    return failed


def _start(plan: Plan, out: Path, device: str, slot: int, progress: Progress) -> _Job:
    folder = run_folder(out, plan.config)
    folder.write_config(plan.config)
    environment = dict(os.environ)
    gpus = device in ("auto", "cuda") and torch.cuda.is_available()
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = str(slot % torch.cuda.device_count())
    else:
        environment |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    with folder.log.open("wb") as log:  # an earlier attempt's words would pass for this one's
        process = subprocess.Popen(
            [sys.executable, "-m", "capacity.worker", str(folder.path), device],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches the driver alone, which tells the workers
        )
    name = folder.path.name.rsplit("-", 1)[0]
    task = progress.add_task(name, total=float(plan.config.exposures), detail="starting")
    return _Job(plan, folder, process, task, slot)


def _explain(log: Path, code: int) -> None:
    """End a log with the reason where the worker itself could not write it."""
    if code < 0:
        line = f"error: killed by {signal.Signals(-code).name}"
    elif code == STOPPED:
        line = "error: stopped by a signal; the same command goes on from its checkpoint"
    else:
        return
    with log.open("a") as file:
        file.write(line + "\n")


def _share(job: _Job) -> float:
    metric = last_metric(job.folder)
    return 0.0 if metric is None else metric["exposures"] / job.plan.config.exposures


def _show(job: _Job, progress: Progress) -> None:
    metric = last_metric(job.folder)
    if metric is not None:
        training = metric["exposures"] < job.plan.config.exposures
        speed = f"{metric['tokens_per_second'] / 1e3:.0f}K tokens/s" if training else "measuring"
        detail = f"loss {metric['loss']:.3f}  {speed}"
        progress.update(job.task, completed=metric["exposures"], detail=detail)


def _forward(received: list[int], jobs: list[_Job]) -> None:
    """Pass the first signal on as a request to stop, later ones as an order."""
    for job in jobs:
        if len(received) > 1:
            job.process.kill()
        elif received and not getattr(job.process, "asked_to_stop", False):
            job.process.send_signal(signal.SIGTERM)
            job.process.asked_to_stop = True  # type: ignore[attr-defined]


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


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
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
            yield progress
    else:
        yield _PlainProgress(*columns, console=console, disable=True)


class _PlainProgress(Progress):
    """Says how far each run is, every half minute."""

    _said = 0.0

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """Update, and print the state of all runs if it is time to."""
        super().update(task_id, **changes)
        now = time.monotonic()
        if self.tasks[0].id != task_id or now - self._said < _PLAIN_SECONDS:
            return
        self._said = now
        states = [f"{task.description} {task.percentage:.0f}% {task.fields['detail']}".strip() for task in self.tasks]
        self.console.print("; ".join(states), highlight=False, soft_wrap=True)
