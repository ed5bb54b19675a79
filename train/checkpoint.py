"""Checkpoints: tensors and numbers of a training in one safetensors file each; the last two are kept.

In: named tensors and a JSON-able record. Out: files from which a training continues, with nothing executable in them.
Every file is written under a temporary name, flushed to the disk and renamed, so that it is never incomplete; its
checksum shows later damage.
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
"""Checkpoints kept: if the last one is damaged, the one before it is used."""

_RECORD, _CHECKSUM = "record", "checksum"
_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """The state from which a training continues."""

    tensors: dict[str, Tensor]
    record: dict[str, Any]


@dataclass
class Checkpoints:
    """The checkpoints of one training in a folder of their own, by the number of steps done."""

    folder: Path
    damaged: list[str] = field(default_factory=list)
    """A line for each damaged checkpoint that `load` found."""

    @property
    def paths(self) -> list[Path]:
        """All that are there, the newest last."""
        found = self.folder.glob(f"*{_SUFFIX}")
        return sorted(path for path in found if path.stem.isdigit())

    def save(self, steps: int, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Write a checkpoint and delete those before the last two. Raises OSError, and then deletes none."""
        self.folder.mkdir(exist_ok=True)
        write_checkpoint(self.folder / f"{steps:012d}{_SUFFIX}", tensors, record)
        for path in self.paths[:-KEPT]:
            path.unlink(missing_ok=True)

    def load(self) -> Checkpoint | None:
        """The newest intact checkpoint, or None. Newer damaged ones are deleted and named in `damaged`."""
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
    """Write one file; `path` is complete or unchanged. Raises OSError."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(record)
    replace_file(path, save(tensors, {_RECORD: text, _CHECKSUM: _checksum(tensors, text)}))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read what `write_checkpoint` wrote. Raises ValueError for a damaged file or another kind of file."""
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
    """The checksum of everything in a checkpoint: names, types, shapes, bytes and the record."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps([text, len(tensors)]).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(uint8).numpy().data)
    return digest.hexdigest()


def training_tensors(model: nn.Module, optimizers: list[Optimizer]) -> dict[str, Tensor]:
    """Every tensor of a model and its optimizers by name: `model.*` and `optimizer.NUMBER.PARAMETER.STATE`.

    Raises ValueError for an optimizer whose state holds anything but tensors.
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
                # A copy: a view of the file would keep its disk space in use after a deletion.
                state.setdefault(int(where[1]), {})[where[2]] = tensor.clone()
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for place, tensors_of in state.items():
            # The compiled kernels do not check shapes.
            if any(tensor.ndim and tensor.shape != parameters[place].shape for tensor in tensors_of.values()):
                raise ValueError(f"checkpoint: optimizer {number} had another parameter at {place}; start the run anew")
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
