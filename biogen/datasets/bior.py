"""BioR: biographies that a language model has written about the people of bioS.

In: a `DataConfig` whose option `texts` names a folder of `python -m biogen rewrite`, and arrays of person indices. Out:
outlines, with the pieces and the tokenizer for them. The folder says who the people are; the seed decides the rest.

One text of each person is kept for measuring, and the others are trained on in turn. In the text that is measured the
name stands before the values, and the employer before its city. There is no pronoun among the values, since such texts
tell it in many ways, so S0 is half that of bioS.
Source: Allen-Zhu and Li, "Knowledge Capacity Scaling Laws" (arXiv 2404.05405), section 2.1: LLaMA-2 writes 40 texts.
"""

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import Int

from biogen.config import DataConfig, Frozen
from biogen.dataset import EVALUATION, Dataset, special_tokens
from biogen.facts import Marked
from biogen.pieces import EMPTY, PieceList, Role
from biogen.pools import pool_files
from biogen.rewritten import folder_files, people_with_texts, read_people, read_texts
from biogen.templates import ATTRIBUTES
from biogen.tokenizer import make_tokenizer

ROLES = {"name": int(Role.NAME)} | {attribute: Role.VALUES + place for place, attribute in enumerate(ATTRIBUTES)}
"""The role of the tokens of each fact."""
_CORPUS_TEXTS = 4000
"""Texts that a BPE is trained on."""


class Options(Frozen):
    """The options of rewritten biographies."""

    texts: str
    """Folder of texts that `python -m biogen rewrite` has filled."""


