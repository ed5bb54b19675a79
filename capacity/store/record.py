"""The record of a run as a file may hold it, checked: whatever passes can be tabled, drawn and printed.

In: a value from JSON or Parquet. Out: the same record, the texts of its rows fit to print. A row needs `TEXTS`,
`COUNTS` and `exposures`; its other measurements are finite numbers or missing, and what a later version adds is a
number, a text or missing.
"""

from collections.abc import Mapping
from typing import Any

from basis.text import printable, short, shown

Record = dict[str, Any]
"""A result.json: `run_id`, `config`, `provenance` and `rows`, one of each quantization."""

TEXTS = ("run_id", "size", "dataset", "junk", "recipe", "quantization")
"""Columns of a row that are texts."""
COUNTS = ("params", "people")
"""Columns of a row that are whole numbers from 1 on."""
NUMBERS = (
    *("layers", "width", "heads", "params_embedding", "params_attention", "params_mlp", "params_norm"),
    *("params_non_embedding", "flops_kaplan", "flops_chinchilla"),
    *("stored_bits", "bits_per_stored_bit", "tokens", "flops", "seconds", "loss_name", "loss_value", "loss_value1"),
    *("bits", "bits_per_param", "bits_per_param_low", "bits_per_param_high", "bits_lower_bound"),
    *("max_bits", "max_bits_per_param", "seed", "people_measured"),
    *("qa_accuracy", "question_accuracy_trained", "question_accuracy_held_out"),
)
"""Other columns of a row that tables and figures compute with."""

_LARGEST = 1e40
_MOST_COLUMNS, _MOST_LETTERS = 2000, 200


def checked(record: Any) -> Record:
    """The record, with texts fit to print. Raises ValueError for anything else, with the reason in a line."""
    try:
        _check_id(record["run_id"])
        config = _mapping("config", record["config"])
        rows = [_checked_row(_mapping("rows", row)) for row in record["rows"]]
        provenance = _mapping("provenance", record.get("provenance", {}))
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {short(printable(error))}") from None
    if "none" not in [row["quantization"] for row in rows]:
        raise ValueError('rows: must have one with quantization "none"')
    return {**record, "config": config, "provenance": provenance, "rows": rows}


def fit(value: Any) -> Any:
    """A value of an option or a cell with its texts short and printable. Raises ValueError for what is no value."""
    if isinstance(value, str):
        return short(printable(value), _MOST_LETTERS)
    if isinstance(value, dict):
        return {fit(str(name)): fit(one) for name, one in _mapping("config", value).items()}
    if isinstance(value, list):
        return [fit(one) for one in value]
    if value is None or isinstance(value, bool | float) or is_number(value):
        return value
    raise ValueError(f"{shown(value)} is not allowed; must be a number, a text or a list of them")


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, so small that sums and products stay finite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def finite(value: Any) -> float:
    """A number of a record. Raises ValueError for anything else."""
    if not is_number(value):
        raise ValueError(f"{shown(value)} is not allowed; must be a finite number")
    return float(value)


def _check_id(run: Any) -> None:
    """See that a run's id can be the name of its folder."""
    if not isinstance(run, str) or not 0 < len(run) <= _MOST_LETTERS or not run.isprintable() or "/" in run:
        raise ValueError(f"run_id: {shown(run)} is not allowed; must be the name of a folder")


def _mapping(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > _MOST_COLUMNS:
        raise ValueError(f"{name}: {shown(value)} is not allowed; must be a mapping of at most {_MOST_COLUMNS} keys")
    return value


def _checked_row(row: Mapping[str, Any]) -> dict[str, Any]:
    _check_id(row["run_id"])
    for name in TEXTS:
        if not isinstance(row[name], str):
            raise ValueError(f"{name}: {shown(row[name])} is not allowed; must be a text")
    for name in COUNTS:
        if not is_number(row[name]) or not 1 <= row[name] < 2**63 or row[name] % 1:
            raise ValueError(f"{name}: {shown(row[name])} is not allowed; must be a number of at least 1")
    if not is_number(row["exposures"]) or not 0 < row["exposures"] < 2**63:
        raise ValueError(f"exposures: {shown(row['exposures'])} is not allowed; must be a number above 0")
    for name, value in row.items():
        if value is None or is_number(value) or (isinstance(value, str | bool) and name not in NUMBERS):
            continue
        raise ValueError(f"{short(printable(name))}: {shown(value)} is not allowed; must be a finite number")
    return {fit(name): fit(value) for name, value in row.items()}
