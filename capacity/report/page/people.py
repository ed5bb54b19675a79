"""People with their texts, and what models complete of each, for the page.

In: the folders of sweeps, the runs, and how many people. Out: values of JSON, and why there are none. Weights are only
read; a run's id and numbers do not depend on any of this.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from basis.text import printable, short
from biogen.datasets import DATASETS
from biogen.pieces import Role
from capacity.store.trained import TrainedRun, model_folder, open_run, result_files
from eval.completion import CompletedText
from train.export import CONFIG

PEOPLE = 50
"""People of a run whose texts are shown, by default."""
MOST_RUNS = 4
"""Runs whose models are asked, unless some are named."""
MOST_PARAMS = 50_000_000
"""Parameters of a model that is asked without being named: larger ones take minutes."""
_SEED = 0


@dataclass(frozen=True)
class Asked:
    """Which models are asked, and about how many people."""

    people: int = PEOPLE
    """People of a run; 0: none."""
    runs: tuple[str, ...] = ()
    """Ids of runs; none: that with most bits of each data set and number of exposures, `MOST_RUNS` at most."""


def people_of(runs: pd.DataFrame, folders: Sequence[Path], asked: Asked) -> dict[str, Any]:
    """The people of some runs, and a sentence if there are none or if some are missing.

    Raises ValueError for a named run that is not there or has no model.
    """
    if not asked.people:
        return {"runs": [], "why": "No model was asked for this page."}
    where = {run: folder for folder in reversed(folders) for run in _with_models(folder)}
    if missing := [run for run in asked.runs if run not in where]:
        raise ValueError(f"ask: {missing[0]!r} is no finished run with its model; must be the id of one")
    chosen = list(asked.runs) or _choose(runs, set(where))
    found, lines = [], []
    for run in chosen:
        try:
            trained = open_run(where[run], run)
            people = _people(trained, min(asked.people, trained.config.data.people))
        except (ValueError, OSError) as error:  # such as weights that have changed
            if asked.runs:
                raise
            lines.append(f"{run}: {short(printable(error))}")
            continue
        place = int(runs.index[runs["run_id"] == run][0]) if (runs["run_id"] == run).any() else None
        found.append({"id": run, "place": place, "of": trained.config.data.people, "people": people})
    return {"runs": found, "why": "; ".join(lines) or ("" if found else _why_none(runs, bool(where)))}


def _with_models(folder: Path) -> list[str]:
    """The finished runs of a folder that have their weights."""
    return [file.parent.name for file in result_files(folder) if (model_folder(file.parent) / CONFIG).is_file()]


def _choose(runs: pd.DataFrame, there: set[str]) -> list[str]:
    """The run of each data set and number of exposures that has learned the most bits."""
    known = runs["dataset"].map(lambda name: _known(str(name)))
    small = runs["params"] <= MOST_PARAMS
    rows = runs[runs["run_id"].isin(there) & small & runs["qa_accuracy"].notna() & known]
    best = rows.sort_values("bits", ascending=False).drop_duplicates(["dataset", "exposures"])
    return list(map(str, best["run_id"].head(MOST_RUNS)))


def _known(dataset: str) -> bool:
    return dataset in DATASETS.names and DATASETS[dataset].known_bits


def _why_none(runs: pd.DataFrame, weights: bool) -> str:
    if not any(_known(str(name)) for name in runs["dataset"]):
        return "These runs are on texts about which nothing is asked."
    if not weights:
        return (
            "The weights of these runs are not in the folders of this page, so no model could be asked. "
            "Run one again with its command, and make the page from that folder."
        )
    return "No model of a size that is asked without its name; `--ask RUN` names one."


def _people(run: TrainedRun, people: int) -> list[dict[str, Any]]:
    """People at random, with their names, texts and the model's completions."""
    return [_person(text, _name(run, text.person)) for text in run.complete(people, _SEED)]


def _name(run: TrainedRun, person: int) -> str:
    """A person's name in words, as in the person's first text."""
    (outline,) = run.dataset.outlines(np.array([person]), 0)
    text, spans = run.dataset.pieces.render(outline)
    return " ".join(text[span.start : span.end].strip() for span in spans if span.role == Role.NAME)


def _person(text: CompletedText, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "text": text.text,
        "values": [
            {"attribute": value.attribute.replace("_", " "), "start": value.start, "end": value.end}
            | {"said": value.said, "right": value.right}
            for value in text.values
        ],
    }
