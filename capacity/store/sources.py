"""Readers of folders of runs in any layout: the record of each run, and its learning curve.

| layout | records | learning curves |
| --- | --- | --- |
| a sweep's folder | `RUN/result.json` | `RUN/metrics.jsonl` |
| published results | `records.parquet` | `curves.parquet` |
| published results, before 2026-11-29 | `runs/RUN.json` | `runs/RUN.metrics.jsonl` |
"""

import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from basis.files import named_path
from basis.reading import open_file, parse_json, read_json
from basis.text import printable, short
from capacity.store.folders import MOST_METRICS
from capacity.store.parquet import CURVES, RECORDS, read_curves, read_records, record_of
from capacity.store.record import Record, checked, is_number

_LOG = logging.getLogger("capacity")
_LONGEST_LINE = 1 << 16
"""Bytes of a line of metrics, at most; the parts of a longer one are no lines."""

TRAIN, RECALL, HELDOUT = "train", "recall", "heldout"
"""Kinds of lines in metrics.jsonl: a loss of training, a measurement, and a loss on held-out text."""


def left_out(line: str) -> None:
    """Tell that a file, or a run, was left out, and why."""
    _LOG.warning("left out: %s", printable(line))


def records_in(
    folder: Path, on_bad: Callable[[str], None] = left_out, *, runs: Collection[str] | None = None
) -> Iterator[tuple[str, Record]]:
    """Every finished run of a folder (or those of `runs`, ids), with its place for messages.

    Folders without a result.json are runs still going or cut off, and are left out. So is what is not the record of a
    run, and `on_bad` gets a line about it (by default `capacity`'s log).

    Raises:
        ValueError: there is no such folder.

    """
    if not folder.is_dir():
        raise ValueError(f"folder: {folder} is not there; must be the folder of a sweep, or of published results")
    table = folder / RECORDS
    of_runs = _read(table, partial(read_records, table), _no_records, on_bad) or {}
    reads: list[tuple[str, Callable[[], Record]]] = [
        *((f"{table}: {run}", partial(_of_rows, rows)) for run, rows in of_runs.items() if runs is None or run in runs),
        *((path, partial(_of_file, path)) for path in _results(folder)),
    ]
    for where, read in reads:
        record = _read(where, read, not_a_result, on_bad)
        if record and (runs is None or record["run_id"] in runs):
            yield where, record


def not_a_result(reason: str) -> str:
    """The message about a file that is not the record of a run."""
    return f"not the result of a run ({reason}); delete it to do the run again"


def _no_records(reason: str) -> str:
    return f"no records of runs ({reason})"


def _no_curve(reason: str) -> str:
    return f"no learning curve ({reason})"


def _read(
    where: Path | str, read: Callable[[], Any], message: Callable[[str], str], on_bad: Callable[[str], None] = left_out
) -> Any:
    """What `read` returns; None if there is no file, and also, with a line about it, if it is a bad one."""
    try:
        return read()
    except FileNotFoundError:
        return None
    except OSError as error:
        on_bad(f"{where}: {message(error.strerror or str(error))}")
    except ValueError as error:
        on_bad(f"{where}: {message(short(' '.join(str(error).split())))}")
    return None


def _of_rows(rows: Sequence[dict[str, Any]]) -> Record:
    return checked(record_of(rows))


def _of_file(path: str) -> Record:
    return checked(read_json(path))


def load_curves(*folders: Path | str, runs: Collection[str] | None = None, kind: str = RECALL) -> pd.DataFrame:
    """The measurements of runs during training: a row for each, sorted by run and exposures.

    Columns are `run_id`, `exposures`, and with kind "recall" losses, `bits_per_param`, `qa_accuracy` and all other
    measurements; with kind "train" the `loss` of training (nats a token); with kind "heldout" tokens, steps, lr and the
    losses on held-out text (`eval.heldout`). If a run measured twice at the
    same exposures, after it resumed from a checkpoint, the later line counts. If several folders have a run, the first
    folder's lines count. Incomplete lines are left out; a run that measured nothing has no rows.

    Args:
        folders: of sweeps, or of published results (which keep about 100 losses a run).
        runs: ids of the runs (default: all).
        kind: "recall", "train" or "heldout".

    """
    lines: dict[tuple[str, float], dict[str, Any]] = {}
    seen: set[str] = set()
    for folder in (named_path("folder", folder) for folder in folders):
        found = [line for line in _lines(folder, runs, kind) if line["run_id"] not in seen]
        lines |= {(line["run_id"], line["exposures"]): line for line in found}
        seen |= {line["run_id"] for line in found}
    rows = [lines[key] for key in sorted(lines)]
    always = ("run_id", "exposures", "bits_per_param", "qa_accuracy") if kind == RECALL else ("run_id", "exposures")
    return pd.DataFrame(rows, columns=list(dict.fromkeys((*always, *(name for row in rows for name in row)))))


def _results(folder: Path) -> list[str]:
    """The paths where results of a folder can be."""
    with os.scandir(folder) as entries:
        paths = [os.path.join(entry.path, "result.json") for entry in entries if os.path.isdir(entry.path)]
    return sorted([*paths, *map(str, folder.glob("runs/*.json"))])


def _lines(folder: Path, runs: Collection[str] | None, kind: str) -> Iterator[dict[str, Any]]:
    """The lines of a kind in a folder's metrics, with the run's id."""
    table = folder / CURVES
    for line in _read(table, partial(read_curves, table), _no_curve) or ():
        if line["kind"] == kind and (runs is None or line["run_id"] in runs):
            yield {"run_id": line["run_id"]} | _numbers(line)
    names = runs if runs is not None else [_run_of(path) for path in _results(folder)]
    for run in names:
        for path in (folder / run / "metrics.jsonl", folder / "runs" / f"{run}.metrics.jsonl"):
            for line in _read(path, partial(_json_lines, path, kind), _no_curve) or ():
                yield {"run_id": run} | line


def _json_lines(path: Path, kind: str) -> list[dict[str, Any]]:
    """The lines of a kind in a metrics.jsonl; what is not such a line is left out. Raises OSError and ValueError."""
    wanted, found = f'"{kind}"'.encode(), []
    with open_file(path) as file:
        if os.fstat(file.fileno()).st_size > MOST_METRICS:
            raise ValueError(f"it is larger than {MOST_METRICS:,} bytes")
        for text in iter(partial(file.readline, _LONGEST_LINE), b""):
            if wanted not in text:  # nearly all lines are about training
                continue
            with suppress(ValueError):
                line = parse_json(text)
                if isinstance(line, dict) and line.get("kind") == kind and is_number(line.get("exposures")):
                    found.append(_numbers(line))
    return found


def _numbers(line: Mapping[str, Any]) -> dict[str, Any]:
    """The measurements in a line, and when they were made."""
    numbers = {name: value for name, value in line.items() if value is None or is_number(value)}
    return {short(printable(name)): value for name, value in numbers.items() if name not in ("seconds", "run_id")}


def _run_of(path: str) -> str:
    """The run of a result's path."""
    folder, name = os.path.split(path)
    return os.path.basename(folder) if name == "result.json" else name.removesuffix(".json")
