"""The state of a training on disk: tensors and numbers in one safetensors file a checkpoint, the last two kept.

In: named tensors and a JSON-able record. Out: files from which a training goes on, and nothing executable. Every
file is written under a temporary name, flushed to the disk and renamed, so that it is whole or not there; its checksum
tells whether it still is what was written.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn, uint8
from torch.optim import Optimizer

from basis.files import replace_file

KEPT = 2
"""Checkpoints kept: should the last one be damaged, the one before it serves."""

_RECORD, _CHECKSUM = "record", "checksum"
_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """What a training goes on from."""

    tensors: dict[str, Tensor]
    record: dict[str, Any]


@dataclass
class Checkpoints:
    """The checkpoints of one training in a folder of their own, by the number of steps done."""

    folder: Path
    damaged: list[str] = field(default_factory=list)
    """What `load` found damaged, one line each."""

    @property
    def paths(self) -> list[Path]:
        """All that are there, the newest last."""
        found = self.folder.glob(f"*{_SUFFIX}")
        return sorted(path for path in found if path.stem.isdigit())

    def save(self, steps: int, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Write one more and delete those before the last two. Raises OSError; those that were there still are."""
        self.folder.mkdir(exist_ok=True)
        write_checkpoint(self.folder / f"{steps:012d}{_SUFFIX}", tensors, record)
        for path in self.paths[:-KEPT]:
            path.unlink(missing_ok=True)

    def load(self) -> Checkpoint | None:
        """The newest that is whole, or None. Damaged ones behind it are deleted and named in `damaged`."""
        for path in reversed(self.paths):
            try:
                return read_checkpoint(path)
            except ValueError as error:
                self.damaged.append(str(error))
                path.unlink(missing_ok=True)
        return None

    def clear(self) -> None:
        """Delete all."""
        for path in [*self.paths, *self.folder.glob(".*.tmp")]:
            path.unlink(missing_ok=True)
        if self.folder.is_dir():
            self.folder.rmdir()


def write_checkpoint(path: Path, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
    """Write one file; `path` is whole or as it was before. Raises OSError."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(record)
    replace_file(path, save(tensors, {_RECORD: text, _CHECKSUM: _checksum(tensors, text)}))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read what `write_checkpoint` wrote. Raises ValueError for a file that is none, or no longer what was written."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        text = metadata[_RECORD]
        if _checksum(tensors, text) != metadata[_CHECKSUM]:
            raise ValueError("its checksum is that of other content")
        record = json.loads(text)
        if not isinstance(record, dict):
            raise ValueError("its record is no mapping")
    except (SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise ValueError(f"checkpoint: {path} is damaged ({' '.join(str(error).split())})") from None
    return Checkpoint(tensors, record)


def _checksum(tensors: dict[str, Tensor], text: str) -> str:
    """Of all that a checkpoint says: names, types, shapes, bytes and the record."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps([text, len(tensors)]).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(uint8).numpy().data)
    return digest.hexdigest()


def training_tensors(model: nn.Module, optimizers: list[Optimizer]) -> dict[str, Tensor]:
    """Every tensor of a model and its optimizers by name: `model.*` and `optimizer.NUMBER.PARAMETER.STATE`.

    Raises ValueError for an optimizer of one's own that keeps anything but tensors.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for number, optimizer in enumerate(optimizers):
        for parameter, state in optimizer.state_dict()["state"].items():
            for key, tensor in state.items():
                if not isinstance(tensor, Tensor):
                    kind = f"{type(optimizer).__name__}'s {key}"
                    raise ValueError(f"optimizer: {kind} is no tensor but {tensor!r:.50}; a state holds tensors alone")
                tensors[f"optimizer.{number}.{parameter}.{key}"] = tensor
    return tensors


def restore_training(model: nn.Module, optimizers: list[Optimizer], tensors: dict[str, Tensor]) -> None:
    """The inverse of `training_tensors`, for a model and optimizers made alike. Raises ValueError for others."""
    prefix = "model."
    model.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    for number, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            kind, *where = name.split(".")
            if kind == "optimizer" and int(where[0]) == number:
                # A copy: the tensor may be a view of the file, whose space a deletion should give back.
                state.setdefault(int(where[1]), {})[where[2]] = tensor.clone()
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for place, tensors_of in state.items():
            # Compiled kernels would not see it.
            if any(tensor.ndim and tensor.shape != parameters[place].shape for tensor in tensors_of.values()):
                raise ValueError(f"checkpoint: optimizer {number} had another parameter at {place}; start the run anew")
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
