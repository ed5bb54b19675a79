"""A finished run that is to be shared: what its folder holds, checked.

In: the folder of a run. Out: its record, its configuration, and its model where anything can be asked of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from basis.reading import read_json
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
    trained: TrainedRun | None
    """None for a run on text about which nothing is asked."""

    @property
    def name(self) -> str:
        """The run's id."""
        return self.folder.path.name


def open_all(paths: Sequence[Path]) -> list[SharedRun]:
    """The runs of some folders, each once. Raises ValueError that names the first that cannot be shared."""
    return [_open(path) for path in {path.resolve().name: path.resolve() for path in paths}.values()]


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
            f"run: {path.name} has architecture {architecture!r}, which no class of transformers' computes, so that "
            "from_pretrained cannot load it"
        )
    if changed := folder.changed(result, "model/"):
        raise ValueError(f"run: {path / changed[0]} is not the file that was measured; {_MUST}")
    asked = DATASETS[config.data.dataset].known_bits
    try:
        return SharedRun(folder, result, config, open_run(path) if asked else None)
    except ValueError as error:
        raise ValueError(f"run: {str(error).removeprefix('folder: ')}") from None
