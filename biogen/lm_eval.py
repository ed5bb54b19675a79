"""Tasks for lm-evaluation-harness: what `capacity eval` asks about a data set, for any model that the harness reads.

In: a data set, and a folder. Out, in the folder: the documents as JSON lines, tasks and groups of tasks as YAML, and
`documents.py`, which finds the documents beside it, as the harness looks for files in the working directory alone.

The documents are the texts and questions that every measurement reads, about the same people. A value counts as right
if each of its tokens is the likeliest one, so a group's `acc` is `qa_accuracy`, or `question_accuracy_*`, of a record.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from biogen.config import EVALUATION, DataConfig
from biogen.dataset import Dataset
from biogen.population import MOST_MEASURED, asked_people, measured_people

_BLOCK = 4096
_COMMON = "common"
"""What all tasks share; a file without `.yaml` is no task."""
_LOADER = '''"""Loads the documents beside this file, wherever the folder is."""

import json
from pathlib import Path

from datasets import Dataset, DatasetDict


def load(documents, **_):
    with Path(__file__).with_name(documents).open(encoding="utf-8") as file:
        return DatasetDict({"test": Dataset.from_list([json.loads(line) for line in file])})
'''


@dataclass(frozen=True)
class _Group:
    """Tasks that share their documents, one for each attribute, and the mean of some of them."""

    documents: str
    """The name of the file, without its ending."""
    attributes: tuple[str, ...]
    in_mean: tuple[str, ...]
    before: str
    """The template of what a model is given, with a place for the attribute."""
    value: str
    """The template of what it has to say."""


def task_name(config: DataConfig) -> str:
    """The name of the group of all completions, such as bios_n1000, with which all names of tasks begin."""
    return f"{_word(config.dataset)}_n{config.people}"


def write_tasks(dataset: Dataset, folder: Path) -> None:
    """Write the tasks of a data set to a folder, made if need be: `task_name` and, with questions mixed in, its halves.

    At most `MOST_MEASURED` people are asked about, so the folder of a large data set stays small. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "documents.py").write_text(_LOADER, encoding="utf-8")
    index = measured_people(dataset.config, MOST_MEASURED)
    _write_lines(folder / "completion.jsonl", _completions(dataset, index))
    asked = tuple(dataset.qa_roles)
    counted = tuple(name for name in asked if name in dataset.value_roles)
    text = ("{{{{text[:start[{0!r}]]}}}}", "{{{{text[start[{0!r}]:end[{0!r}]]}}}}")
    groups = [_Group("completion", asked, counted, *text)]
    for half, index in asked_people(dataset.config.people).items() if dataset.config.questions == "half" else ():
        _write_lines(folder / f"questions_{half}.jsonl", _questions(dataset, index))
        asked = dataset.questions
        groups.append(_Group(f"questions_{half}", asked, asked, "{{{{question[{0!r}]}}}}", "{{{{answer[{0!r}]}}}}"))
    _write_common(folder, beginning(dataset))
    for group in groups:
        _write_group(folder, task_name(dataset.config), group, "".join(dataset.tokenizer.special[1:]))


def _write_common(folder: Path, beginning: str) -> None:
    """What all tasks share."""
    common = {
        "output_type": "loglikelihood",
        "test_split": "test",
        "num_fewshot": 0,
        "description": beginning,
        "target_delimiter": "",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0},
    }
    written = yaml.safe_dump(common, sort_keys=False) + "custom_dataset: !function documents.load\n"
    (folder / _COMMON).write_text(written, encoding="utf-8")


def _write_group(folder: Path, name: str, group: _Group, domain: str) -> None:
    """The tasks of a group, the group, and the group for tokenizers that begin a text themselves.

    domain: the domain token, which follows even then; empty if there is none.
    """
    title = name if group.documents == "completion" else f"{name}_{group.documents}"
    for attribute in group.attributes:
        task = {
            "include": _COMMON,
            "task": f"{title}_{_word(attribute)}",
            "dataset_kwargs": {"documents": f"{group.documents}.jsonl"},
            "doc_to_text": group.before.format(attribute),
            "doc_to_target": group.value.format(attribute),
        }
        _write_yaml(folder / f"{group.documents}_{_word(attribute)}.yaml", task)
    mean: dict[str, Any] = {
        "task": [f"{title}_{_word(attribute)}" for attribute in group.in_mean],
        "aggregate_metric_list": [{"metric": "acc", "weight_by_size": False}],
        "metadata": {"version": 1.0},
    }
    _write_yaml(folder / f"{group.documents}.yaml", {"group": title} | mean)
    _write_yaml(folder / f"{group.documents}_bos.yaml", {"group": f"{title}_bos"} | mean | {"description": domain})


def _completions(dataset: Dataset, index: np.ndarray) -> Iterator[dict[str, Any]]:
    """The text about each person, and where each value stands in it, with the space before."""
    for first in range(0, len(index), _BLOCK):
        part = index[first : first + _BLOCK]
        for person, outline in zip(part.tolist(), dataset.outlines(part, EVALUATION), strict=True):
            text, spans = dataset.pieces.render(outline)
            own = {name: [s for s in spans if s.role in roles] for name, roles in dataset.qa_roles.items()}
            start = {name: found[0].start for name, found in own.items()}
            yield {"person": person, "text": text, "start": start, "end": {k: s[-1].end for k, s in own.items()}}


def _questions(dataset: Dataset, index: np.ndarray) -> Iterator[dict[str, Any]]:
    """The question about each attribute of each person, and its answer up to the full stop."""
    border, render = dataset.question_answer_slots().start, dataset.pieces.render
    outlines = [dataset.question_outlines(index, EVALUATION, number) for number in range(len(dataset.questions))]
    for person, rows in zip(index.tolist(), zip(*outlines, strict=True), strict=True):
        asked = dict(zip(dataset.questions, rows, strict=True))
        yield {
            "person": person,
            "question": {name: render(row[:border])[0] for name, row in asked.items()},
            "answer": {name: render(row[border:])[0] for name, row in asked.items()},
        }


def beginning(dataset: Dataset) -> str:
    """The special tokens before every text, and a space if the text needs one to keep the tokens that it has alone."""
    tokenizer, text = dataset.tokenizer, dataset.covering_texts()[0]
    special = "".join(tokenizer.special)
    wanted = [*range(len(tokenizer.special)), *tokenizer.encode(text)]
    return next((before for before in (special, f"{special} ") if tokenizer.encode(before + text) == wanted), special)


def _word(name: str) -> str:
    """A name in letters, digits and underscores."""
    return re.sub(r"\W+", "_", name)


def _write_yaml(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write JSON lines under a temporary name, then rename it: `path` is whole, or as it was."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
