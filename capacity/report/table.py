"""The table of all finished runs: folders with a result.json come in; a frame, a CSV and a printed table go out.

`python -m capacity.report.table OUT` rebuilds results.csv and the plots of a store from its runs alone.
"""

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, SupportsFloat

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod
from rich.measure import Measurement
from rich.table import Table

from basis.files import replace_file
from eval.quantizers.schemes import parse_scheme

COLUMNS = (
    *("run_id", "size", "layers", "width", "heads"),
    *("params", "params_embedding", "params_attention", "params_mlp", "params_norm"),
    *("dataset", "people", "exposures", "junk", "recipe"),
    *("quantization", "stored_bits", "bits_per_stored_bit"),
    *("tokens", "flops", "seconds"),
    *("loss_name", "loss_value", "loss_value1"),
    *("bits", "bits_per_param", "bits_per_param_low", "bits_per_param_high"),
    *("max_bits", "max_bits_per_param", "bits_lower_bound"),
    *("qa_accuracy", "question_accuracy_trained", "question_accuracy_held_out", "seed"),
)
"""The first columns of the table, in order. Losses are in nats, accuracies from 0 to 1."""

KIND = ["dataset", "exposures", "junk", "recipe"]
"""What runs share whose figures are drawn together."""

DATASETS = {"bios": "bioS", "biod": "bioD"}
"""The data sets as Allen-Zhu and Li (arXiv 2404.05405) write them."""

MOST_SHOWN = 500
"""Runs in a printed table; results.csv has them all."""

HOW_TO_READ = "R = bits per parameter: 2 is the law; R max is all that there is to learn, so R never exceeds it."


def collect(out: Path) -> pd.DataFrame:
    """Every finished run of a store, one row for each run and quantization.

    Folders without a result.json are runs still going or cut off, and are left out. Runs that differ in their schemes
    of quantization alone are one training, and their rows stand under the run that did it, each scheme once. Rows are
    sorted by data set, exposures, junk, recipe, params, people, seed and quantization ("none" first, then by falling
    precision).
    Columns are `COLUMNS`, then further keys in order of first appearance; no finished run means no rows.

    Raises:
        ValueError: `out` is not a folder, or a result.json is not the record of a run.

    """
    if not out.is_dir():
        raise ValueError(f"out = '{out}': no such folder")
    with os.scandir(out) as entries:
        folders = sorted(entry.path for entry in entries if entry.is_dir())
    rows = sorted(_of_trainings(filter(None, map(_read_run, folders))), key=_sort_key)
    names = dict.fromkeys((*COLUMNS, *(name for row in rows for name in row)))
    return pd.DataFrame({name: _column([row.get(name) for row in rows]) for name in names})


def compared(frame: pd.DataFrame) -> pd.DataFrame:
    """What can be compared: without quantizations that only some of the runs with the same size, N and kind have.

    The mean of these runs would differ from that of all by more than quantization costs.
    """
    point = [*KIND, "size", "params", "people"]
    runs = frame.groupby(point, dropna=False)["run_id"].transform("nunique")
    return frame[frame.groupby([*point, "quantization"], dropna=False)["run_id"].transform("nunique") == runs]


