"""A data set on disk: one row a person and text, for pandas, `datasets.load_dataset` and `python -m eval`.

In: a `DataConfig` and how many texts a person, or that the texts are those that a model is measured on. Out: a folder
with data.parquet (and junk.parquet, questions.parquet where they are configured), the pools, the tokenizer,
config.yaml, a data set card, and tasks for lm-evaluation-harness. What options only name, such as a bank, is copied
into its folder `carried`.

config.yaml is the mark of a data set: it is written first, and only a folder that has it is written again.
"""

import copy
import itertools
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pydantic import ValidationError

from basis.files import replace_file
from basis.folders import contents, refuse_links
from basis.reading import open_file, read_file, read_json
from basis.yaml_text import UserError, read_yaml
from biogen.config import EVALUATION, DataConfig, trained_on_questions
from biogen.dataset import Dataset, fingerprint, make_dataset, special_tokens
from biogen.lm_eval import task_name, write_tasks
from biogen.population import draw

_BLOCK = 4096
_MARK, _CARD = "config.yaml", "README.md"
_FOLDERS = _POOLS, _TOKENIZER = "pools", "tokenizer"
_TASKS = "lm_eval"
_CARRIED = "carried"
_TABLES = _DATA, _JUNK, _QUESTIONS = "data.parquet", "junk.parquet", "questions.parquet"
_SPANS = pa.list_(pa.struct([("role", pa.string()), ("start", pa.int32()), ("end", pa.int32())]))


def texts_each(dataset: Dataset, texts: int | None) -> int:
    """The number of texts for each person on disk: the number given, or the data set's, or one."""
    return texts or dataset.texts or 1


