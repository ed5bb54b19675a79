"""One reader over any number of stores: the measurements of all their runs as one table.

In: folders of sweeps or published results. Out: a DataFrame with a row for each run and quantization.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from basis.files import named_path, replace_file
from basis.text import printable, short
from biogen.config import MADE_TOKENIZERS, DataConfig
from capacity.store.counted import with_counts
from capacity.store.options import deciding, options_of
from capacity.store.parquet import column
from capacity.store.record import Record, fit
from capacity.store.sources import left_out, not_a_result, records_in
from eval.quantizers.schemes import parse_scheme

COLUMNS = (
    *("run_id", "size", "layers", "width", "heads"),
    *("params", "params_embedding", "params_attention", "params_mlp", "params_norm", "params_non_embedding"),
    *("dataset", "people", "exposures", "junk", "recipe"),
    *("quantization", "stored_bits", "bits_per_stored_bit"),
    *("tokens", "flops", "flops_kaplan", "flops_chinchilla", "seconds"),
    *("loss_name", "loss_value", "loss_value1"),
    *("bits", "bits_per_param", "bits_per_param_low", "bits_per_param_high"),
    *("max_bits", "max_bits_per_param", "bits_lower_bound"),
    *("qa_accuracy", "question_accuracy_trained", "question_accuracy_held_out", "seed"),
)
"""The first columns of the table, in order. Losses are in nats, accuracies from 0 to 1."""

_OF_TOKENS = frozenset(DataConfig.model_fields) - {"people", "seed", "junk", "junk_people"}
"""Options that decide the tokens of a data set, apart from what a tokenizer's name stands for."""
_SHOWN = 8
"""Letters of a hash that tell tokenizers of one name apart."""
_MEASURED_VOCAB = "tokens_in_use"
"""The column of a row's `vocab`, which as an option is the largest vocabulary allowed."""


def load(*folders: Path | str, on_bad: Callable[[str], None] = left_out) -> pd.DataFrame:
    """Every finished run of some folders, a row for each run and quantization.

    A folder is that of a sweep (runs still going or cut off are left out) or of published results. A training that was
    measured several times counts once, under the run that did it, with each of its quantizations once; so does a run
    that several folders have, with the numbers of the first folder. A tokenizer whose name stood for several has a hash
    behind it.

    Columns are `COLUMNS`, every option that decides a result (`capacity.store.options.OPTIONS`), and further
    measurements in order of first appearance. Rows are sorted by data set, exposures, junk, recipe, params, people,
    other options, seed and quantization ("none" first, then by falling precision). No finished run means no rows.

    What is not the record of a run is left out, too, and `on_bad` gets a line about it: by default the log of
    `capacity`, which is standard error.

    Raises:
        ValueError: a folder does not exist.

    """
    runs = [run for folder in folders for run in _measured(named_path("folder", folder), on_bad)]
    _name_tokenizers(runs)
    trainings = [sorted(rows, key=lambda row: by_precision(row["quantization"])) for rows in _trainings(runs)]
    options = deciding(dict.fromkeys(name for rows in trainings for name in rows[0]))
    trainings.sort(key=lambda rows: _sort_key(rows[0], options))
    rows = [row for rows in trainings for row in rows]
    names = dict.fromkeys((*COLUMNS, *options, *(name for row in rows for name in row)))
    return pd.DataFrame({name: column([row.get(name) for row in rows]) for name in names})


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame atomically; equal frames give equal bytes.

    Floats keep every digit that tells them apart, so reading them back gives the same floats.
    """
    replace_file(path, frame.to_csv(index=False, lineterminator="\n").encode())


def by_precision(quantization: str) -> tuple[float, str]:
    """Sort key of quantizations: "none", then bf16, fp8 and int8, ..., int2; a plain one before its groups."""
    bits = re.search(r"(?:bf|fp|int)([0-9]+)", quantization)
    return (-float(bits[1]) if bits else -math.inf), quantization


def scheme_name(quantization: str, embedding: bool) -> str:
    """The full name of a scheme; older records say "int4", and their options say whether the embedding is included."""
    scheme = parse_scheme(quantization)
    return str(scheme if embedding or quantization == "none" else scheme._replace(embedding=False))


@dataclass(frozen=True)
class _Measured:
    """The measurements of a finished run."""

    training: str
    """The same for runs that differ in their schemes of quantization alone."""
    taken_over: bool
    """Whether another run did the training."""
    run_id: str
    rows: dict[str, dict[str, Any]]
    """By scheme."""
    tokens: str
    """The hash of its tokens; empty where the record has none."""


def _measured(folder: Path, on_bad: Callable[[str], None]) -> Iterator[_Measured]:
    """The finished runs of a folder."""
    for where, record in records_in(folder, on_bad):
        try:
            yield _read(record)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            on_bad(f"{where}: {not_a_result(f'config: {type(error).__name__}: {short(printable(error))}')}")


def _read(result: Record) -> _Measured:
    """The measurements in a run's record."""
    options = options_of(result)
    embedding = bool(result["config"].get("measure", {}).get("quantize_embedding", True))
    rows = {}
    for measured in result["rows"]:
        counted = with_counts(measured, options)
        row = options | {_MEASURED_VOCAB if name == "vocab" else name: value for name, value in counted.items()}
        row["quantization"] = scheme_name(row["quantization"], embedding)
        rows[row["quantization"]] = row
    people = result["rows"][0].get("people_measured")
    training = json.dumps([options, people], sort_keys=True)
    fingerprint = result.get("fingerprint")
    tokens = str(fingerprint.get("tokens", "")) if isinstance(fingerprint, dict) else ""
    return _Measured(training, "training_of" in result.get("provenance", {}), result["run_id"], rows, tokens)


