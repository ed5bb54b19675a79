"""The protocol of data sets: bioS, bioD and a user's own.

In: a `DataConfig`. Out: a `Dataset`, which outlines texts about people by index, and knows how many bits are in them.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from biogen.config import EVALUATION, DataConfig, Frozen
from biogen.datasets import DATASETS
from biogen.form import Form
from biogen.information import Bits, bios_bits, bios_lower_bound
from biogen.pieces import EMPTY, Pieces, Role, Texts
from biogen.population import draw
from biogen.tokenizer import DOMAIN, END, Tokenizer

__all__ = ["EVALUATION", "Dataset", "draw_texts", "fingerprint", "make_dataset", "mean_length", "special_tokens"]

_FINGERPRINTED = 100
"""People whose texts are part of a fingerprint."""

_MOST_SLOTS = 1 << 22
"""Tokens of texts that are drawn at a time to count them."""


class Dataset(ABC):
    """People, what is written about them, and the information in it.

    A subclass defines what is abstract here, and sets `pieces` and `tokenizer`. The rest holds for names and values
    that are drawn uniformly and independently out of given pools; it is overridden where a data set differs.
    """

    title: ClassVar[str]
    """Its name in tables and figures, such as bioS."""
    options: ClassVar[frozenset[str]] = frozenset()
    """The fields of `DataOptions` that it reads, besides those that all data sets read (`biogen.config.COMMON`)."""
    own_options: ClassVar[type[Frozen]] = Frozen
    """Its own options, which `dataset_options` sets."""
    known_bits: ClassVar[bool] = True
    """Whether the information in its texts is known. Where it is not, no bits are counted and nothing is asked."""
    languages: ClassVar[tuple[str, ...]] = ()
    """The languages of its own texts, as codes such as en; none for symbols."""
    first_chunk: ClassVar[bool] = False
    """Whether the first role of each value is also counted separately: its mean loss is p3, of the set of chunks."""

    pieces: Pieces
    """Every string that can occur in a text."""
    tokenizer: Tokenizer

    def __init__(self, config: DataConfig) -> None:
        self.config = config

    # People

    @classmethod
    @abstractmethod
    def count_names(cls, config: DataConfig) -> int:
        """N0, the number of possible names."""

    @property
    def names(self) -> int:
        """N0, the number of possible names."""
        return self.count_names(self.config)

    def describe(self, index: Int[np.ndarray, " n"]) -> list[dict[str, str]]:
        """The columns that describe each person on disk: name and values, as the person's first text has them."""
        names = self.role_names
        texts = [self.pieces.render(row) for row in self.outlines(index, 0)]
        return [{names[role]: text[start:end].strip() for role, start, end in spans} for text, spans in texts]

    def pool_files(self) -> dict[str, list[str]]:
        """The pools that the data are drawn from: the lines of each file by its name."""
        return {}

    @classmethod
    def carried(cls, config: DataConfig) -> dict[str, dict[str, Path]]:
        """The files of folders that options name, by option and by name in the folder.

        A data set on disk has copies of them, so that it is complete.
        """
        return {}

    # Texts

    @property
    @abstractmethod
    def value_roles(self) -> dict[str, tuple[int, ...]]:
        """The attributes that the value loss is about, with the roles of their values' tokens, the first role first."""

    @property
    def qa_roles(self) -> dict[str, tuple[int, ...]]:
        """The attributes that a model is asked to complete, with the roles of their values' tokens."""
        return self.value_roles

    @property
    def role_names(self) -> dict[int, str]:
        """The name of each role on disk: its attribute, with `_first` or `_rest` appended if there are two."""
        names = {int(Role.NAME): "name"}
        for attribute, roles in {**self.value_roles, **self.qa_roles}.items():
            parts = [""] if len(roles) == 1 else ["_first", "_rest"]
            names |= {role: attribute + part for role, part in zip(roles, parts, strict=True)}
        return names

    @property
    def texts(self) -> int | None:
        """Different texts a person; None: a new one at every exposure."""
        return None

    @property
    @abstractmethod
    def longest_text(self) -> int:
        """An upper bound on the tokens of a text, with its special tokens."""

    @abstractmethod
    def outlines(
        self, index: Int[np.ndarray, " n"], exposure: int | Int[np.ndarray, " n"]
    ) -> Int[np.ndarray, "n slots"]:
        """The text of each person at an exposure, as rows of pieces that begin with `head`.

        exposure: the number of the text, one for all or (population zipf) one for each. Where some are from EVALUATION
        or HELD_OUT on, all are.
        """

    def head(self, index: Int[np.ndarray, " n"]) -> Int[np.ndarray, "n head"]:
        """The beginning of every text: the end token, and the domain token of useful people if there is one."""
        head = np.tile(np.arange(1, 1 + len(special_tokens(self.config))), (len(index), 1))
        if self.config.population != "fresh":
            head[index >= self.config.people, 1:] = EMPTY
        return head

    @classmethod
    def form(cls, config: DataConfig, index: Int[np.ndarray, " n"], exposure: int) -> Form:
        """The texts of people at an exposure, with a blank for each name and value; made without knowing the people.

        Raises ValueError where texts depend on people in other ways.
        """
        raise ValueError(f"dataset: {cls.title} is not allowed; its texts cannot be told from the people in them")

    # Texts that no training draws

    @property
    def held_out_texts(self) -> int:
        """The number of texts in a round of held-out texts."""
        return self.config.people

    @property
    def held_out_tokens(self) -> int | None:
        """Tokens of all held-out texts; None where there is no end of them."""
        return None

    def draw_held_out(
        self, first: int, count: int, turn: int
    ) -> tuple[Int[np.ndarray, " n"], int | Int[np.ndarray, " n"]]:
        """The people of the held-out texts `first` to `first + count - 1` of a round, and the numbers of these texts.

        Raises ValueError where there are no more.
        """
        return draw(self.config, first, count, EVALUATION + turn)

    def content(self) -> bytes:
        """What the pieces do not tell about the texts, for the fingerprint: which of them stand in some people's."""
        people = np.arange(min(_FINGERPRINTED, self.config.people))
        return self.outlines(people, 0).astype("<i8").tobytes()

    @abstractmethod
    def covering_texts(self) -> list[str]:
        """Texts that together hold every token a text can hold."""

    # Questions in the training text

    @property
    def questions(self) -> tuple[str, ...]:
        """The attributes that questions are about; none where no questions are asked."""
        return ()

    def question_outlines(
        self, index: Int[np.ndarray, " n"], exposure: int, attribute: int | None = None
    ) -> Int[np.ndarray, "n slots"]:
        """One question about each person with its answer, as rows of pieces that begin with `head`.

        attribute: its place in `questions`; None draws one for each person.
        """
        raise NotImplementedError(f"{self.title} has no questions")

    def question_answer_slots(self) -> slice:
        """The columns of `question_outlines` that hold the answer's value, without the full stop."""
        raise NotImplementedError(f"{self.title} has no questions")

    # Questions in plain words

    def example_question(self, person: int) -> str | None:
        """A question about a person that `read_question` can read; None where no plain words ask for a value."""
        return None

    def read_question(self, question: str) -> tuple[int, str]:
        """The index of the person and the attribute (one of `qa_roles`) that a question in plain words is about.

        The index is `people` or more for a possible name that none of them has. Raises ValueError for a question that
        has no possible name or does not tell the attribute.
        """
        raise ValueError(f"question: {question!r} cannot be read; {self.title} has no questions in plain words")

    # Information

    @property
    @abstractmethod
    def log2_values(self) -> float:
        """log2 S0, the bits of one person's attributes."""

    def text_nats(self, *, known: bool) -> dict[str, float] | None:
        """The entropy of a text whose name is given, nats, by the names of roles and `other`; see `biogen/entropy.py`.

        known: whether the person's values (and fixed texts) are known, or nothing of the person. None where a data set
        does not say.
        """
        return None

    def value_loss(self, losses: Mapping[str, Float[np.ndarray, " people"]]) -> Float[np.ndarray, " people"]:
        """A person's value loss from the losses of the attributes, nats: their sum, so that p2 is its mean."""
        return np.sum(list(losses.values()), axis=0)

    def bits(self, p1: float, p2: float, p3: float = 0.0) -> Bits:
        """The bits a model has learned.

        p1: mean loss of a name, p2: mean value loss, p3: mean loss of a first chunk, all in nats. Raises ValueError
        for a loss that cannot be.
        """
        return bios_bits(self.config.people, self.names, self.log2_values, p1, p2)

    def max_bits(self) -> Bits:
        """The most bits that can be learned: perfect recall, p1 = ln N and nothing else lost.

        The best loss of a name is ln N, not 0, because nothing tells which of the N people comes next.
        """
        return self.bits(math.log(self.config.people), 0.0, 0.0)

    def lower_bound(self, p1: float, p2: float, p3: float = 0.0) -> Bits:
        """A lower bound on the bits of the weights, after Theorem 3.2; arguments as of `bits`."""
        return bios_lower_bound(self.config.people, self.names, self.log2_values, p1, p2)

    def share_of_sets(self, people: Sequence[Mapping[str, str]]) -> float:
        """The share of the sets that values are drawn from which some people's values show; 1 where pools are given."""
        return 1.0

    # Configuration and description

    @classmethod
    def mistakes(cls, config: DataConfig) -> list[str]:
        """Lines about options that do not fit this data set."""
        fields = DataConfig.model_fields
        return [
            f"{option}: {getattr(config, option)} is not an option of {cls.title}; "
            f"must be {'none' if fields[option].default == 'none' else 'left out'}"
            for option in ("questions", "variant", "bank", "corpus", "company_city", "measured_order")
            if option not in cls.options and getattr(config, option) != fields[option].default
        ]

    @classmethod
    def stand_in(cls, config: DataConfig) -> DataConfig:
        """A configuration whose texts have the same tokens and lengths, the same one for as many others as possible.

        To plan a sweep, its data set is made once and then given the `config` of every run in turn.
        """
        return config

    def card(self) -> str:
        """One line of a data set card about the information in a person."""
        return f"log2 S0, bits in a person's attributes: {self.log2_values:.6f}"


