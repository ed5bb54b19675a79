"""The state of a training on disk: tensors and numbers in one safetensors file, replaced in one move.

In: named tensors and a JSON-able record. Out: a file from which a training goes on, and nothing executable.
"""

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

_RECORD = "record"


def replace_file(path: Path, content: bytes) -> None:
    """Write under a temporary name, flush to the disk, then rename: `path` is whole or as it was before."""
    # Two processes that finish at once must not write into one temporary file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:  # a full disk needs its space back
        temporary.unlink(missing_ok=True)
        raise


def save_checkpoint(path: Path, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
    """Write a checkpoint; `path` is whole or as it was before."""
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    replace_file(path, save(contiguous, {_RECORD: json.dumps(record)}))


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_checkpoint` wrote. Raises ValueError for a file that is none."""
    try:
        with safe_open(path, framework="pt") as file:
            record = json.loads((file.metadata() or {})[_RECORD])
            return {name: file.get_tensor(name) for name in file.keys()}, record  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"checkpoint: {path} is damaged ({error}); delete it to train from the start") from error


def training_tensors(model: nn.Module, optimizers: list[Optimizer]) -> dict[str, Tensor]:
    """Every tensor of a model and its optimizers by name: `model.*` and `optimizer.NUMBER.PARAMETER.STATE`."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for number, optimizer in enumerate(optimizers):
        for parameter, state in optimizer.state_dict()["state"].items():
            for key, tensor in state.items():
                tensors[f"optimizer.{number}.{parameter}.{key}"] = tensor
    return tensors


def restore_training(model: nn.Module, optimizers: list[Optimizer], tensors: dict[str, Tensor]) -> None:
    """The inverse of `training_tensors`, for a model and optimizers made alike."""
    prefix = "model."
    model.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    for number, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            kind, *where = name.split(".")
            if kind == "optimizer" and int(where[0]) == number:
                state.setdefault(int(where[1]), {})[where[2]] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
