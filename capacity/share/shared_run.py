"""A finished run that is to be shared: what its folder holds, checked.

In: the folder of a run. Out: its record, its configuration and its model.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from basis.reading import read_json
from basis.text import shown
from biogen.datasets import DATASETS
from capacity.spec.config import RunConfig
from capacity.store.folders import RunFolder
from capacity.store.record import Record, checked
from capacity.store.trained import TrainedRun, open_run
from train.export import CONFIG

_MUST = "must be the folder of a finished run with its model"


@dataclass(frozen=True)
class SharedRun:
    """A finished run with its model."""

    folder: RunFolder
    result: Record
    """Its result.json, with texts fit to print."""
    config: RunConfig
    trained: TrainedRun
    model_files: tuple[str, ...]
    """The files of its model that were measured, by name."""

    @property
    def name(self) -> str:
        """The run's id."""
        return self.folder.path.name


def open_all(paths: Sequence[Path]) -> list[SharedRun]:
    """The runs of some folders, each once. Raises ValueError that names the first that cannot be shared."""
    named = {path.resolve().name: path.resolve() for path in reversed(paths)}  # of the same run the first counts
    return [_open(path) for path in reversed(named.values())]


def _open(path: Path) -> SharedRun:
    folder = RunFolder(path)
    if not folder.result.is_file():
        inside = sorted(file.parent.name for file in path.glob("*/result.json"))
        hint = f"; it is a sweep, whose runs are {', '.join(inside[:3])}{' ...' * (len(inside) > 3)}" if inside else ""
        raise ValueError(f"run: {path} has no result.json; {_MUST}{hint}")
    try:
        result = checked(folder.read_result() or {})
        config = folder.read_config()
        exported = read_json(folder.model / CONFIG)
    except OSError as error:
        raise ValueError(f"run: {error.filename} cannot be read ({error.strerror}); {_MUST}") from None
    except ValueError as error:
        raise ValueError(f"run: {path}: {error}; {_MUST}") from None
    if not isinstance(exported, dict) or "model_type" not in exported:
        architecture = config.model.architecture
        raise ValueError(
            f"run: {path.name} has architecture {architecture!r}, for which transformers has no class, so that "
            "from_pretrained cannot load it"
        )
    if changed := folder.changed(result, "model/"):
        raise ValueError(f"run: {path / changed[0]} is not the file that was measured; {_MUST}")
    files = tuple(name.removeprefix("model/") for name in result.get("files", ()) if name.startswith("model/"))
    if CONFIG not in files or any((folder.model / name).is_symlink() for name in files):
        raise ValueError(f"run: {path}: its result.json has no hashes of the files of its model; {_MUST}")
    if own := _own_files(config):
        raise ValueError(f"run: {path.name} needs files of your own ({own}), which are not shared with it")
    try:
        return SharedRun(folder, result, config, open_run(path), files)
    except ValueError as error:
        raise ValueError(f"run: {str(error).removeprefix('folder: ')}") from None


def _own_files(config: RunConfig) -> str:
    """The option of a run that names files of this machine, with its value; empty if there is none."""
    data = config.data.model_dump(mode="json")
    named = data | data.get("dataset_options", {})
    own = [option.rpartition(".")[2] for option in DATASETS[config.data.dataset].carried(config.data)]
    own += [name for name, value in named.items() if isinstance(value, str) and os.path.isabs(value)]
    return f"{own[0]}: {shown(named.get(own[0]))}" if own else ""
