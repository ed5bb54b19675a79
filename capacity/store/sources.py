"""Readers of folders of runs in any layout: the record of each run, and its learning curve.

| layout | records | learning curves |
| --- | --- | --- |
| a sweep's folder | `RUN/result.json` | `RUN/metrics.jsonl` |
| published results | `records.parquet` | `curves.parquet` |
| published results, before 2026-11-29 | `runs/RUN.json` | `runs/RUN.metrics.jsonl` |
"""

import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from basis.files import user_path
from capacity.store.parquet import CURVES, RECORDS, read_curves, read_records

Record = dict[str, Any]
"""A result.json: `run_id`, `config`, `provenance` and `rows`, one of each quantization."""

TRAIN, RECALL = "train", "recall"
"""Kinds of lines in metrics.jsonl: a loss of training, and a measurement."""


def records_in(folder: Path) -> Iterator[tuple[str, Record]]:
    """Every finished run of a folder, with its place for messages.

    Folders without a result.json are runs still going or cut off, and are left out.

    Raises:
        ValueError: there is no such folder, or a file is not the record of a run.

    """
    if not folder.is_dir():
        raise ValueError(f"out = '{folder}': no such folder")
    if (folder / RECORDS).exists():
        yield from ((f"{folder / RECORDS}: {record['run_id']}", record) for record in read_records(folder / RECORDS))
    for path in _results(folder):
        try:
            with open(path, encoding="utf-8") as file:
                yield path, json.load(file)
        except FileNotFoundError:
            continue
        except ValueError as error:
            raise ValueError(f"{path}: {not_a_result(error)}") from error


def not_a_result(error: Exception) -> str:
    """The message about a file that is not the record of a run."""
    return f"not the result of a run ({type(error).__name__}: {error}); delete it to do the run again"


def load_curves(*folders: Path | str, runs: Collection[str] | None = None, kind: str = RECALL) -> pd.DataFrame:
    """The measurements of runs during training: a row for each, sorted by run and exposures.

    Columns are `run_id`, `exposures`, and with kind "recall" losses, `bits_per_param`, `qa_accuracy` and all other
    measurements; with kind "train" the `loss` of training (nats a token). If a run measured twice at the
    same exposures, after it resumed from a checkpoint, the later line counts. If several folders have a run, the first
    folder's lines count. Incomplete lines are left out; a run that measured nothing has no rows.

    Args:
        folders: of sweeps, or of published results (which keep about 100 losses a run).
        runs: ids of the runs (default: all).
        kind: "recall" or "train".

    """
    lines: dict[tuple[str, float], dict[str, Any]] = {}
    seen: set[str] = set()
    for folder in map(user_path, folders):
        found = [line for line in _lines(folder, runs, kind) if line["run_id"] not in seen]
        lines |= {(line["run_id"], line["exposures"]): line for line in found}
        seen |= {line["run_id"] for line in found}
    rows = [lines[key] for key in sorted(lines)]
    return pd.DataFrame(rows, columns=None if rows else ["run_id", "exposures", "bits_per_param", "qa_accuracy"])


def _results(folder: Path) -> list[str]:
    """The paths of the results in a folder."""
    with os.scandir(folder) as entries:
        paths = [os.path.join(entry.path, "result.json") for entry in entries if entry.is_dir()]
    return sorted([*paths, *map(str, folder.glob("runs/*.json"))])


def _lines(folder: Path, runs: Collection[str] | None, kind: str) -> Iterator[dict[str, Any]]:
    """The lines of a kind in a folder's metrics, with the run's id."""
    if (folder / CURVES).exists():
        curves = read_curves(folder / CURVES)
        yield from (line for line in curves if line.pop("kind") == kind and (runs is None or line["run_id"] in runs))
    names = runs if runs is not None else [_run_of(path) for path in _results(folder)]
    for run in names:
        for path in (folder / run / "metrics.jsonl", folder / "runs" / f"{run}.metrics.jsonl"):
            text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
            for line in text.splitlines():
                if f'"{kind}"' not in line:  # nearly all lines are about training
                    continue
                try:
                    record = json.loads(line)
                except json.JSONDecodeError:
                    continue
                yield {"run_id": run} | {
                    name: value for name, value in record.items() if name not in ("kind", "seconds")
                }


def _run_of(path: str) -> str:
    """The run of a result's path."""
    folder, name = os.path.split(path)
    return os.path.basename(folder) if name == "result.json" else name.removesuffix(".json")
