"""bioD(N, K, C, D, L, T): the abstract data set, made of symbols.

A person is a name and K attributes, each value C chunks out of the attribute's D strings of L symbols out of T.
In: a `DataConfig` and arrays of person indices. Out: outlines, with the pieces and the tokenizer for them.
Source: Allen-Zhu and Li, arXiv 2404.05405, section 2.2.

A paragraph reads `name a3 chunks a0 chunks ...`: one marker token an attribute is the whole template, and the
vocabulary is the end token, the markers and the symbols in use.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from biogen.config import DataConfig
from biogen.dataset import Dataset, special_tokens
from biogen.entropy import OTHER
from biogen.form import Blank, Form
from biogen.information import Bits, biod_bits, biod_lower_bound
from biogen.people import MOST_KEPT, are_kept
from biogen.pieces import PieceList, Role, in_order
from biogen.rng import Stream, below, permute, random_order, random_words
from biogen.tokenizer import word_tokenizer

CHUNKS = 16
"""The first chunk of attribute k has role CHUNKS + 2k, the later chunks CHUNKS + 2k + 1."""
_BLOCK = 1 << 16
"""People whose names are held at a time."""
_MOST_KEPT_PIECES = 1 << 25
"""Pieces of useful people's texts that are kept, at most."""


class BioD(Dataset):
    """The paragraphs of a configuration, as outlines."""

    title = "bioD"
    options = frozenset({"biod"})
    first_chunk = True

    def __init__(self, config: DataConfig) -> None:
        super().__init__(config)
        self.shape = config.biod
        self._chunk_strings = [_distinct_strings(config, attribute) for attribute in range(self.shape.K)]
        self._lay_out_pieces()
        kept = config.population != "fresh" and config.people <= min(MOST_KEPT, _MOST_KEPT_PIECES // self.longest_text)
        self._known = self._pieces_of(np.arange(config.people)) if kept else None

    @classmethod
    def count_names(cls, config: DataConfig) -> int:
        """N0, the number of possible names."""
        return config.biod.names

    @property
    def value_roles(self) -> dict[str, tuple[int, ...]]:
        """Every attribute with the roles of its value's first chunk and of its later chunks."""
        return {f"a{k}": (CHUNKS + 2 * k, CHUNKS + 2 * k + 1) for k in range(self.shape.K)}

    @property
    def longest_text(self) -> int:
        """Tokens of every paragraph, with its special tokens."""
        K, C, _, L, _ = self._sizes
        return len(special_tokens(self.config)) + self.shape.name_length + K * (1 + C * L)

    def outlines(
        self, index: Int[np.ndarray, " n"], exposure: int | Int[np.ndarray, " n"]
    ) -> Int[np.ndarray, "n slots"]:
        """The paragraph of each person at an exposure."""
        if self._known is not None and are_kept(index, self.config.people):
            name, sentences = (pieces.take(index, axis=0) for pieces in self._known)
        else:
            name, sentences = self._pieces_of(index)
        order = random_order(random_words(self.config.seed, Stream.ORDER, index, self.shape.K, exposure))
        return np.concatenate([self.head(index), name, in_order(sentences, order).reshape(len(index), -1)], axis=1)

    @classmethod
    def form(cls, config: DataConfig, index: Int[np.ndarray, " n"], exposure: int) -> Form:
        """The paragraphs with a blank for each symbol: any of T, since nothing is known of the sets of chunks."""
        shape, symbols = config.biod, tuple(f" s{symbol}" for symbol in range(config.biod.T))
        blanks = [Blank("name", Role.NAME, tuple(map(str.strip, symbols))), Blank("name", Role.NAME, symbols)]
        blanks += [Blank(f"a{i // 2}", CHUNKS + i, symbols) for i in range(2 * shape.K)]
        sentences = np.full((len(index), shape.K, 1 + shape.C * shape.L), -4 - 2 * np.arange(shape.K)[:, None])
        sentences[:, :, 0] = np.arange(shape.K)
        sentences[:, :, 1 : 1 + shape.L] += 1
        order = random_order(random_words(config.seed, Stream.ORDER, index, shape.K, exposure))
        name = np.tile([-1, *[-2] * (shape.name_length - 1)], (len(index), 1))
        outlines = np.concatenate([name, in_order(sentences, order).reshape(len(index), -1)], axis=1)
        return Form(tuple(special_tokens(config)[1:]), [f" a{k}" for k in range(shape.K)], blanks, outlines)

    def covering_texts(self) -> list[str]:
        """Texts with every word inside and every symbol also in front, so everything that a text can contain."""
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

    def pool_files(self) -> dict[str, list[str]]:
        """The D strings that each attribute draws its chunks from, in symbols."""
        return {f"a{k}.txt": [_write(string) for string in strings] for k, strings in enumerate(self._chunk_strings)}

    def text_nats(self, *, known: bool) -> dict[str, float]:
        """Chunks out of sets that are known, and the order of the attributes."""
        K, C, D, _, _ = self._sizes
        chunks = 0.0 if known else math.log(D)
        values = {
            f"a{k}{part}": nats for k in range(K) for part, nats in (("_first", chunks), ("_rest", (C - 1) * chunks))
        }
        return values | {OTHER: math.lgamma(K + 1)}

    @property
    def log2_values(self) -> float:
        """log2 D^(C·K), the bits of one person's values once the sets of chunks are known."""
        return self.shape.K * self.shape.C * math.log2(self.shape.D)

    def value_loss(self, losses: Mapping[str, Float[np.ndarray, " people"]]) -> Float[np.ndarray, " people"]:
        """The mean of the attributes' losses, nats, so that p2 is the paper's."""
        return super().value_loss(losses) / len(losses)

    def bits(self, p1: float, p2: float, p3: float = 0.0) -> Bits:
        """The bits a model has learned; see `biod_bits`."""
        return biod_bits(self.config.people, self.names, *self._sizes, p1, p2, p3)

    def lower_bound(self, p1: float, p2: float, p3: float = 0.0) -> Bits:
        """Theorem 3.2's bound on the bits of the weights; see `biod_lower_bound`."""
        return biod_lower_bound(self.config.people, self.names, *self._sizes, p1, p2, p3)

    def share_of_sets(self, people: Sequence[Mapping[str, str]]) -> float:
        """The share of all K·D strings that stand in some values of these people."""
        K, C, D, L, _ = self._sizes
        values = ((k, person[f"a{k}"].split(" ")) for person in people for k in range(K))
        return len({(k, *value[c * L : (c + 1) * L]) for k, value in values for c in range(C)}) / (K * D)

    def card(self) -> str:
        """The shape in words."""
        K, C, D, L, T = self._sizes
        return f"K={K} attributes, values of C={C} chunks out of D={D} strings of L={L} symbols out of T={T}"

    @property
    def _sizes(self) -> tuple[int, int, int, int, int]:
        shape = self.shape
        return shape.K, shape.C, shape.D, shape.L, shape.T

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
        """Symbols that can occur: of every chunk string and every useful name (any name, with junk or new people)."""
        T, config = self.shape.T, self.config
        used = np.zeros(T, dtype=bool)
        used[np.concatenate([strings.ravel() for strings in self._chunk_strings])] = True
        if config.junk or config.population == "fresh":
            used[:] = True
        for first in range(0, config.people, _BLOCK):
            if used.all():
                break
            index = np.arange(first, min(first + _BLOCK, config.people))
            names = permute(index, self.names, config.seed, Stream.NAMES)
            used[_digits(names, T, self.shape.name_length).ravel()] = True
        return np.flatnonzero(used)

    def _lay_out_pieces(self) -> None:
        K, D, T = self.shape.K, self.shape.D, self.shape.T
        special = special_tokens(self.config)
        symbols = self._symbols_in_use()
        self.tokenizer = word_tokenizer([f"a{k}" for k in range(K)] + [f"s{symbol}" for symbol in symbols], special)

        token_of = np.zeros(T, dtype=np.int64)
        token_of[symbols] = len(special) + K + np.arange(len(symbols))
        pieces = PieceList(special)
        one_symbol = [[int(token)] for token in token_of]
        self._name_start = pieces.add([f"s{symbol}" for symbol in range(T)], Role.NAME, one_symbol)
        self._name_rest = pieces.add([f" s{symbol}" for symbol in range(T)], Role.NAME, one_symbol)
        self._marker = pieces.add([f" a{k}" for k in range(K)])
        self._first_chunk = np.empty((K, D), dtype=np.int64)
        self._later_chunk = np.empty((K, D), dtype=np.int64)
        for k, strings in enumerate(self._chunk_strings):
            written = ["".join(f" s{symbol}" for symbol in string) for string in strings]
            ids = token_of[strings].tolist()
            self._first_chunk[k] = pieces.add(written, CHUNKS + 2 * k, ids)
            self._later_chunk[k] = pieces.add(written, CHUNKS + 2 * k + 1, ids)
        self.pieces = pieces.pieces(self.tokenizer.encode)


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
