"""Checkpoints: tensors and numbers of a training in one safetensors file each; the last two are kept.

In: named tensors and a JSON-able record. Out: files from which a training continues, with nothing executable in them.
Every file is written under a temporary name, flushed to the disk and renamed, so that it is never incomplete; its
checksum shows later damage.
"""

import copy
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn, uint8
from torch.optim import Optimizer

from basis.files import replace_file
from basis.reading import parse_json

KEPT = 2
"""Checkpoints kept: if the last one is damaged, the one before it is used."""

_RECORD, _CHECKSUM = "record", "checksum"
_MODEL, _OPTIMIZER = "model.", "optimizer."
_NO_STATE = torch.zeros(0)
_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """The state from which a training continues, and the file that held it."""

    path: Path
    tensors: dict[str, Tensor]
    record: dict[str, Any]


@dataclass
class Checkpoints:
    """The checkpoints of one training in a folder of their own, by the number of steps done."""

    folder: Path
    damaged: list[str] = field(default_factory=list)
    """A line for each damaged checkpoint that `load` found, and for what has a checkpoint's name and is no file."""

    @property
    def paths(self) -> list[Path]:
        """All that are there, the newest last."""
        return [path for path in self._named() if path.is_file()]

    def _named(self) -> list[Path]:
        """Everything with the name of a checkpoint, also folders and links to nothing, which nobody here made."""
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
        paths = self.paths
        others = (path for path in self._named() if path not in paths)
        self.damaged += [f"checkpoint: {path} is no file; it is left alone" for path in others]
        for path in reversed(paths):
            try:
                return read_checkpoint(path)
            except ValueError as error:
                self.damaged.append(str(error))
                path.unlink(missing_ok=True)
        return None

    def clear(self) -> None:
        """Delete all, and the folder if nothing else is in it."""
        for path in [*self.paths, *self.folder.glob(".*.tmp")]:
            path.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
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
        record = parse_json(text)
        if not isinstance(record, dict):
            raise ValueError("its record is no mapping")
    except (SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise ValueError(f"checkpoint: {path} is damaged ({' '.join(str(error).split())})") from None
    return Checkpoint(path, tensors, record)


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

    A parameter without a state, as before the first step, has an empty tensor `optimizer.NUMBER.PARAMETER`.
    Raises ValueError for an optimizer whose state holds anything but tensors.
    """
    tensors = {f"{_MODEL}{name}": tensor for name, tensor in model.state_dict().items()}
    for number, optimizer in enumerate(optimizers):
        states = optimizer.state_dict()["state"]
        for parameter in range(sum(len(group["params"]) for group in optimizer.param_groups)):
            name = f"{_OPTIMIZER}{number}.{parameter}"
            if not states.get(parameter):
                tensors[name] = _NO_STATE
            for key, tensor in states.get(parameter, {}).items():
                if not isinstance(tensor, Tensor):
                    kind = f"{type(optimizer).__name__}'s {key}"
                    raise ValueError(f"optimizer: {kind} is no tensor but {tensor!r:.50}; a state holds tensors alone")
                tensors[f"{name}.{key}"] = tensor
    return tensors


def restore_training(model: nn.Module, optimizers: list[Optimizer], tensors: dict[str, Tensor]) -> None:
    """The inverse of `training_tensors`, for a model and optimizers made alike; ignores other names.

    Raises ValueError for tensors of another training and for numbers that are not finite; then nothing is changed.
    """
    found = {name: tensor for name, tensor in tensors.items() if name.startswith((_MODEL, _OPTIMIZER))}
    check_alike(found, _expected(model, optimizers, found))
    for name, tensor in found.items():
        if not tensor.isfinite().all():
            raise ValueError(f"{name}: has a number that is not finite")
    model.load_state_dict({k.removeprefix(_MODEL): v for k, v in found.items() if k.startswith(_MODEL)})
    for number, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        prefix = f"{_OPTIMIZER}{number}."
        for name, tensor in found.items():
            place, has_state, key = name.removeprefix(prefix).partition(".")
            if name.startswith(prefix) and has_state:
                # A copy: a view of the file would keep its disk space in use after a deletion.
                state.setdefault(int(place), {})[key] = tensor.clone()
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _expected(model: nn.Module, optimizers: list[Optimizer], found: Collection[str]) -> dict[str, Tensor]:
    """The tensors of a training in which the parameters named in `found` have no state yet."""
    expected: dict[str, Tensor] = {}
    for name, tensor in training_tensors(model, [_after_a_step(optimizer) for optimizer in optimizers]).items():
        parameter = name.rpartition(".")[0]
        stateless = name.startswith(_OPTIMIZER) and parameter in found
        expected |= {parameter: _NO_STATE} if stateless else {name: tensor}
    return expected


def _after_a_step(optimizer: Optimizer) -> Optimizer:
    """A copy after a step without gradients: its states have the names, types and shapes of all later ones."""
    twin = copy.deepcopy(optimizer)
    twin.state.clear()
    for group in twin.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    twin.step()
    return twin


def check_alike(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raises ValueError where names, types or shapes differ."""
    for name in sorted(found.keys() | expected.keys()):
        has, must = (_kind(tensors[name]) if name in tensors else None for tensors in (found, expected))
        if has != must:
            told = f"{has} is not allowed" if has else "is missing"
            raise ValueError(f"{name!r:.100}: {told}; must be {must or 'left out'}")


def _kind(tensor: Tensor) -> str:
    """A tensor's type and shape."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
