"""What the page says of each run: its rows, learning curves, configuration, provenance, and how to do it again.

In: the frame of `capacity.store.records.load` and the folders that it was read from. Out: values of JSON.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from basis.text import printable, short
from biogen.datasets import title_of
from capacity.report.page.again import command
from capacity.report.page.columns import cell, plain
from capacity.store.options import options_of
from capacity.store.parquet import thin
from capacity.store.record import Record
from capacity.store.sources import HELDOUT, RECALL, TRAIN, load_curves, records_in

_FACTS = (
    *("bits_per_param", "bits_per_param_low", "bits_per_param_high", "max_bits_per_param", "bits", "max_bits"),
    *("bits_name", "bits_value", "bits_lower_bound", "loss_name", "loss_value", "loss_value1", "heldout_loss"),
    *("heldout_entropy", "qa_accuracy", "question_accuracy_trained", "question_accuracy_held_out"),
    *("params", "params_non_embedding", "tokens_in_use", "steps", "tokens", "flops", "seconds", "people_measured"),
)
"""Columns of a run that its part lists."""
_COPY = ("bits_per_param", "bits_per_stored_bit", "stored_bits", "quantized_weights", "qa_accuracy")
"""Columns of a quantized copy."""
_CURVES = {
    RECALL: ("bits_per_param", "qa_accuracy", "loss_name", "loss_value"),
    TRAIN: ("loss",),
    HELDOUT: ("heldout_loss",),
}
"""What learning curves show, by the kind of their measurements."""
_LONGEST = 2000
_ATTRIBUTES = ("loss_value_", "qa_accuracy_")


def parts_of(frame: pd.DataFrame, folders: Sequence[Path]) -> dict[str, Any]:
    """The parts of all runs, in the order of `plain(frame)`; what all of them share is told once."""
    runs = plain(frame)
    ids = list(map(str, runs["run_id"]))
    records = _records(folders, set(ids))
    curves = {kind: _curves(folders, ids, kind) for kind in _CURVES}
    options, shared_options = _factored([_options(records.get(run)) for run in ids])
    origins, shared_origin = _factored([_origin(records.get(run)) for run in ids])
    copies = {str(run): rows for run, rows in frame.groupby("run_id", sort=False)}
    parts = [
        {
            "id": run,
            "title": f"{title_of(str(row['dataset']))}, size {row['size']}, N = {row['people']:,}",
            "facts": {name: value for name in _FACTS if (value := cell(row.get(name))) is not None},
            "attributes": _attributes(row),
            "copies": [_copy(copy) for _, copy in copies[run].iterrows()],
            "curves": {kind: of_run[run] for kind, of_run in curves.items() if run in of_run},
            "options": options[place],
            "origin": origins[place],
            "again": _again(records.get(run)),
        }
        for place, (run, (_, row)) in enumerate(zip(ids, runs.iterrows(), strict=True))
    ]
    return {"runs": parts, "options": shared_options, "origin": shared_origin}


def _records(folders: Sequence[Path], wanted: set[str]) -> dict[str, Record]:
    """The records by run; the first folder's counts, as in `load`."""
    found: dict[str, Record] = {}
    for folder in folders:
        for _, record in records_in(folder, lambda line: None):  # `load` has told what was left out
            if record["run_id"] in wanted:
                found.setdefault(record["run_id"], record)
    return found


def _curves(folders: Sequence[Path], runs: Sequence[str], kind: str) -> dict[str, dict[str, Any]]:
    """The columns of a kind of measurement by run; losses of training are thinned."""
    lines = load_curves(*folders, runs=list(runs), kind=kind)
    found = {}
    for run, rows in lines.groupby("run_id", sort=False):
        shown = thin(rows) if kind == TRAIN and "loss" in rows else rows
        columns = {name: shown[name] for name in ("exposures", *_CURVES[kind]) if name in shown}
        found[str(run)] = {
            name: [cell(value) for value in values] for name, values in columns.items() if values.notna().any()
        }
    return found


def _attributes(row: "pd.Series[Any]") -> list[dict[str, Any]]:
    """The loss (nats) and the accuracy of each attribute."""
    names = dict.fromkeys(
        name.removeprefix(start) for start in _ATTRIBUTES for name in map(str, row.index) if name.startswith(start)
    )
    found = [
        {"name": name.replace("_", " "), "loss": cell(row.get(f"loss_value_{name}"))}
        | {"accuracy": cell(row.get(f"qa_accuracy_{name}"))}
        for name in names
    ]
    return [one for one in found if (one["loss"], one["accuracy"]) != (None, None)]


def _copy(row: "pd.Series[Any]") -> dict[str, Any]:
    return {"scheme": row["quantization"]} | {name: cell(row.get(name)) for name in _COPY}


def _options(record: Record | None) -> dict[str, Any]:
    return {} if record is None else {name: _text(value) for name, value in options_of(record).items()}


def _origin(record: Record | None) -> dict[str, Any]:
    """Where a run's numbers come from."""
    if record is None:
        return {}
    made = dict(record["provenance"])
    if isinstance(prints := record.get("fingerprint"), dict):
        made |= {f"fingerprint of {name}": value for name, value in prints.items()}
    return {short(printable(name)): _text(value) for name, value in made.items()}


def _again(record: Record | None) -> str | None:
    """The command; None for a record that has not what it needs."""
    try:
        return None if record is None else command(record)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _text(value: Any) -> Any:
    """A value of one line."""
    if value is None or isinstance(value, bool | int | float):
        return cell(value)
    return short(printable(value if isinstance(value, str) else json.dumps(value)), _LONGEST)


def _factored(values: Iterable[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Each mapping without what all of them share, and that."""
    several = [dict(one) for one in values]
    first = several[0] if several else {}
    shared = {
        name: value for name, value in first.items() if all(name in one and one[name] == value for one in several)
    }
    return [{name: value for name, value in one.items() if name not in shared} for one in several], shared
