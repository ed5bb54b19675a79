"""Uniform random tokens: texts with nothing in them but what must be memorised.

A text is `length` tokens, each drawn uniformly out of `tokens`. Its first few are the person's name, so that no two
texts begin alike; all others are the one value. So the bits of a model are those of the whole text.
In: a `DataConfig` and arrays of person indices. Out: outlines, with the pieces and the tokenizer for them.
Source: Morris et al., "How much do language models memorize?", arXiv 2505.24832, section 3 (64 tokens out of 2,048).
"""

import math

import numpy as np
from jaxtyping import Int
from pydantic import Field

from biogen.config import DataConfig, Frozen
from biogen.dataset import Dataset, special_tokens
from biogen.entropy import OTHER
from biogen.form import Blank, Form
from biogen.pieces import PieceList, Role
from biogen.rng import Stream, below, permute, random_words
from biogen.tokenizer import word_tokenizer

_NAMES_LOG2 = 32
"""Names have as many tokens as give at least 2^32 of them, so that there are enough for any junk."""
_VALUE = int(Role.VALUES)


class Options(Frozen):
    """The options of random tokens."""

    tokens: int = Field(64, ge=2, le=60_000)
    """Different tokens."""
    length: int = Field(64, ge=40, le=1_000)
    """Tokens of a text."""


class RandomTokens(Dataset):
    """Texts such as `t5 t61 t0 t17`, the same at every exposure."""

    title = "random tokens"
    own_options = Options

    def __init__(self, config: DataConfig) -> None:
        super().__init__(config)
        self.tokens, self.length = _sizes(config)
        self.name_length = _name_length(self.tokens)
        special = special_tokens(config)
        words = [f"t{token}" for token in range(self.tokens)]
        self.tokenizer = word_tokenizer(words, special)
        pieces = PieceList(special)
        self._start = pieces.add(words, Role.NAME)
        behind = [f" {word}" for word in words]
        self._name, self._value = pieces.add(behind, Role.NAME), pieces.add(behind, _VALUE)
        self.pieces = pieces.pieces(self.tokenizer.encode)

    @classmethod
    def count_names(cls, config: DataConfig) -> int:
        """N0, the number of beginnings of a text."""
        tokens, _ = _sizes(config)
        return tokens ** _name_length(tokens)

    @property
    def value_roles(self) -> dict[str, tuple[int, ...]]:
        """Everything behind the name is one value."""
        return {"rest": (_VALUE,)}

    @property
    def log2_values(self) -> float:
        """log2 of the number of possible rests."""
        return (self.length - self.name_length) * math.log2(self.tokens)

    def text_nats(self, *, known: bool) -> dict[str, float]:
        """Everything behind the name; nothing else is random."""
        return {"rest": 0.0 if known else self.log2_values * math.log(2), OTHER: 0.0}

    @property
    def texts(self) -> int:
        """A person has one text."""
        return 1

    @property
    def longest_text(self) -> int:
        """Tokens of every text, with its special tokens."""
        return len(special_tokens(self.config)) + self.length

    def outlines(
        self, index: Int[np.ndarray, " n"], exposure: int | Int[np.ndarray, " n"]
    ) -> Int[np.ndarray, "n slots"]:
        """The text of each person, the same at every exposure."""
        seed = self.config.seed
        powers = self.tokens ** np.arange(self.name_length, dtype=np.int64)
        name = permute(index, self.names, seed, Stream.NAMES)[:, None] // powers % self.tokens
        rest = below(random_words(seed, Stream.CHUNKS, index, self.length - self.name_length), self.tokens)
        parts = [self.head(index), self._start[name[:, :1]], self._name[name[:, 1:]], self._value[rest]]
        return np.concatenate(parts, axis=1)

    @classmethod
    def form(cls, config: DataConfig, index: Int[np.ndarray, " n"], exposure: int) -> Form:
        """A blank for each token."""
        tokens, length = _sizes(config)
        words, name = tuple(f" t{token}" for token in range(tokens)), _name_length(tokens)
        start = Blank("name", Role.NAME, tuple(map(str.strip, words)))
        blanks = [start, Blank("name", Role.NAME, words), Blank("rest", _VALUE, words)]
        outline = [-1, *[-2] * (name - 1), *[-3] * (length - name)]
        return Form(tuple(special_tokens(config)[1:]), [], blanks, np.tile(outline, (len(index), 1)))

    def covering_texts(self) -> list[str]:
        """Texts with every token at the beginning and behind another."""
        words = [f"t{token}" for token in range(self.tokens)]
        return [*words, " ".join(words)]

    def card(self) -> str:
        """The shape in words."""
        return f"{self.length} tokens a text, each out of {self.tokens}"


def _sizes(config: DataConfig) -> tuple[int, int]:
    """The options `tokens` and `length`."""
    options = Options(**config.dataset_options)
    return options.tokens, options.length


def _name_length(tokens: int) -> int:
    """Tokens of a name."""
    return math.ceil(_NAMES_LOG2 / math.log2(tokens))
