"""A folder of texts about people that a language model has written: `python -m biogen rewrite` fills it.

In: the folder. Out: who the people are, and for each the accepted texts with the places of their facts. Every text is
checked again when it is read, so that a folder may come from anyone.

    config.yaml      the people: options of bioS; the bank, if there is one, is in the folder `bank`
    texts.jsonl      an accepted text a line: {"person": 0, "text": "...", "by": "the model"}
    rejected.jsonl   a rejected one a line, with the reason
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from basis.mistakes import explain
from basis.reading import open_file, parse_json
from basis.text import printable, shown
from basis.yaml_text import UserError, read_yaml
from biogen.bank import bank_files, read_bank
from biogen.config import DataConfig
from biogen.facts import FactChecker, Marked, Rejected
from biogen.people import Person, describe
from biogen.pools import Pools, load_pools

MARK, TEXTS, REJECTED, BANK = "config.yaml", "texts.jsonl", "rejected.jsonl", "bank"
MOST_LINE = 1 << 16
"""Bytes of a line of texts.jsonl, at most."""
_PEOPLE = ("people", "seed", "bank", "pools", "locale", "templates")
"""The options of bioS that say who the people are, and what is to be rewritten."""


@dataclass(frozen=True)
class People:
    """Whom the texts of a folder are about."""

    config: DataConfig
    """The options of bioS."""
    pools: Pools

    def describe(self, index: np.ndarray) -> list[Person]:
        """The people in words."""
        return describe(self.config.seed, self.config.pools, self.pools, index)


@dataclass(frozen=True)
class PersonsTexts:
    """The accepted texts about a person: the first that is fit to measure is kept for it, all others are trained on."""

    training: list[Marked]
    measured: Marked | None

    @property
    def complete(self) -> bool:
        """Whether there is a text to measure and one to train on."""
        return self.measured is not None and len(self.training) > 0


def people_options(config: DataConfig) -> dict[str, Any]:
    """What config.yaml says about the people."""
    return config.model_dump(mode="json", include=set(_PEOPLE))


def read_people(folder: str) -> People:
    """Whom a folder's texts are about. Raises ValueError."""
    file = Path(folder) / MARK
    try:
        state = file.stat()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(
            f"dataset_options.texts: {printable(file)} cannot be read ({reason}); must be of `biogen rewrite`"
        ) from None
    return _read_people(folder, (state.st_mtime_ns, state.st_size, *_state(Path(folder) / BANK)))


def read_texts(folder: str) -> list[PersonsTexts]:
    """The texts of a folder about each of its people. Raises ValueError with the number of a line that is no good."""
    people, file = read_people(folder), Path(folder) / TEXTS
    state = file.stat() if file.is_file() else None
    return _read_texts(folder, people.config.model_dump_json(), state and (state.st_mtime_ns, state.st_size))


def people_with_texts(folder: str) -> int:
    """How many people, from the first one on, have a text to measure and one to train on. Raises ValueError."""
    texts = read_texts(folder)
    return next((person for person, of_person in enumerate(texts) if not of_person.complete), len(texts))


def folder_files(folder: str) -> dict[str, Path]:
    """The paths of the files that a data set needs, by their names in the folder."""
    files = {name: Path(folder) / name for name in (MARK, TEXTS)}
    bank = Path(folder) / BANK
    return files | ({f"{BANK}/{name}": path for name, path in bank_files(str(bank)).items()} if bank.is_dir() else {})


def read_lines(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The records of a file, with the numbers of their lines; a last line without an end is that of an interrupt.

    Raises OSError, and ValueError for another file.
    """
    with open_file(file) as opened:
        number = 0
        while line := opened.readline(MOST_LINE + 1):
            number += 1
            if len(line) > MOST_LINE:
                raise ValueError(f"line {number}: is longer than {MOST_LINE:,} bytes")
            if not line.endswith(b"\n"):
                return
            try:
                record = parse_json(line)
            except ValueError:
                raise ValueError(f"line {number}: is not JSON in UTF-8") from None
            if not isinstance(record, dict):
                raise ValueError(f"line {number}: {shown(record)} is not allowed; must be a mapping")
            yield number, record


def _state(folder: Path) -> tuple[int, ...]:
    """What tells that the files of a bank have changed."""
    paths = sorted(folder.rglob("*")) if folder.is_dir() else []
    return tuple(number for path in paths for number in (path.lstat().st_mtime_ns, path.lstat().st_size))


@lru_cache(maxsize=4)
def _read_people(folder: str, _: tuple[int, ...]) -> People:
    file = Path(folder) / MARK
    try:
        options = read_yaml(file).get("people_of")
        if not isinstance(options, dict) or not options.keys() <= set(_PEOPLE):
            raise ValueError(f"dataset_options.texts: {printable(file)} is not allowed; must be of `biogen rewrite`")
        if options.get("bank") is not None:
            options = options | {"bank": str(Path(folder) / BANK)}
        config = DataConfig.model_validate(options)
    except UserError as error:
        raise ValueError(f"dataset_options.texts: {error}") from None
    except ValidationError as error:
        raise ValueError(
            "\n".join(f"dataset_options.texts: {file}: {line}" for line in explain(error, DataConfig))
        ) from None
    return People(config, load_pools(config.pools, config.locale, read_bank(config.bank)))


@lru_cache(maxsize=2)
def _read_texts(folder: str, _: str, __: tuple[int, int] | None) -> list[PersonsTexts]:
    people, file = read_people(folder), Path(folder) / TEXTS
    checker = FactChecker(people.pools)
    count = people.config.people
    persons = people.describe(np.arange(count))
    found: list[dict[str, Marked]] = [{} for _ in range(count)]
    try:
        for number, record in read_lines(file):
            person, text = record.get("person"), record.get("text")
            if type(person) is not int or not 0 <= person < count or not isinstance(text, str):
                raise ValueError(f"line {number}: must have a text, and a person from 0 to {count - 1}")
            if text in found[person]:
                raise ValueError(f"line {number}: {shown(text)} is not allowed; an earlier line has it")
            try:
                found[person][text] = checker.check(persons[person], text)
            except Rejected as reason:
                raise ValueError(f"line {number}: {shown(text)} is not allowed; it {reason}") from None
    except OSError as error:
        raise ValueError(f"dataset_options.texts: {printable(file)} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ValueError(f"dataset_options.texts: {printable(file)}, {error}") from None
    return [split_texts(list(texts.values())) for texts in found]


def split_texts(texts: list[Marked]) -> PersonsTexts:
    """The first text that is fit for measuring, and the others."""
    place = next((place for place, text in enumerate(texts) if text.fit_to_measure), None)
    if place is None:
        return PersonsTexts(texts, None)
    return PersonsTexts(texts[:place] + texts[place + 1 :], texts[place])
