"""The Ray engine: the workers of a sweep on the machines of a Ray cluster (Ray Core; `pip install .[ray]`).

In: the folder of a run, which all machines of the cluster must see under the same path. Out: a `Job`. Ray finds a
machine with room and starts a task there; the task starts a worker process as the local engine does, and waits for it.
What dies with a worker or a machine, the sweep starts again: Ray moves work, the store on disk owns the truth.
"""

import os
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from biogen.flags import UserError
from capacity.engine import ONE_THREAD, WorkerOptions, outcome, start_worker
from capacity.plan import Plan
from capacity.store import STOPPED, RunFolder

try:
    import ray
    from ray.exceptions import RayError, TaskCancelledError
except ImportError:
    raise UserError(["engine: ray is not installed; pip install '.[ray]' in the project's folder"]) from None

_WAITING = 2
"""Tasks offered beyond what the cluster has room for, so that one that grows on demand does."""
_SMALL = ((1_000_000, 0.125), (10_000_000, 0.25), (50_000_000, 0.5))
"""Parameters up to which a model takes a share of a GPU (a guess: these kernels have not been timed on one)."""


def check_address(address: str | None) -> None:
    """Raises UserError if nobody listens at HOST:PORT; Ray itself would try for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(
            [f"ray_address: {address!r} cannot be reached ({error}); must be auto, HOST:PORT or ray://HOST:PORT"]
        ) from None


def gpus_of(plan: Plan, processes: int, share: float | None) -> float:
    """The GPUs that a training takes where there are some: one a process, or a share for a small model."""
    if processes > 1:
        return float(processes)
    return share or next((part for most, part in _SMALL if plan.parameters <= most), 1.0)


def work(folder: str, over: int, options: WorkerOptions) -> int:
    """Do a run on the machine where this is called; returns the worker's exit code."""
    run = RunFolder(Path(folder))
    worker = start_worker(run, over, options, {} if torch.cuda.is_available() else ONE_THREAD)
    try:
        code = worker.wait()
    except KeyboardInterrupt:  # cancelled: the worker leaves a checkpoint
        worker.terminate()
        code = worker.wait()
    finally:
        if worker.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
    found = outcome(code, run, options)
    assert found is not None
    return found


@dataclass
class RayJob:
    """A task of the cluster."""

    task: "ray.ObjectRef[int]"
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
    """A cluster by address, or the one that Ray finds, or one of this machine."""

    def __init__(self, workers: int | None, options: WorkerOptions, gpus: float | None, address: str | None) -> None:
        self._workers, self._gpus = workers, gpus
        self._options = options
        try:
            ray.init(address=address, log_to_driver=True, configure_logging=False, include_dashboard=False)
        except ValueError:  # an option that only a new cluster takes
            ray.init(address=address, log_to_driver=True, configure_logging=False)
        except (ConnectionError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError([f"ray_address: {address!r} cannot be reached ({reason})"]) from None

    def slots(self) -> int:
        """See `Engine`: as many as the cluster has room for now, and a few that wait."""
        if self._workers is not None:
            return self._workers
        has = ray.cluster_resources()
        share = self._gpus or 1.0
        room = has.get("GPU", 0) / share if self._on_gpus(has) else has.get("CPU", 0)
        return max(1, int(room // self._options.processes)) + _WAITING

    def start(self, plan: Plan, folder: RunFolder, over: int) -> RayJob:
        """See `Engine`."""
        processes = self._options.processes
        needs: dict[str, Any] = {"num_cpus": processes, "max_retries": 0}
        if self._on_gpus(ray.cluster_resources()):
            needs["num_gpus"] = gpus_of(plan, processes, self._gpus)
        task = ray.remote(work).options(name=folder.path.name, **needs)
        absolute = str(folder.path.resolve())
        return RayJob(task.remote(absolute, over, self._options))

    def close(self) -> None:
        """See `Engine`."""
        ray.shutdown()

    def _on_gpus(self, has: dict[str, float]) -> bool:
        return self._options.device in ("auto", "cuda") and has.get("GPU", 0) > 0
