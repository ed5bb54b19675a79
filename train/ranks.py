"""Several processes that train one model: the rank of this one, and how all agree.

In: the number of processes, and the environment that torchrun sets for them. Out: a `Ranks`. Every process makes the
same batches and takes its share of each one's rows; gradients are summed by DistributedDataParallel (gloo on CPUs, nccl
on GPUs). The first process decides when to stop.
"""

import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

_PATIENCE = timedelta(days=7)
"""How long the others wait while the first one measures."""


@dataclass(frozen=True)
class Ranks:
    """One of `size` processes."""

    rank: int = 0
    size: int = 1
    host_group: Any = None
    """The process group for messages that need no GPU."""

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def agree(self, number: int) -> int:
        """The number of the first process, in all of them."""
        if self.size == 1:
            return number
        shared = torch.tensor([number])
        dist.broadcast(shared, 0, group=self.host_group)
        return int(shared)

    def share(self, rows: np.ndarray, fill: int) -> np.ndarray:
        """This process's rows of [batch, time]; rows of `fill` are added where they do not divide evenly."""
        each = -(-len(rows) // self.size)
        part = rows[self.rank * each : (self.rank + 1) * each]
        missing = each - len(part)
        return np.pad(part, ((0, missing), (0, 0)), constant_values=fill) if missing else part

    def wrap(self, module: nn.Module, device: torch.device) -> nn.Module:
        """The module, with gradients that are means over all processes."""
        if self.size == 1:
            return module
        ids = [device] if device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=ids, forward_sync_buffers=False)

    def total(self, value: Tensor) -> Tensor:
        """The sum over all processes; on a GPU without a sync."""
        if self.size > 1:
            dist.all_reduce(value)
        return value


ALONE = Ranks()


def join(device: torch.device, processes: int) -> tuple[Ranks, torch.device]:
    """The rank and the device of this process, one of `processes` that torchrun started; call it once.

    A process alone reads no WORLD_SIZE or RANK: in the environment they may be meant for another program.
    """
    if processes == 1:
        return ALONE, device
    backend = "gloo"
    if device.type == "cuda":
        device, backend = torch.device("cuda", int(os.environ["LOCAL_RANK"])), "nccl"
        torch.cuda.set_device(device)
    dist.init_process_group(backend, timeout=_PATIENCE)
    host_group = dist.new_group(backend="gloo", timeout=_PATIENCE)
    assert dist.get_world_size() == processes
    return Ranks(dist.get_rank(), processes, host_group), device


def leave(code: int) -> NoReturn:
    """End this process. Several processes skip the destructors of gloo's threads, which can abort them."""
    if dist.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
