"""The state of a sweep under way, from its folder.

In: the folder of a sweep. Out: values of JSON: how many runs are finished, which failed, and how far the others are.
Nothing is written.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from basis.reading import read_file
from basis.text import printable, short
from basis.yaml_text import MOST_YAML, parse_yaml
from capacity.report.page.columns import cell
from capacity.runner.progress import Tail, progress_of, records
from capacity.store.folders import RunFolder
from capacity.store.record import is_number

_QUIET_SECONDS = 60.0
"""A run whose heartbeat is older than this is not shown as under way: its worker is gone, or the machine hangs."""
_HEARTBEAT = "heartbeat.json"


class Watcher:
    """Reads a sweep's folder again and again; metrics are read from where the last look ended."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._curves: dict[str, _Curve] = {}

    def state(self) -> dict[str, Any]:
        """How far the sweep is now."""
        finished, failed, runs = 0, [], []
        for folder in _folders(self._out):
            name = short(printable(folder.path.name))
            if folder.result.exists():
                finished += 1
                self._curves.pop(folder.path.name, None)
            elif (reason := folder.read_failure()) is not None:
                failed.append({"id": name, "reason": reason})
            else:
                runs.append({"id": name} | self._under_way(folder))
        return {"finished": finished, "failed": failed, "runs": runs}

    def _under_way(self, folder: RunFolder) -> dict[str, Any]:
        notice = progress_of(folder) or {}
        curve = self._curves.setdefault(folder.path.name, _Curve(folder.metrics))
        curve.read()
        planned = _planned(folder)
        exposures = notice.get("exposures")
        alive = _seconds_since(folder.path / _HEARTBEAT) < _QUIET_SECONDS
        state = "measuring" if notice.get("measuring") else "training" if notice else "starting"
        return {
            "alive": alive,
            "state": state if alive else "no sign of life; the command of the sweep takes it up again",
            "share": None if exposures is None or planned is None else min(1.0, max(0.0, exposures / planned)),
            "exposures": cell(exposures),
            "planned": planned,
            "loss": cell(notice.get("loss")),
            "speed": cell(notice.get("tokens_per_second")),
            "R": curve.R[-1] if curve.R else None,
            "curve": {"exposures": curve.exposures, "R": curve.R},
        }


class _Curve:
    """R of a run at the exposures where it was measured so far."""

    def __init__(self, metrics: Path) -> None:
        self._tail = Tail(metrics)
        self.exposures: list[Any] = []
        self.R: list[Any] = []

    def read(self) -> None:
        """Add what was measured since the last call."""
        while lines := self._tail.lines():
            for record in records(lines):
                exposures, R = record.get("exposures"), record.get("bits_per_param")
                if record.get("kind") == "recall" and is_number(exposures) and is_number(R):
                    self._add(cell(exposures), cell(R))

    def _add(self, exposures: Any, R: Any) -> None:
        if self.exposures and exposures <= self.exposures[-1]:  # it went on from an earlier checkpoint
            kept = sum(one < exposures for one in self.exposures)
            del self.exposures[kept:], self.R[kept:]
        self.exposures.append(exposures)
        self.R.append(R)


def _folders(out: Path) -> Iterator[RunFolder]:
    """The folders of runs in a sweep's folder, links left out."""
    found = {path.parent for name in ("config.yaml", "result.json") for path in out.glob(f"*/{name}")}
    for path in sorted(found):
        if not path.is_symlink():
            yield RunFolder(path)


def _planned(folder: RunFolder) -> float | None:
    """The exposures that a run is to have; None where tokens end it, or its configuration cannot be read."""
    with suppress(OSError, ValueError):
        content = parse_yaml(read_file(folder.config, MOST_YAML))
        planned: Any = content.get("exposures") if isinstance(content, dict) else None
        return float(planned) if is_number(planned) and planned > 0 else None
    return None


def _seconds_since(path: Path) -> float:
    """Time since a file was written; infinite without one. By the clock of this machine, which others' may not be."""
    with suppress(OSError):
        return max(0.0, time.time() - path.stat().st_mtime)
    return float("inf")