def make_dataset(config: DataConfig) -> Dataset:
    """The data set of a configuration. Raises ValueError for options it cannot meet."""
    return DATASETS[config.dataset](config)


def fingerprint(dataset: Dataset) -> dict[str, str]:
    """Hashes of what the options only name: of the `texts` (pools, sentences, people), and of their `tokens`.

    They are equal wherever pools and tokenizer come from, if these are the same for this data set.
    """
    texts, tokens = dataset.pieces.content()
    vocab = str(dataset.tokenizer.vocab).encode()
    return {"texts": sha256(texts + dataset.content()).hexdigest(), "tokens": sha256(tokens + vocab).hexdigest()}


def special_tokens(config: DataConfig) -> list[str]:
    """The tokens before a text; they are the first of the vocabulary."""
    return [END, DOMAIN] if config.domain_token else [END]


def draw_texts(dataset: Dataset, index: Int[np.ndarray, " n"], exposure: int | Int[np.ndarray, " n"]) -> Texts:
    """The texts of people at an exposure as tokens, each after its end token."""
    return dataset.pieces.splice(dataset.outlines(index, exposure))


def mean_length(dataset: Dataset, people: int = 4096) -> float:
    """Mean tokens of a text with its end token, over the first useful people, or (zipf) over so many draws."""
    lengths = [dataset.pieces.text_lengths(outlines) for outlines in sample_texts(dataset, people)]
    return sum(int(part.sum()) for part in lengths) / sum(map(len, lengths))


def sample_texts(dataset: Dataset, people: int = 4096) -> Iterator[Int[np.ndarray, "_ slots"]]:
    """The outlines of texts that are like those of a training, in parts: of the first people, or (zipf) of draws."""
    config = dataset.config
    unequal = config.population == "zipf"
    count = people if unequal else min(people, config.people)
    block = max(1, _MOST_SLOTS // dataset.longest_text)
    for first in range(0, count, block):
        part = np.arange(first, min(first + block, count))
        index, number = draw(config, first, len(part), EVALUATION) if unequal else (part, EVALUATION)
        yield dataset.outlines(index, number)