def _name_tokenizers(runs: Sequence[_Measured]) -> None:
    """Put the hash of the tokens behind the name of a tokenizer that has been several, as when a folder has changed.

    Runs alike in all other options of the data have the same tokens, whatever their seed and people are.
    """
    alike: dict[str, list[_Measured]] = {}
    for run in runs:
        row = next(iter(run.rows.values()))
        if run.tokens and row.get("tokenizer") not in (None, *MADE_TOKENIZERS):
            data = {name: row[name] for name in row if name.partition(".")[0] in _OF_TOKENS}
            alike.setdefault(json.dumps(data, sort_keys=True), []).append(run)
    for several in alike.values():
        if len({run.tokens for run in several}) > 1:
            for run in several:
                for row in run.rows.values():
                    row["tokenizer"] = f"{row['tokenizer']} ({fit(run.tokens[:_SHOWN])})"


def _trainings(runs: Iterable[_Measured]) -> Iterator[list[dict[str, Any]]]:
    """The rows of each training, under the id of one run."""
    trainings: dict[str, list[_Measured]] = {}
    for run in sorted(runs, key=lambda run: run.taken_over):
        trainings.setdefault(run.training, []).append(run)
    for alike in trainings.values():
        rows = {scheme: row for run in reversed(alike) for scheme, row in run.rows.items()}  # the first run's stay
        yield [row | {"run_id": alike[0].run_id} for row in rows.values()]


def _sort_key(row: dict[str, Any], options: Sequence[str]) -> tuple[Any, ...]:
    """The place of a training, by a row of it."""
    dataset, junk, recipe, run = (str(row.get(name)) for name in ("dataset", "junk", "recipe", "run_id"))
    params, people, seed = (row.get(name) or 0 for name in ("params", "people", "seed"))
    others = tuple(_order(row.get(name)) for name in options if name != "seed")
    return dataset, row.get("exposures") or 0, _share(junk), recipe, params, people, others, seed, run


def _order(value: Any) -> tuple[int, Any]:
    """Sort key of an option of any type: numbers first, then words, then what is missing."""
    if value is None:
        return 2, 0
    return (0, value) if isinstance(value, int | float) else (1, str(value))


@cache
def _share(junk: str) -> tuple[float, str]:
    """Sort key of a share of junk such as "0" or "7/8": its size, then its text."""
    found = re.match(r"([0-9]+\.?[0-9]*)(?:/([1-9][0-9]*))?", junk)
    return (float(found[1]) / float(found[2] or 1) if found else math.inf), junk