class BioR(Dataset):
    """Texts of a folder, each with one name and six values somewhere in it."""

    title = "bioR"
    options = frozenset({"tokenizer", "vocab"})
    own_options = Options

    def __init__(self, config: DataConfig) -> None:
        """Raises ValueError for a folder that does not have the texts, and for what the tokenizer cannot meet."""
        super().__init__(config)
        self.people = read_people(_folder(config))
        of_people = read_texts(_folder(config))[: _people_in_use(config)]
        training = [text for of_person in of_people for text in of_person.training]
        measured = [of_person.measured for of_person in of_people if of_person.measured is not None]
        self._count = np.array([len(of_person.training) for of_person in of_people])
        """Training texts of each person, whose texts follow each other; then come the texts that are measured."""
        self._first = np.cumsum(self._count) - self._count
        self._written = [text.text for text in (*training, *measured)]
        self._lay_out([*training, *measured])

    @classmethod
    def count_names(cls, config: DataConfig) -> int:
        """N0, the number of possible names."""
        return read_people(_folder(config)).config.names

    @classmethod
    def stand_in(cls, config: DataConfig) -> DataConfig:
        """The same people and texts: the seed decides neither."""
        return config.model_copy(update={"seed": 0})

    @classmethod
    def carried(cls, config: DataConfig) -> dict[str, dict[str, Path]]:
        """The files of the folder of texts."""
        return {"dataset_options.texts": folder_files(_folder(config))}

    @classmethod
    def mistakes(cls, config: DataConfig) -> list[str]:
        """Lines about options that do not fit: everybody must have texts, the people of the junk, too."""
        lines = super().mistakes(config)
        if config.junk and config.junk_people is None:
            lines.append("junk_people: None is not allowed with junk about rewritten people; must be their number")
        if config.population == "fresh":
            lines.append("population: fresh is not allowed with rewritten texts; must be fixed or zipf")
        there, needed = people_with_texts(_folder(config)), _people_in_use(config)
        if needed > there:
            what = "people" if config.people > there else "junk_people"
            most = there - (config.people if what == "junk_people" else 0)
            told = f"{_folder(config)} has texts about the first {there:,} people"
            lines.append(f"{what}: {getattr(config, what)} is not allowed; must be at most {most}, since {told}")
        return lines

    def describe(self, index: Int[np.ndarray, " n"]) -> list[dict[str, str]]:
        """Each person's names and values in words."""
        return [asdict(person) for person in self.people.describe(index)]

    def pool_files(self) -> dict[str, list[str]]:
        """The pools that the people were drawn from."""
        return pool_files(self.people.pools)

    @property
    def value_roles(self) -> dict[str, tuple[int, ...]]:
        """All attributes but the company city, which the employer determines."""
        return {name: roles for name, roles in self.qa_roles.items() if name != "company_city"}

    @property
    def qa_roles(self) -> dict[str, tuple[int, ...]]:
        """The attributes that a model is asked to complete, with the roles of their values."""
        return {name: (ROLES[name],) for name in ATTRIBUTES}

    @property
    def texts(self) -> int:
        """The most texts that a person has for training; those of a person with fewer come again sooner."""
        return int(self._count.max())

    @property
    def log2_values(self) -> float:
        """log2 S0, the bits of one person's attributes."""
        values = self.people.config.pools.values
        return sum(math.log2(values[attribute]) for attribute in self.value_roles)

    @property
    def longest_text(self) -> int:
        """Tokens of the longest text, with its special tokens."""
        return len(special_tokens(self.config)) + self._longest

    def outlines(
        self, index: Int[np.ndarray, " n"], exposure: int | Int[np.ndarray, " n"]
    ) -> Int[np.ndarray, "n slots"]:
        """A person's training texts in turn, or at EVALUATION the text that is measured."""
        trained = self._first[index] + exposure % self._count[index]
        text = np.where(exposure == EVALUATION, self._count.sum() + index, trained)
        lengths = self._offsets[text + 1] - self._offsets[text]
        slots = np.arange(int(lengths.max(initial=0)))
        places = np.minimum(self._offsets[text][:, None] + slots, len(self._flat) - 1)
        body = np.where(slots < lengths[:, None], self._flat[places], EMPTY)
        return np.concatenate([self.head(index), body], axis=1)

    def content(self) -> bytes:
        """All texts, trained on and measured, for the fingerprint."""
        return self._offsets.astype("<i8").tobytes() + self._flat.astype("<i8").tobytes()

    def covering_texts(self) -> list[str]:
        """All texts."""
        return self._written

    def _lay_out(self, texts: list[Marked]) -> None:
        """Cut the texts into pieces, and make the tokenizer, which gives each piece the tokens that it has there."""
        cut = [_cut(text) for text in texts]
        written = [[string for string, _ in parts] for parts in cut]
        special = special_tokens(self.config)
        corpus = self._written[:: max(1, len(texts) // _CORPUS_TEXTS)]
        self.tokenizer = make_tokenizer(self.config.tokenizer, self.config.vocab, corpus, written, special[1:])
        pieces = PieceList(special)
        number: dict[tuple[str, int, tuple[int, ...]], int] = {}
        flat: list[int] = []
        self._longest = 0
        for parts, split in zip(cut, self.tokenizer.split(written), strict=True):
            self._longest = max(self._longest, sum(map(len, split)))
            for (string, role), tokens in zip(parts, split, strict=True):
                key = (string, role, tuple(tokens))
                if key not in number:
                    number[key] = int(pieces.add([string], role, [tokens])[0])
                flat.append(number[key])
        self._flat = np.array(flat, dtype=np.int64)
        self._offsets = np.cumsum([0, *map(len, cut)])
        self.pieces = pieces.pieces(self.tokenizer.encode)


def _cut(text: Marked) -> list[tuple[str, int]]:
    """A text as strings with their roles; a space before a fact belongs to it."""
    parts: list[tuple[str, int]] = []
    done = 0
    for fact, (start, end) in text.places.items():
        start -= text.text[max(start - 1, 0) : start] == " "
        parts += [(text.text[done:start], int(Role.OTHER)), (text.text[start:end], ROLES[fact])]
        done = end
    return [part for part in (*parts, (text.text[done:], int(Role.OTHER))) if part[0]]


def _folder(config: DataConfig) -> str:
    """The option `texts`."""
    return Options(**config.dataset_options).texts


def _people_in_use(config: DataConfig) -> int:
    """People whose texts are read: the useful ones, and those of the junk."""
    return config.people + (config.junk_people or 0 if config.junk else 0)
