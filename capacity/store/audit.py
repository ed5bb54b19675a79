"""What is wrong with published records: every number that follows from others is computed again.

In: a folder of published results. Out: a line for each failure, with file, run and field. Ids follow from
configurations; P from the architecture, the size and the vocabulary; bits and R from the losses; commits are looked for
in the history of the checkout, where there is one.
"""

import json
import math
import os
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from basis.folders import changed_files
from basis.reading import read_json
from biogen.config import DataConfig
from biogen.dataset import Dataset, make_dataset
from capacity.spec.config import RunConfig
from capacity.spec.identity import run_id
from capacity.store.folders import WEIGHTS
from capacity.store.parquet import RECORDS
from capacity.store.record import Record
from capacity.store.sources import records_in
from eval.proof.record import AGREEMENT, ENDS
from train.architectures.causal_lm import CausalLM, outline
from train.sizes import parse_size

PROOFS = {"float32": "proof.json", "int8": "proof-int8.json"}
"""The proof of each kind of weights, in the folder of a run's weights."""
_EXACT = 1e-9
_PROJECT = Path(__file__).resolve().parents[2]

Finding = tuple[str, Any, Any]
"""A field, what it holds, and what it must be."""


def wrong_in(folder: Path) -> list[str]:
    """A line for each failure in a folder of published results."""
    lines: list[str] = []
    records: dict[str, Record] = {}
    for _, record in records_in(folder, lines.append):
        run = record["run_id"]
        records[run] = record
        lines += [_line(folder / RECORDS, run, finding) for finding in wrong_in_record(record)]
    for path in sorted(folder.glob(f"{WEIGHTS}/*")):
        found = records.get(path.name)
        wrong = wrong_in_weights(path, found) if found else [("run_id", path.name, f"a run of {folder / RECORDS}")]
        lines += [_line(path, path.name, finding) for finding in wrong]
    return lines


def wrong_in_record(record: Record) -> Iterator[Finding]:
    """What is wrong with the record of a run."""
    run = record["run_id"]
    try:
        config = RunConfig.model_validate(record["config"])
    except ValueError as error:
        yield "config", " ".join(str(error).split())[:200], "the configuration of a run"
        return
    if run_id(config) != run:
        yield "run_id", run, run_id(config)
    made = record["provenance"]
    for part in (made, *(one for one in made.get("parts", ()) if isinstance(one, dict))):
        yield from _wrong_commit(part.get("commit"))
    for row in record["rows"]:
        scheme = f" of {row['quantization']}" if row["quantization"] != "none" else ""
        for field, found, wanted in _wrong_in_row(row, config, run):
            yield field + scheme, found, wanted


def wrong_in_weights(folder: Path, record: Record) -> Iterator[Finding]:
    """What is wrong with the weights that are kept of a run, and with their proofs."""
    rows = {row["quantization"]: row for row in record["rows"]}
    for weights, name in PROOFS.items():
        try:
            proof = read_json(folder / name)
            files, R, bits = proof["files"], float(proof["bits_per_param"]), float(proof["bits"])
            parts = proof["bits_name"] + proof["bits_value"] + proof["bits_value_set"]
            code = proof["code_bits_name"] + proof["code_bits_value"]
            differs = not agree(float(proof["code_bits"]), float(proof["estimated_bits"]))
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            yield name, f"{type(error).__name__}: {error}", "the proof of a run"
            continue
        for file in changed_files(folder / "model", files):
            yield f"{name}: files", file, "the file that was proved"
        exact = {"code_bits": code, "bits": parts, "bits_per_param": bits / rows["none"]["params"]}
        yield from _different(proof, {"params": rows["none"]["params"], **exact}, f"{name}: ")
        if differs:
            yield f"{name}: code_bits", proof["code_bits"], f"within {AGREEMENT:.1%} of {proof['estimated_bits']:.0f}"
        measured = rows.get("none" if weights == "float32" else "rtn-int8+embedding")
        if measured and not agree(R * measured["params"], float(measured["bits"])):
            yield f"{name}: bits_per_param", R, f"within {AGREEMENT:.1%} of {measured['bits_per_param']}"


def agree(code: float, measured: float) -> bool:
    """Whether bits of a code are those that were measured, but for the ends of two codes."""
    return abs(code - measured) <= AGREEMENT * measured + ENDS


