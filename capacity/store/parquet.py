"""Published results: one Parquet file of the records of runs, and one of their learning curves.

In: records and metrics as a sweep's folder holds them. Out: two small files, and the same records from them.
`records.parquet` has a row for each run and quantization: all that its result.json says of it, and what it says of the
run (`OF_RUN`) as JSON. `curves.parquet` has a row for each measurement during training (`kind` "recall", or "heldout"
of the loss on held-out text), and about `LOSSES` means of the training loss for each run ("train").
"""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from basis.files import replace_file
from basis.reading import parse_json, read_file
from basis.text import printable, short

RECORDS, CURVES = "records.parquet", "curves.parquet"
_MOST_BYTES, _MOST_ROWS = 1 << 28, 1 << 21

OF_RUN = ("config", "provenance", "fingerprint", "files", "records_lacking")
"""What a result.json says of a run, besides its rows. Records of earlier versions have the first two alone. By the
hashes in `files` a reader can tell whether a model is the one that was measured."""

LOSSES = 100
"""Approximate number of means of the training loss that are kept for each run."""

MEASURED = (
    *("loss_name", "loss_value", "loss_value1", "bits_per_param", "qa_accuracy"),
    *("question_accuracy_trained", "question_accuracy_held_out"),
)
"""The columns of a measurement during training that are kept, in single precision."""


PROGRESS = ("tokens", "steps", "lr")
"""Columns of a held-out loss that say when it was measured, besides the exposures."""


def write_records(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Write the records of runs, sorted by run. `read_records` returns them without values that are null."""
    rows = [
        {"run_id": record["run_id"]} | row | {name: json.dumps(record[name]) for name in OF_RUN if name in record}
        for record in sorted(records, key=lambda record: record["run_id"])
        for row in record["rows"]
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    _write(pd.DataFrame({name: column([row.get(name) for row in rows]) for name in names}), path)


def read_records(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of each run in a file that `write_records` wrote, without values that are null.

    Raises OSError, and ValueError for another file.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in _rows(path, ("run_id", "config", "provenance")):
        rows.setdefault(str(row["run_id"]), []).append(row)
    return rows


def record_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The record of a run, from its rows in a file. Raises ValueError for JSON that is none."""
    parts = {name: parse_json(str(rows[0][name])) for name in OF_RUN if name in rows[0]}
    measured = [{name: value for name, value in row.items() if name not in OF_RUN} for row in rows]
    return {"run_id": rows[0]["run_id"], **parts, "rows": measured}


def write_curves(recall: pd.DataFrame, train: pd.DataFrame, path: Path, heldout: pd.DataFrame | None = None) -> None:
    """Write learning curves in single precision: measurements, and losses of training thinned to about `LOSSES`."""
    thinned = [thin(losses) for _, losses in train.groupby("run_id")]
    held = [] if heldout is None or heldout.empty else [heldout.assign(kind="heldout")]
    curves = pd.concat([recall.assign(kind="recall"), *held, *(losses.assign(kind="train") for losses in thinned)])
    kept = ["exposures", "loss", *MEASURED]
    kept += [name for name in (*PROGRESS, *curves) if held and (name in PROGRESS or name.startswith("heldout_loss"))]
    columns = {name: curves[name].astype(np.float32) for name in dict.fromkeys(kept) if name in curves}
    frame = pd.DataFrame({"run_id": curves["run_id"], "kind": curves["kind"], **columns})
    _write(frame.sort_values(["run_id", "kind"], kind="stable"), path)


def read_curves(path: Path) -> list[dict[str, Any]]:
    """The lines in a file that `write_curves` wrote, without values that are null.

    Raises OSError, and ValueError for another file.
    """
    return _rows(path, ("run_id", "kind", "exposures"))


def _rows(path: Path, needed: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a file with some columns, each without values that are null."""
    try:
        file = pq.ParquetFile(pa.BufferReader(read_file(path, _MOST_BYTES)))
        if lacks := [name for name in needed if name not in file.schema_arrow.names]:
            raise ValueError(f"it has no column {', '.join(lacks)}")
        if file.metadata.num_rows > _MOST_ROWS:
            raise ValueError(f"it has more than {_MOST_ROWS:,} rows")
        rows = file.read().to_pylist()
    except (pa.ArrowException, MemoryError) as error:
        raise ValueError(short(printable(error)) or type(error).__name__) from None
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


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
