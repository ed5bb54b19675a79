"""Engines: where the workers of a sweep run. Here the local one: processes side by side on this machine.

In: the folder of a run. Out: a `Job` that can be polled and stopped. A worker's results are in its folder.
"""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from basis.files import working_folder
from basis.folders import own_file
from basis.start import FOLDER
from capacity.runner.claim import Process
from capacity.runner.worker import PARENT
from capacity.spec.plan import Plan
from capacity.store.folders import FAILED, STOPPED, RunFolder


@runtime_checkable  # so that the tests can check annotations
class Job(Protocol):
    """A worker that does a run."""

    def poll(self) -> int | None:
        """Its exit code, or None while it runs; a negative one is the signal that ended it."""
        ...

    def stop(self) -> None:
        """Ask it to write a checkpoint and end."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


@runtime_checkable
class Engine(Protocol):
    """Starts workers."""

    def slots(self) -> int:
        """The number of workers that may run side by side now."""
        ...

    def start(self, plan: Plan, folder: RunFolder, dead_claim: int) -> Job:
        """Start a worker. dead_claim: the number of a claim on the run to take over; 0: none."""
        ...

    def close(self) -> None:
        """Release the engine; no worker is started afterwards."""
        ...


@dataclass(frozen=True)
class WorkerOptions:
    """Options of workers that all engines share."""

    device: str
    processes: int = 1
    """Processes that train one model together."""
    save_seconds: float = 60.0


_TORCHRUN = re.compile(
    r"(LOCAL_|ROLE_|GROUP_)?(RANK|WORLD_SIZE)|NODE_RANK|ROLE_NAME|MASTER_(ADDR|PORT)|(PET|TORCHELASTIC|TORCH_ELASTIC)_\w+"
)
"""Environment variables of torchrun: those of another program around this one are not meant for workers."""


def worker_command(folder: RunFolder, dead_claim: int, options: WorkerOptions) -> list[str]:
    """The command line of a worker; with several processes, torchrun starts them."""
    launcher = [sys.executable, "-m"]
    if options.processes > 1:
        launcher += ["torch.distributed.run", "--standalone", f"--nproc-per-node={options.processes}", "-m"]
    flags = ["--device", options.device, "--dead-claim", str(dead_claim), "--save-seconds", str(options.save_seconds)]
    flags += ["--processes", str(options.processes)]
    return [*launcher, "capacity.runner.worker", str(folder.path), *flags]


def start_worker(
    folder: RunFolder, dead_claim: int, options: WorkerOptions, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Start a worker that stops training when this process ends (what it measures, it finishes)."""
    ours = {name: value for name, value in os.environ.items() if not _TORCHRUN.fullmatch(name)}
    variables = ours | environment | {PARENT: json.dumps(vars(Process.this()))}
    here = working_folder()
    if here != FOLDER:  # it may hold a module `capacity` of the user's own
        variables["PYTHONSAFEPATH"] = "1"
    own_file(folder.log)
    with folder.log.open("ab") as log:
        return subprocess.Popen(
            worker_command(folder, dead_claim, options),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=variables,
            cwd=None if here is not None else FOLDER,
            start_new_session=True,  # Ctrl-C reaches only the driver, which stops the workers
        )


def outcome(code: int | None, folder: RunFolder, options: WorkerOptions) -> int | None:
    """The exit code of a worker; torchrun's own is 0 unless a process crashed."""
    if code != 0 or options.processes == 1 or folder.done:
        return code
    return FAILED if folder.failure.exists() else STOPPED


ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA names them; a scheduler may allow only some."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(number) for number in range(torch.cuda.device_count())]


def default_workers(device: str, processes: int = 1) -> int:
    """One training a GPU, or one a core; fewer where several processes train one model."""
    if device in ("auto", "cuda") and torch.cuda.is_available():
        return max(1, torch.cuda.device_count() // processes)
    if device == "mps":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, cores // processes)


@dataclass
class LocalJob:
    """A worker process of this machine, with its children."""

    process: subprocess.Popen[bytes]
    folder: RunFolder
    options: WorkerOptions

    def poll(self) -> int | None:
        """See `Job`."""
        return outcome(self.process.poll(), self.folder, self.options)

    def stop(self) -> None:
        """See `Job`. The signal goes to the ranks, as torchrun would wait half a minute and print errors."""
        for pid in self._ranks() or [self.process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def kill(self) -> None:
        """See `Job`."""
        for pid in [self.process.pid, *self._ranks()]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _ranks(self) -> list[int]:
        """The processes that torchrun started, if the system lists them."""
        if self.options.processes == 1 or self.process.poll() is not None:
            return []
        try:
            return [
                int(pid)
                for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            ]
        except OSError:
            return []


@dataclass
class LocalEngine:
    """A number of workers on this machine; each sees only its own GPUs."""

    workers: int
    options: WorkerOptions
    _jobs: dict[int, LocalJob] = field(default_factory=dict)
    """The latest job of every slot."""

    def slots(self) -> int:
        """See `Engine`."""
        return self.workers

    def start(self, plan: Plan, folder: RunFolder, dead_claim: int) -> LocalJob:
        """See `Engine`."""
        free = (slot for slot in range(self.workers) if slot not in self._jobs or self._jobs[slot].poll() is not None)
        slot = next(free)
        process = start_worker(folder, dead_claim, self.options, self._environment(slot))
        job = LocalJob(process, folder, self.options)
        self._jobs[slot] = job
        return job

    def close(self) -> None:
        """See `Engine`."""

    def _environment(self, slot: int) -> dict[str, str]:
        if self.options.device in ("auto", "cuda") and torch.cuda.is_available():
            ours = visible_gpus()
            first = slot * self.options.processes
            numbers = (ours[(first + number) % len(ours)] for number in range(self.options.processes))
            return {"CUDA_VISIBLE_DEVICES": ",".join(numbers)}
        return ONE_THREAD