def _wrong_in_row(row: Mapping[str, Any], config: RunConfig, run: str) -> Iterator[Finding]:
    data = config.data
    given = {"run_id": run, "size": config.size, "dataset": data.dataset, "people": data.people, "seed": data.seed}
    given |= {"exposures": config.exposures} if config.budget is None else {"tokens": config.budget}
    yield from _different(row, given)
    yield from _wrong_params(row, config)
    dataset = _dataset_of(data)
    if not dataset.known_bits:
        return
    values = [row.get(f"loss_value_{name}") for name in dataset.value_roles]
    if None not in values:
        each = {name: np.array([float(value or 0)]) for name, value in zip(dataset.value_roles, values, strict=True)}
        (p2,) = dataset.value_loss(each).tolist()
        yield from _different(row, {"loss_value": p2}, tolerance=1e-6)
    losses = [row.get(name) for name in ("loss_name", "loss_value", "loss_value1")]
    if losses[0] is None or losses[1] is None:
        yield "loss_name", losses[0], "a loss"
        return
    p1, p2, p3 = (0.0 if loss is None else float(loss) for loss in losses)
    try:
        bits, most, least = dataset.bits(p1, p2, p3), dataset.max_bits(), dataset.lower_bound(p1, p2, p3)
    except ValueError as error:
        yield "loss_name", p1, str(error)
        return
    parts = {"bits_name": bits.name, "bits_value": bits.value, "bits_value_set": bits.value_set}
    totals = {"bits": bits.total, "max_bits": most.total, "bits_lower_bound": least.total}
    each_param = {"bits_per_param": bits.total / row["params"], "max_bits_per_param": most.total / row["params"]}
    stored = {"bits_per_stored_bit": bits.total / row["stored_bits"]} if row.get("stored_bits") else {}
    optional = {name: value for name, value in (parts | stored).items() if row.get(name) is not None}
    yield from _different(row, totals | each_param | optional)
    low, high = row.get("bits_per_param_low"), row.get("bits_per_param_high")
    if low is not None and high is not None and not 0 <= low <= high <= each_param["max_bits_per_param"] * 1.01:
        yield "bits_per_param_low", (low, high), "an interval below R max"


def _wrong_params(row: Mapping[str, Any], config: RunConfig) -> Iterator[Finding]:
    try:
        options = json.dumps(dict(config.model.options), sort_keys=True)
        counts = _model(config.model.architecture, config.size, row["vocab"], options).parameter_counts()
    except (ValueError, LookupError, TypeError) as error:
        yield "vocab", row.get("vocab"), f"that of a model ({error})"
        return
    groups = {f"params_{group}": count for group, count in counts.items() if f"params_{group}" in row}
    yield from _different(row, {"params": sum(counts.values()), **groups})


@cache
def _model(architecture: str, size: str, vocab: int, options: str) -> CausalLM:
    return outline(architecture, parse_size(size), vocab, json.loads(options))


def _dataset_of(data: DataConfig) -> Dataset:
    """A data set that knows its bits, though not its people: that of a few others, with the options in their place."""
    few = data.model_copy(update={"seed": 0, "people": min(data.people, 20)})
    dataset = _made(few.model_dump_json())
    dataset.config = data
    return dataset


@cache
def _made(data: str) -> Dataset:
    return make_dataset(DataConfig.model_validate_json(data))


def _different(
    row: Mapping[str, Any], wanted: Mapping[str, Any], where: str = "", tolerance: float = _EXACT
) -> Iterator[Finding]:
    for name, value in wanted.items():
        found = row.get(name)
        if isinstance(found, int | float) and isinstance(value, int | float):
            same = math.isclose(found, value, rel_tol=tolerance, abs_tol=1e-9)
        else:
            same = found == value
        if not same:
            yield where + name, found, value


def _wrong_commit(commit: Any) -> Iterator[Finding]:
    """A commit that the history does not have, or a tree with changes; nothing where there is no history."""
    if commit is None or (history := _history()) is None:
        return
    if str(commit).endswith("+"):
        yield "commit", commit, "a commit without changes"
    elif len(str(commit)) < 7 or not any(known.startswith(str(commit)) for known in history.get(str(commit)[:7], ())):
        yield "commit", commit, "in the history"


@cache
def _history() -> dict[str, list[str]] | None:
    """All commits by their first seven letters; None without a whole history of this project."""
    if not (_PROJECT / ".git").exists() or _git("rev-parse", "--is-shallow-repository") != "false":
        return None
    found: dict[str, list[str]] = {}
    for commit in _git("rev-list", "--all").split():
        found.setdefault(commit[:7], []).append(commit)
    return found or None


def _git(*arguments: str) -> str:
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(["git", *arguments], cwd=_PROJECT, env=own, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _line(path: Path, run: str, finding: Finding) -> str:
    field, found, wanted = finding
    return f"{path}: {run}: {field}: {found!r} is not what follows from its record; must be {wanted!r}"
