"""Published results: one Parquet file of the records of runs, and one of their learning curves.

In: records and metrics as a sweep's folder holds them. Out: two small files, and the same records from them.
`records.parquet` has a row for each run and quantization: all that its result.json says of it, and the run's `config`
and `provenance` as JSON. `curves.parquet` has a row for each measurement during training (`kind` "recall"), and
about `LOSSES` means of the training loss for each run ("train").
"""

import io
import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from basis.files import replace_file

RECORDS, CURVES = "records.parquet", "curves.parquet"

LOSSES = 100
"""Approximate number of means of the training loss that are kept for each run."""

MEASURED = (
    *("loss_name", "loss_value", "loss_value1", "bits_per_param", "qa_accuracy"),
    *("question_accuracy_trained", "question_accuracy_held_out"),
)
"""The columns of a measurement during training that are kept, in single precision."""


def write_records(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Write the records of runs, sorted by run. `read_records` returns them without values that are null."""
    rows = [
        {"run_id": record["run_id"]} | row | {name: json.dumps(record[name]) for name in ("config", "provenance")}
        for record in sorted(records, key=lambda record: record["run_id"])
        for row in record["rows"]
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    _write(pd.DataFrame({name: column([row.get(name) for row in rows]) for name in names}), path)


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records in a file that `write_records` wrote. Raises ValueError for another file."""
    try:
        rows = pq.read_table(path).to_pylist()
        for run_id, of_run in groupby(rows, key=lambda row: row["run_id"]):
            found = [{name: value for name, value in row.items() if value is not None} for row in of_run]
            parts = [{name: json.loads(row.pop(name)) for name in ("config", "provenance")} for row in found]
            yield {"run_id": run_id, **parts[0], "rows": found}
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise ValueError(f"{path}: no records of runs ({type(error).__name__}: {error})") from error


def write_curves(recall: pd.DataFrame, train: pd.DataFrame, path: Path) -> None:
    """Write learning curves in single precision: measurements, and losses of training thinned to about `LOSSES`."""
    thinned = [thin(losses) for _, losses in train.groupby("run_id")]
    curves = pd.concat([recall.assign(kind="recall"), *(losses.assign(kind="train") for losses in thinned)])
    columns = {name: curves[name].astype(np.float32) for name in ("exposures", "loss", *MEASURED) if name in curves}
    frame = pd.DataFrame({"run_id": curves["run_id"], "kind": curves["kind"], **columns})
    _write(frame.sort_values(["run_id", "kind"], kind="stable"), path)


def read_curves(path: Path) -> Iterator[dict[str, Any]]:
    """The lines in a file that `write_curves` wrote, without values that are null."""
    for line in pq.read_table(path).to_pylist():
        yield {name: value for name, value in line.items() if value is not None}


def thin(losses: pd.DataFrame) -> pd.DataFrame:
    """About `LOSSES` means of neighboring losses of one run, each at the last exposures of its part.

    losses: `run_id`, `exposures` and `loss`, sorted.
    """
    part = np.arange(len(losses)) * LOSSES // max(len(losses), LOSSES)
    parts = losses.groupby(part)
    return parts.agg(run_id=("run_id", "first"), exposures=("exposures", "last"), loss=("loss", "mean"))


def column(values: list[Any]) -> "pd.Series[Any]":
    """A column whose integers stay integers beside missing values, where pandas would make them floats."""
    present = [value for value in values if value is not None]
    if not present:
        return pd.Series(values, dtype=float)
    if not all(type(value) is int for value in present):
        return pd.Series(values)
    if max(map(abs, present)) >= 2**63:  # the FLOPs of a large run
        return pd.Series(values, dtype=float)
    return pd.Series(values, dtype="int64" if len(present) == len(values) else "Int64")


def _write(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame in one step; equal frames give equal bytes."""
    content = io.BytesIO()
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
    pq.write_table(
        table, content, compression="zstd", compression_level=19, use_dictionary=["run_id", "kind", "config"]
    )
    replace_file(path, content.getvalue())