def best_over_people(frame: pd.DataFrame) -> pd.DataFrame:
    """The capacity of each size: the largest R over N, as the paper reads it off, for each kind of run.

    One row for each data set, exposures, junk, recipe, size and quantization: `people`, the N where R is largest (as
    a mean over all runs with that N, whatever else they differ in: mostly seeds), that mean as `R`, `low` and `high`
    of those runs, and `bracketed`: whether a smaller and a larger N were tried. Runs without R are left out, and what
    cannot be compared.
    """
    kinds = [*KIND, "params", "size", "quantization"]
    frame = compared(frame).dropna(subset=["bits_per_param"])
    runs = frame.groupby([*kinds, "people"], dropna=False)["bits_per_param"]
    means = runs.agg(R="mean", low="min", high="max").reset_index()
    tried = means.groupby(kinds, dropna=False)["people"]
    means["bracketed"] = (tried.transform("min") < means["people"]) & (means["people"] < tried.transform("max"))
    best = means.loc[means.groupby(kinds, dropna=False)["R"].idxmax().sort_values()]
    return best.reset_index(drop=True)


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame such that equal frames give equal bytes and no reader ever meets half a file.

    Floats keep every digit that tells them apart, so reading them back gives the same floats.
    """
    replace_file(path, frame.to_csv(index=False, lineterminator="\n").encode())


def show(frame: pd.DataFrame, console: Console) -> None:
    """Print one line for each run: its size and data, losses (nats), R with its interval, accuracy, R quantized.

    Data set, junk, recipe and seed have columns only where they vary; the caption names what all runs share.
    """
    if frame.empty:
        console.print("No finished run.")
        return
    alike, partial = _alike(frame), frame.drop(compared(frame).index)["run_id"].nunique()
    if (count := frame["run_id"].nunique()) > MOST_SHOWN:
        console.print(f"{count:,} runs, the last {MOST_SHOWN} of them here:")
        frame = frame[frame["run_id"].isin(frame["run_id"].unique()[-MOST_SHOWN:])]
    widest = console.options.update(max_width=1000)
    loose, tight = (_table(frame, space) for space in (1, 0))
    width = console.width
    if Measurement.get(console, widest, loose).maximum <= width:
        console.print(loose)
    else:  # a terminal too narrow even so wraps the lines; cut numbers would be worse
        console.width = max(width, Measurement.get(console, widest, tight).maximum)
        console.print(tight)
        console.width = width
    console.print(f"{_shared(frame)}Losses in nats; accuracy of values completed.", highlight=False)
    console.print(HOW_TO_READ, highlight=False)
    if frame["quantization"].str.endswith("+embedding").any():
        console.print("rtn: rounded to nearest; +emb: embedding and output head quantized, too.", highlight=False)
    if alike:
        told = "runs differ from another one only in options without a column; figures take the mean of such runs."
        console.print(f"{alike} {told}", highlight=False, soft_wrap=True)
    if partial:
        told = "were measured for some of the seeds with that size and N only: not in the figures."
        console.print(f"Quantized copies of {partial} runs {told}", highlight=False, soft_wrap=True)


def by_precision(quantization: str) -> tuple[float, str]:
    """Sort key of quantizations: "none", then bf16, fp8 and int8, ..., int2; a plain one before its groups."""
    bits = re.search(r"(?:bf|fp|int)([0-9]+)", quantization)
    return (-float(bits[1]) if bits else -math.inf), quantization


def short_number(number: SupportsFloat, digits: int | None = None) -> str:
    """A number with K, M, B or T: 59952 is "60.0K" with three digits, and "59.952K" with as many as it takes."""
    value = float(number)
    # Three digits of 999,900 are 1000 thousands, which the next letter writes as 1.00.
    power = next((power for power in range(4) if abs(value) < 999.5 * 1000**power), 4)
    if digits is None or power == 0:
        return f"{value / 1000**power:g}" + ("", *"KMBT")[power]
    return f"{value / 1000**power:#.{digits}g}".rstrip(".") + "KMBT"[power - 1]


@dataclass(frozen=True)
class _Measured:
    """What a finished run measured."""

    training: str
    """The same for runs that differ in their schemes of quantization alone."""
    taken_over: bool
    """Whether another run did the training."""
    run_id: str
    rows: dict[str, dict[str, Any]]
    """By scheme."""


def _of_trainings(runs: Iterable[_Measured]) -> Iterator[dict[str, Any]]:
    """The rows of all trainings, each under the id of one run."""
    trainings: dict[str, list[_Measured]] = {}
    for run in sorted(runs, key=lambda run: run.taken_over):
        trainings.setdefault(run.training, []).append(run)
    for alike in trainings.values():
        rows = {scheme: row for run in reversed(alike) for scheme, row in run.rows.items()}  # the first run's stay
        yield from (row | {"run_id": alike[0].run_id} for row in rows.values())


def _read_run(folder: str) -> _Measured | None:
    """What a run measured, or None if it is not finished."""
    path = os.path.join(folder, "result.json")
    try:
        with open(path, encoding="utf-8") as file:
            result = json.load(file)
        training, config = folder, dict(result["config"])
        embedding = True
        if "measure" in config:
            embedding = config.pop("measure").get("quantize_embedding", True)
            people = result["rows"][0]["people_measured"]
            training = json.dumps([config, people], sort_keys=True)
        named = [row | {"quantization": _full_name(row["quantization"], embedding)} for row in result["rows"]]
        rows = {row["quantization"]: row for row in named}
        return _Measured(training, "training_of" in result.get("provenance", {}), result["run_id"], rows)
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: not the result of a run ({type(error).__name__}: {error}); delete it to do the run again"
        ) from error


def _full_name(quantization: str, embedding: bool) -> str:
    """The full name of a scheme; older records say int4, and in their options whether with the embedding."""
    scheme = parse_scheme(quantization)
    return str(scheme if embedding or quantization == "none" else scheme._replace(embedding=False))


def _sort_key(row: dict[str, Any]) -> tuple[Any, ...]:
    dataset, junk, recipe, run = (str(row.get(name)) for name in ("dataset", "junk", "recipe", "run_id"))
    params, people, seed = (row.get(name) or 0 for name in ("params", "people", "seed"))
    order = by_precision(str(row.get("quantization")))
    return dataset, row.get("exposures") or 0, _share(junk), recipe, params, people, seed, run, order


@cache
def _share(junk: str) -> tuple[float, str]:
    """Sort key of a share of junk such as "0" or "7/8": its size, then its text."""
    found = re.match(r"([0-9]+\.?[0-9]*)(?:/([1-9][0-9]*))?", junk)
    return (float(found[1]) / float(found[2] or 1) if found else math.inf), junk


def _column(values: list[Any]) -> "pd.Series[Any]":
    """A column with whole numbers kept whole beside missing ones, where pandas would make them floats."""
    present = [value for value in values if value is not None]
    if not present:
        return pd.Series(values, dtype=float)
    if not all(type(value) is int for value in present):
        return pd.Series(values)
    if max(map(abs, present)) >= 2**63:  # the FLOPs of a large run
        return pd.Series(values, dtype=float)
    return pd.Series(values, dtype="int64" if len(present) == len(values) else "Int64")


def _varies(frame: pd.DataFrame, name: str) -> bool:
    return bool(frame[name].nunique(dropna=False) > 1)


def _alike(frame: pd.DataFrame) -> int:
    """How many runs differ from another one only in options that have no column in the printed table."""
    runs = frame.drop_duplicates("run_id")
    return int(runs.duplicated([*KIND, "size", "params", "people", "seed"], keep=False).sum())


def _shared(frame: pd.DataFrame) -> str:
    """What all runs have in common, for the caption."""
    first = frame.iloc[0]
    texts = {
        "dataset": f"data {DATASETS.get(first.dataset, first.dataset)}",
        "junk": f"{'no' if first.junk == '0' else first.junk} junk",
        "recipe": f"recipe {first.recipe}",
    }
    shared = ", ".join(text for name, text in texts.items() if not _varies(frame, name))
    return f"{shared[:1].upper()}{shared[1:]}. " if shared else ""


def _table(frame: pd.DataFrame, space: int) -> Table:
    """One line for each run, columns `space` blanks further apart than the least."""
    runs = frame.drop_duplicates("run_id")  # a run's first row is the one without quantization
    varied = [name for name in ("dataset", "junk", "recipe", "seed") if _varies(frame, name)]
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, space, 0, 0))
    lines: list[list[str]] = []

    def add(header: str, values: Iterable[Any], text: Callable[[Any], str], side: JustifyMethod = "right") -> None:
        table.add_column(header, justify=side, no_wrap=True)
        lines.append(["-" if pd.isna(value) else text(value) for value in values])

    if _alike(frame):  # then only the names of their folders tell them apart
        add("run", runs["run_id"], str, "left")
    if "dataset" in varied:
        add("data", runs["dataset"], lambda name: DATASETS.get(name, name), "left")
    add("size", runs["size"], str, "left")
    add("P", runs["params"], lambda number: short_number(number, 3))
    add("people", runs["people"], lambda N: f"{N:,}" if N < 10**6 else short_number(N))
    add("exposures", runs["exposures"], lambda number: f"{number:,.10g}")
    for name in varied[varied[:1] == ["dataset"] :]:
        add(name, runs[name], str, "left" if name == "recipe" else "right")
    add("loss\nname", runs["loss_name"], "{:.2f}".format)
    add("loss\nvalue", runs["loss_value"], "{:.2f}".format)
    add("R", runs["bits_per_param"], "[bold]{:.2f}[/bold]".format)
    intervals = zip(runs["bits_per_param_low"], runs["bits_per_param_high"], strict=True)
    add("95 %\ninterval", [_interval(low, high) for low, high in intervals], str, "left")
    add("R max", runs["max_bits_per_param"], "{:.2f}".format)
    add("accu-\nracy", runs["qa_accuracy"], "{:.0%}".format)
    if runs["question_accuracy_held_out"].notna().any():
        add("asked", runs["question_accuracy_held_out"], "{:.0%}".format)
    R = frame.pivot_table(index="run_id", columns="quantization", values="bits_per_param", aggfunc="first")
    for scheme in sorted(set(frame["quantization"]) - {"none"}, key=by_precision):
        add(
            "R\n" + scheme.replace("-", "\n").replace("+embedding", "\n+emb"),
            R[scheme].reindex(runs["run_id"]),
            "{:.2f}".format,
        )
    for line in zip(*lines, strict=True):
        table.add_row(*line)
    return table


def _interval(low: float, high: float) -> str | None:
    return None if pd.isna(low) or pd.isna(high) else f"[dim]{low:.2f}–{high:.2f}[/dim]"
