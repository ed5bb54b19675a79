"""The Ray engine: the workers of a sweep on the machines of a Ray cluster (Ray Core; `pip install -e '.[ray]'`).

In: the folder of a run, which all machines of the cluster must see under the same path. Out: a `Job`. Ray finds a
machine with room and starts a task there; the task starts a worker process as the local engine does, and waits for it.
The sweep restarts what dies with a worker or a machine; the state of a run is on disk, never in Ray.
"""

import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from basis.flags import UserError
from capacity.runner.engine import ONE_THREAD, LocalJob, WorkerOptions, start_worker
from capacity.spec.plan import Plan
from capacity.store.folders import FAILED, STOPPED, RunFolder, fail

try:
    import ray
    from ray.exceptions import RayError, RayTaskError, TaskCancelledError
except ImportError:
    raise UserError(["engine: ray is not installed; pip install -e '.[ray]' in the project's folder"]) from None

_POLL_SECONDS = 0.2
_WAITING = 2
"""Tasks submitted beyond the room of the cluster, so that an autoscaling cluster grows."""
_SMALL = ((1_000_000, 0.125), (10_000_000, 0.25), (50_000_000, 0.5))
"""Parameters up to which a model takes a share of a GPU (a guess: these kernels have not been timed on one)."""


def check_address(address: str | None) -> None:
    """Raises UserError if HOST:PORT cannot be reached; Ray itself would try for minutes."""
    if address in (None, "auto", "local"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(
            [f"ray_address: {address!r} cannot be reached ({error}); must be auto, local, HOST:PORT or ray://HOST:PORT"]
        ) from None


def gpus_of(plan: Plan, processes: int, share: float | None) -> float:
    """The GPUs of a training, if there are any: one for each process, or a share for a small model."""
    if processes > 1:
        return float(processes)
    return share or next((part for most, part in _SMALL if plan.parameters <= most), 1.0)


def work(folder: str, dead_claim: int, options: WorkerOptions) -> int:
    """Do a run on the machine where this is called; returns the worker's exit code."""
    run = RunFolder(Path(folder))
    worker = start_worker(run, dead_claim, options, {} if torch.cuda.is_available() else ONE_THREAD)
    job = LocalJob(worker, run, options)
    try:
        while job.poll() is None:
            time.sleep(_POLL_SECONDS)  # sleeping can be cancelled, waiting for a child cannot
    except KeyboardInterrupt:  # cancelled: the worker leaves a checkpoint
        job.stop()
        worker.wait()
    finally:
        if worker.poll() is None:
            job.kill()
    code = job.poll()
    assert code is not None
    return code


@dataclass
class RayJob:
    """A task of the cluster."""

    task: "ray.ObjectRef[int]"
    folder: RunFolder
    stopping: bool = False

    def poll(self) -> int | None:
        """See `Job`."""
        ready, _ = ray.wait([self.task], timeout=0)
        if not ready:
            return None
        try:
            return int(ray.get(self.task))
        except TaskCancelledError:
            return STOPPED
        except RayTaskError as error:  # the task could not start the worker: perhaps its machine lacks the folder
            reason = next(reversed(str(error).strip().splitlines()), "")
            with suppress(OSError):
                fail(self.folder, f"on the cluster: {reason}")
            return FAILED
        except RayError:  # the machine or the process of the task died
            return STOPPED if self.stopping else -signal.SIGKILL

    def stop(self) -> None:
        """See `Job`."""
        self.stopping = True
        ray.cancel(self.task, force=False)

    def kill(self) -> None:
        """See `Job`."""
        self.stopping = True
        ray.cancel(self.task, force=True)


class RayEngine:
    """A cluster by address, or the one that Ray finds, or a new one on this machine."""

    def __init__(self, workers: int | None, options: WorkerOptions, gpus: float | None, address: str | None) -> None:
        self._workers, self._gpus = workers, gpus
        self._options = options
        self._smallest = 1.0
        try:
            ray.init(address=address, log_to_driver=True, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError([f"ray_address: {address!r} cannot be reached ({reason})"]) from None

    def slots(self) -> int:
        """See `Engine`: the room of the cluster now, and a few tasks that wait."""
        if self._workers is not None:
            return self._workers
        has = ray.cluster_resources()
        room = has.get("CPU", 0) / self._options.processes
        if self._on_gpus(has):
            room = min(room, has["GPU"] / self._smallest)
        return max(1, int(room)) + _WAITING

    def start(self, plan: Plan, folder: RunFolder, dead_claim: int) -> RayJob:
        """See `Engine`."""
        processes = self._options.processes
        needs: dict[str, Any] = {"num_cpus": processes, "max_retries": 0}
        if self._on_gpus(ray.cluster_resources()):
            needs["num_gpus"] = gpus_of(plan, processes, self._gpus)
            self._smallest = min(self._smallest, needs["num_gpus"])
        task = ray.remote(work).options(name=folder.path.name, **needs)
        absolute = str(folder.path.resolve())
        return RayJob(task.remote(absolute, dead_claim, self._options), folder)

    def close(self) -> None:
        """See `Engine`."""
        ray.shutdown()

    def _on_gpus(self, has: dict[str, float]) -> bool:
        return self._options.device in ("auto", "cuda") and has.get("GPU", 0) > 0
