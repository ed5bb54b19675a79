"""The folder of a sweep: `OUT/<run id>/` with config.yaml, metrics.jsonl, model/, and result.json written last.

In: an output folder and run ids. Out: paths and records. A run is done when its result.json is there.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from capacity.config import RunConfig
from train.checkpoint import replace_file

STOPPED = 130
"""Exit code of a worker that left a checkpoint behind."""

_TAIL_BYTES = 1 << 16
"""The last lines of metrics, a long one of a learning curve among them."""


@dataclass(frozen=True)
class RunFolder:
    """Where one run keeps what."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        """JSON lines written while the run goes on."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoint(self) -> Path:
        """From which an interrupted run goes on; deleted when it is done."""
        return self.path / "checkpoint.safetensors"

    @property
    def model(self) -> Path:
        """The trained model and its tokenizer in Hugging Face form."""
        return self.path / "model"

    @property
    def result(self) -> Path:
        """Written last."""
        return self.path / "result.json"

    @property
    def log(self) -> Path:
        """What the worker printed."""
        return self.path / "worker.log"

    @property
    def done(self) -> bool:
        """Whether the run is finished."""
        return self.result.exists()

    def clear_leftovers(self) -> None:
        """Remove what a process left that was killed while it wrote a file; only for the folder's one worker."""
        for path in self.path.glob(".*.tmp"):
            path.unlink(missing_ok=True)

    def write_config(self, config: RunConfig) -> None:
        """Make the folder, with the configuration in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        replace_file(self.config, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False).encode())

    def read_config(self) -> RunConfig:
        """The configuration that `write_config` wrote."""
        return RunConfig.model_validate(yaml.safe_load(self.config.read_text()))


def run_folder(out: Path, config: RunConfig) -> RunFolder:
    """The folder of a run."""
    return RunFolder(out / config.run_id)


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write a record in one step: the file is whole or as it was before."""
    replace_file(path, (json.dumps(record, indent=1) + "\n").encode())


def last_metric(folder: RunFolder) -> dict[str, Any] | None:
    """The last whole line of a run's metrics that tells its progress, or None."""
    try:
        with folder.metrics.open("rb") as file:
            file.seek(max(0, folder.metrics.stat().st_size - _TAIL_BYTES))
            lines = file.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return None
    for line in reversed(lines):
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if record.get("kind") == "train":
            return dict(record)
    return None