def write_dataset(config: DataConfig, texts: int | None, out: Path, *, measured: bool = False) -> int:
    """Write the folder, or write it again if it holds this data set; returns the number of biographies.

    measured: the one text a person that every measurement reads, and no junk.

    Raises ValueError for options that the data set cannot meet, for junk and new people that take more names than there
    are, for a folder that holds anything else, such as another data set, and for links in it that lead out of it.
    """
    if measured and texts not in (None, 1):
        raise ValueError(f"texts: {texts} is not allowed; a model is measured on one text a person")
    dataset = make_dataset(config)
    if not dataset.known_bits:
        raise ValueError(f"dataset: {config.dataset} is not written to a folder; must be a data set about people")
    exposures = range(EVALUATION, EVALUATION + 1) if measured else range(texts_each(dataset, texts))
    count = len(exposures)
    junk = 0 if measured else int(config.junk / (1 - config.junk) * config.people * count)
    config.check_population(count)
    config.check_junk(junk, count)
    options = {"data": config.model_dump(mode="json"), "texts": texts} | ({"for": "evaluation"} if measured else {})
    carried = dataset.carried(config)
    options |= {_CARRIED: {option: f"{_CARRIED}/{option}" for option in carried}} if carried else {}
    _begin(out, options | {"fingerprint": fingerprint(dataset)})
    _carry(carried, out / _CARRIED)
    in_turn = measured or config.population == "fixed"
    useful = _biographies(dataset, range(config.people), exposures) if in_turn else _drawn(dataset, exposures)
    _write(out / _DATA, useful)
    if junk:
        people = range(config.people, config.people + min(junk, config.junk_people or junk))
        rounds = -(-junk // len(people))
        _write(out / _JUNK, itertools.islice(_biographies(dataset, people, range(rounds)), junk))
    if dataset.questions:
        _write(out / _QUESTIONS, _questions(dataset, exposures.start))
    _write_pools(dataset, out / _POOLS)
    dataset.tokenizer.save_pretrained(out / _TOKENIZER)
    write_tasks(dataset, out / _TASKS)
    (out / _CARD).write_text(_describe(dataset, count, measured), encoding="utf-8")
    return config.people * count


def _begin(out: Path, options: dict[str, Any]) -> None:
    """Make the folder with its mark, or remove the tables of an earlier copy of the same data set.

    options: what the mark says. Raises ValueError if the folder holds anything else.
    """
    mark = out / _MARK
    if os.path.lexists(mark):
        refuse_links(out, *_FOLDERS, *_TABLES, _CARD, _MARK, _CARRIED, _TASKS)
        if not _is_of(mark, options):
            raise ValueError(f"out: {out} holds another data set; give a new folder, or remove that one")
    elif found := contents(out):
        raise ValueError(
            f"out: {out} holds something else than a data set ({found[0]}, and no {_MARK}); give a new folder, or "
            "that of a data set"
        )
    out.mkdir(parents=True, exist_ok=True)
    replace_file(mark, yaml.safe_dump(options, sort_keys=False).encode())
    for name in _FOLDERS:
        (out / name).mkdir(exist_ok=True)
    for name in _TABLES:
        (out / name).unlink(missing_ok=True)


def _is_of(file: Path, options: dict[str, Any]) -> bool:
    """Whether a config.yaml is of this data set; options that it does not have are at their defaults."""
    try:
        stored = read_yaml(file)
        stored.setdefault("fingerprint", options["fingerprint"])  # earlier versions wrote none
        return stored | {"data": DataConfig.model_validate(stored["data"]).model_dump(mode="json")} == options
    except (UserError, ValidationError, KeyError, TypeError):
        return False


def _carry(carried: Mapping[str, Mapping[str, Path]], folder: Path) -> None:
    """Copy the files of each option to a folder of its name."""
    shutil.rmtree(folder, ignore_errors=True)
    for option, files in carried.items():
        copy_files(files, folder / option)


def copy_files(files: Mapping[str, Path], folder: Path) -> None:
    """Copy files to a folder, by their names there. Raises OSError."""
    for name, path in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with open_file(path) as source, (folder / name).open("wb") as target:
            shutil.copyfileobj(source, target)


def read_carried(folder: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the data in a folder's config.yaml, with the folder's own copies of what they name.

    content: what the file holds. Raises ValueError for a place of a copy that is not in the folder.
    """
    data = copy.deepcopy(content["data"])
    carried = content.get(_CARRIED)
    for option in carried if isinstance(carried, dict) else ():
        *sections, name = str(option).split(".")
        place: Any = data
        for section in sections:
            place = place.get(section) if isinstance(place, dict) else None
        if not isinstance(place, dict) or name not in place or ".." in Path(str(option)).parts or "/" in str(option):
            raise ValueError(f"data: {folder / _MARK}: {_CARRIED}: {option!r:.100} is not an option that it gives")
        place[name] = str(folder / _CARRIED / str(option))
    return dict(data)


def check_unchanged(folder: Path, dataset: Dataset) -> None:
    """See that a folder's config.yaml still makes what it made when the folder was written, where the folder tells.

    folder: a data set, or a run, whose result.json has the fingerprint. What a tokenizer's name stands for may have
    changed, or the pools of another version of this project. Pools that were edited in the folder are read by nothing.
    Raises ValueError.
    """
    stored = _stored_fingerprint(folder)
    changed = [name for name, found in fingerprint(dataset).items() if stored.get(name, found) != found]
    if changed:
        what = "its pools and sentences are" if "texts" in changed else f"tokenizer {dataset.config.tokenizer!r} is"
        raise ValueError(f"data: {folder} was written from others: {what} not what they were; write it anew")
    for name, lines in dataset.pool_files().items():
        file = folder / _POOLS / name
        if file.is_file() and not _holds(file, lines):
            raise ValueError(f"data: {file} is not what {_MARK} makes; people are made by {_MARK} alone")


def _holds(file: Path, lines: list[str]) -> bool:
    """Whether a file has these lines; one that is larger has not."""
    content = "".join(f"{line}\n" for line in lines).encode()
    with suppress(ValueError):
        return read_file(file, len(content)) == content
    return False


def _stored_fingerprint(folder: Path) -> dict[str, Any]:
    """The fingerprint of a data set or a run; empty where there is none."""
    for name in (_MARK, "result.json"):
        with suppress(OSError, UserError, ValueError, AttributeError):
            found = (read_yaml if name == _MARK else read_json)(folder / name).get("fingerprint")
            if isinstance(found, dict):
                return found
    return {}


def _biographies(dataset: Dataset, people: range, exposures: range) -> Iterator[dict[str, Any]]:
    """One row a person and text, all people's first texts first."""
    for exposure in exposures:
        for first in range(people.start, people.stop, _BLOCK):
            yield from _rows(dataset, np.arange(first, min(first + _BLOCK, people.stop)), exposure)


def _drawn(dataset: Dataset, exposures: range) -> Iterator[dict[str, Any]]:
    """One row a text, about the people whom a training reads about, in its order."""
    people = dataset.config.people
    for exposure in exposures:
        for first in range(0, people, _BLOCK):
            yield from _rows(dataset, *draw(dataset.config, first, min(_BLOCK, people - first), exposure))


def _rows(dataset: Dataset, index: np.ndarray, number: int | np.ndarray) -> Iterator[dict[str, Any]]:
    """A row for each text: who it is about, its characters and spans."""
    names = dataset.role_names
    for person, values, row in zip(index, dataset.describe(index), dataset.outlines(index, number), strict=True):
        text, spans = dataset.pieces.render(row)
        marked = [{"role": names[span.role], "start": span.start, "end": span.end} for span in spans]
        yield {"person": int(person), **values, "text": text, "spans": marked}


def _questions(dataset: Dataset, exposure: int) -> Iterator[dict[str, Any]]:
    """Every attribute of every person, asked once; `trained` says whose questions a training mixes in."""
    border = trained_on_questions(dataset.config.people)
    slots = dataset.question_answer_slots()
    for first in range(0, dataset.config.people, _BLOCK):
        index = np.arange(first, min(first + _BLOCK, dataset.config.people))
        by_attribute = [dataset.question_outlines(index, exposure, number) for number in range(len(dataset.questions))]
        for i, person in enumerate(index):
            for attribute, outlines in zip(dataset.questions, by_attribute, strict=True):
                yield {
                    "person": int(person),
                    "attribute": attribute,
                    "question": dataset.pieces.render(outlines[i, : slots.start])[0],
                    "answer": dataset.pieces.render(outlines[i, slots])[0].strip(),
                    "trained": bool(person < border),
                }


def _write(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    """Write a table under a temporary name, then rename it: `path` is whole, or not there. No rows make no table."""
    temporary, writer = path.with_name(f".{path.name}.tmp"), None
    temporary.unlink(missing_ok=True)
    try:
        while block := list(itertools.islice(rows, _BLOCK)):
            table = pa.Table.from_pylist(block, schema=_schema(block[0]))
            writer = writer or pq.ParquetWriter(temporary, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _schema(row: dict[str, Any]) -> pa.Schema | None:
    """The types of a table with spans; None where pyarrow finds them."""
    if "spans" not in row:
        return None
    return pa.schema(
        [(key, _SPANS if key == "spans" else pa.int64() if key == "person" else pa.string()) for key in row]
    )


def _write_pools(dataset: Dataset, folder: Path) -> None:
    """Write the pools that the data are drawn from, an entry a line."""
    for name, lines in dataset.pool_files().items():
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _describe(dataset: Dataset, texts: int, measured: bool) -> str:
    config = dataset.config
    header = {
        "license": "apache-2.0",
        **({"language": list(dataset.languages)} if dataset.languages and not dataset.carried(config) else {}),
        "tags": ["synthetic", "knowledge-capacity"],
        "configs": [{"config_name": "default", "data_files": _DATA}],
    }
    before = " and ".join(f"`{token}`" for token in special_tokens(config))
    all_texts, more = config.people * texts, 10 * max(10, texts)
    if config.population == "fixed" or measured:
        size = f"{config.people:,} people, {texts} {'text' if texts == 1 else 'texts'} each"
    elif config.population == "fresh":
        size = f"{all_texts:,} people, 1 text each"
    else:
        size = f"{all_texts:,} texts about {config.people:,} people, rank i with probability ∝ i^-{config.zipf}"
    lines = [
        "---",
        yaml.safe_dump(header, sort_keys=False).strip(),
        "---",
        f"# {dataset.title}: {size}",
        "",
        "Synthetic people whose names and attributes are drawn uniformly and independently, so that the information",
        "in them is known exactly: made for measuring how many bits a language model stores, after Allen-Zhu and Li,",
        '"Physics of Language Models: Part 3.3, Knowledge Capacity Scaling Laws" (arXiv 2404.05405). Nobody is real.',
        "",
        f"- N0, possible names: {dataset.names:,}",
        f"- {dataset.card()}",
        "- `spans`: where in `text` (characters) the name and the values stand, by role, with the space before each",
        *(
            [f"- These are the texts that a model is measured on, each behind {before}: train on none."]
            if measured
            else []
        ),
        "- `config.yaml`: every option of the generator; the same options make the same bytes",
        *([] if measured else [f"- `biogen --config config.yaml --texts {more} --out more` writes more about them"]),
        "- `tokenizer/`: a Hugging Face tokenizer reduced to the tokens that occur",
        f"- `lm_eval/`: tasks for lm-evaluation-harness, such as {task_name(config)}, on the texts that are measured",
        "",
    ]
    return "\n".join(lines)
