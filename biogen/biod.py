"""bioD(N, K, C, D, L, T): the abstract data set, made of symbols.

A person is a name and K attributes, each value C chunks out of the attribute's D strings of L symbols out of T.
In: a `DataConfig` and arrays of person indices. Out: plans, with the pieces and the tokenizer for them.
Source: Allen-Zhu and Li, arXiv 2404.05405, section 2.2.

A paragraph reads `name a3 chunks a0 chunks ...`: one marker token an attribute is the whole template, and the
vocabulary is the end token, the markers and the symbols in use.
"""

import math

import numpy as np
from jaxtyping import Int
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers

from biogen.config import DataConfig
from biogen.people import FEW, are_few
from biogen.pieces import EMPTY, PieceList, Pieces, Role, in_order
from biogen.rng import Stream, below, permute, random_order, random_words
from biogen.tokenizer import DOMAIN, END, Tokenizer


class BioD:
    """The paragraphs of a configuration, as plans."""

    def __init__(self, config: DataConfig) -> None:
        self.config, self.shape = config, config.biod
        self._chunk_strings = [_distinct_strings(config, attribute) for attribute in range(self.shape.K)]
        self._lay_out_pieces()
        self._known = self._pieces_of(np.arange(config.people if config.people <= FEW else 0))

    @property
    def names(self) -> int:
        """N0, the number of possible names."""
        return self.shape.names

    @property
    def value_roles(self) -> dict[str, int]:
        """Every attribute with the role of its value's first chunk; the later chunks' is one more."""
        return {f"a{k}": Role.CHUNKS + 2 * k for k in range(self.shape.K)}

    @property
    def qa_roles(self) -> dict[str, int]:
        """The attributes that are asked for: all of them."""
        return self.value_roles

    @property
    def longest_text(self) -> int:
        """Tokens of every paragraph, with its special tokens."""
        return len(self._head) + self.shape.name_length + self.shape.K * (1 + self.shape.C * self.shape.L)

    def plan(self, index: Int[np.ndarray, " n"], exposure: int) -> Int[np.ndarray, "n slots"]:
        """The paragraph of each person at an exposure: the end token, the domain token if useful, then the text."""
        if are_few(index, self.config.people):
            name, sentences = (pieces.take(index, axis=0) for pieces in self._known)
        else:
            name, sentences = self._pieces_of(index)
        order = random_order(random_words(self.config.seed, Stream.ORDER, index, self.shape.K, exposure))
        head = np.tile(self._head, (len(index), 1))
        head[index >= self.config.people, 1:] = EMPTY
        return np.concatenate([head, name, in_order(sentences, order).reshape(len(index), -1)], axis=1)

    def covering_texts(self) -> list[str]:
        """Texts in which every word stands within, and every symbol also first: whatever a text can hold, they hold."""
        vocabulary = self.tokenizer.backend.get_vocab(with_added_tokens=False)
        words = [word for word in vocabulary if word not in self.tokenizer.special]
        symbols = [word for word in words if word.startswith("s")]
        return [*symbols, " ".join([symbols[0], *words])]

    def describe(self, index: Int[np.ndarray, " n"]) -> list[dict[str, str]]:
        """Name and values of each person in symbols."""
        name, drawn = self._draw(index)
        return [
            {
                "name": _write(name[i]),
                **{f"a{k}": _write(self._chunk_strings[k][drawn[i, k]].ravel()) for k in range(self.shape.K)},
            }
            for i in range(len(index))
        ]

    def chunk_pools(self) -> dict[str, list[str]]:
        """The D strings that each attribute draws its chunks from, in symbols."""
        return {f"a{k}": [_write(string) for string in strings] for k, strings in enumerate(self._chunk_strings)}

    def _pieces_of(
        self, index: Int[np.ndarray, " n"]
    ) -> tuple[Int[np.ndarray, "n length"], Int[np.ndarray, "n K marker_and_chunks"]]:
        """The name of each person, and the sentence of each attribute, as pieces."""
        name, chunks = self._draw(index)
        K, C = self.shape.K, self.shape.C
        chunks += self.shape.D * np.arange(K)[:, None]  # counted through all attributes
        sentences = np.empty((len(index), K, 1 + C), dtype=np.int64)
        sentences[:, :, 0] = self._marker
        sentences[:, :, 1] = self._first_chunk.take(chunks[:, :, 0])
        sentences[:, :, 2:] = self._later_chunk.take(chunks[:, :, 1:])
        return np.concatenate([self._name_start[name[:, :1]], self._name_rest[name[:, 1:]]], axis=1), sentences

    def _draw(self, index: Int[np.ndarray, " n"]) -> tuple[Int[np.ndarray, "n length"], Int[np.ndarray, "n K C"]]:
        """The symbols of each name, and the numbers of the chunks of each value."""
        seed, K, C, D = self.config.seed, self.shape.K, self.shape.C, self.shape.D
        name = _digits(permute(index, self.names, seed, Stream.NAMES), self.shape.T, self.shape.name_length)
        chunks = below(random_words(seed, Stream.CHUNKS, index, K * C), D)
        return name, chunks.reshape(len(index), K, C)

    def _symbols_in_use(self) -> Int[np.ndarray, " used"]:
        """Symbols that can occur: of every chunk string and every useful name (any name, with junk)."""
        T, config = self.shape.T, self.config
        used = np.zeros(T, dtype=bool)
        used[np.concatenate([strings.ravel() for strings in self._chunk_strings])] = True
        if config.junk:
            used[:] = True
        for first in range(0, config.people, FEW):
            if used.all():
                break
            index = np.arange(first, min(first + FEW, config.people))
            names = permute(index, self.names, config.seed, Stream.NAMES)
            used[_digits(names, T, self.shape.name_length).ravel()] = True
        return np.flatnonzero(used)

    def _lay_out_pieces(self) -> None:
        K, D, T = self.shape.K, self.shape.D, self.shape.T
        special = [END, DOMAIN] if self.config.domain_token else [END]
        symbols = self._symbols_in_use()
        words = special + [f"a{k}" for k in range(K)] + [f"s{symbol}" for symbol in symbols]
        backend = Backend(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
        backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        self.tokenizer = Tokenizer(backend, range(len(words)), special)

        token_of = np.zeros(T, dtype=np.int64)
        token_of[symbols] = len(special) + K + np.arange(len(symbols))
        pieces = PieceList()
        tokens: list[list[int]] = [[]]  # of the empty piece

        def add(strings: list[str], ids: list[list[int]], role: int = Role.OTHER) -> Int[np.ndarray, " pieces"]:
            tokens.extend(ids)
            return pieces.add(strings, role)

        self._head = add(["" for _ in special], [[i] for i in range(len(special))])
        one_symbol = [[int(token)] for token in token_of]
        self._name_start = add([f"s{symbol}" for symbol in range(T)], one_symbol, Role.NAME)
        self._name_rest = add([f" s{symbol}" for symbol in range(T)], one_symbol, Role.NAME)
        self._marker = add([f" a{k}" for k in range(K)], [[len(special) + k] for k in range(K)])
        self._first_chunk = np.empty((K, D), dtype=np.int64)
        self._later_chunk = np.empty((K, D), dtype=np.int64)
        for k, strings in enumerate(self._chunk_strings):
            written = ["".join(f" s{symbol}" for symbol in string) for string in strings]
            ids = token_of[strings].tolist()
            self._first_chunk[k] = add(written, ids, Role.CHUNKS + 2 * k)
            self._later_chunk[k] = add(written, ids, Role.CHUNKS + 2 * k + 1)
        self.pieces = Pieces(pieces.strings, pieces.roles, tokens)


def _write(symbols: Int[np.ndarray, " length"]) -> str:
    return " ".join(f"s{symbol}" for symbol in symbols)


def _digits(number: Int[np.ndarray, " n"], base: int, length: int) -> Int[np.ndarray, "n length"]:
    powers = base ** np.arange(length - 1, -1, -1, dtype=np.int64)
    return number[:, None] // powers % base


def _distinct_strings(config: DataConfig, attribute: int) -> Int[np.ndarray, "D L"]:
    """An attribute's D distinct strings out of T^L."""
    D, L, T = config.biod.D, config.biod.L, config.biod.T
    if L * math.log2(T) <= 60:
        return _digits(permute(np.arange(D), T**L, config.seed, Stream.CHUNK_STRINGS, attribute), T, L)
    strings = below(random_words(config.seed, Stream.CHUNK_STRINGS, np.arange(D), L, attribute), T)
    assert len(np.unique(strings, axis=0)) == D, "two equal strings out of more than 2^60"
    return strings
