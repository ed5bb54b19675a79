"""The metrics of a run, as JSON lines: what a training logs, and the points of its learning curve.

In: records, one after another, and after an interruption the state that was saved with the checkpoint. Out: the file,
and a warning if it is not the one of that checkpoint, as in folders that were copied over each other.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from basis.files import replace_file
from basis.reading import parse_json, read_file
from capacity.store.folders import MOST_METRICS


class Metrics:
    """A run's metrics.jsonl, which one process appends to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> "Metrics":
        self._file = self.path.open("a")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a record."""
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def save(self) -> dict[str, Any]:
        """Flush the file to the disk; returns its state for a checkpoint."""
        os.fsync(self._file.fileno())
        content = self.path.read_bytes()
        return {"metrics_bytes": len(content), "metrics_sha256": hashlib.sha256(content).hexdigest()}

    def restore(self, state: Mapping[str, Any], exposures: float) -> bool:
        """Cut the file to what it was when `state` was saved; returns whether it was that file.

        Of another file, the records up to these exposures stay.
        """
        content = _content(self.path) if self.path.exists() else b""
        kept = content[: state["metrics_bytes"]]
        ours = hashlib.sha256(kept).hexdigest() == state["metrics_sha256"]
        if not ours:
            lines = content.splitlines(keepends=True)
            kept = b"".join(line for line in lines if _exposures(line) <= exposures + 1e-9)
        replace_file(self.path, kept)
        return ours

    def lacking(self, steps: Iterable[int], marks: Iterable[int]) -> int:
        """How many records are not there, of those after these steps and of the learning curve at these exposures."""
        found = [_read(line) for line in self.path.read_bytes().splitlines()]
        logged = {record.get("steps") for record in found if record.get("kind") == "train"}
        measured = {record.get("exposures") for record in found if record.get("kind") == "recall"}
        return len(set(steps) - logged) + len(set(marks) - measured)


def _content(path: Path) -> bytes:
    """The bytes of a file. Raises ValueError for a file that is far larger than any of a run."""
    try:
        return read_file(path, MOST_METRICS)
    except ValueError as error:
        raise ValueError(f"metrics: {path}: {error}; delete it to go on without it") from None


def _exposures(line: bytes) -> float:
    """The exposures of a record; infinite for a line that is none."""
    found = _read(line).get("exposures")
    return float(found) if isinstance(found, int | float) else float("inf")


def _read(line: bytes) -> dict[str, Any]:
    """The record of a line; empty for a line that is none."""
    try:
        record = parse_json(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
