"""Texts as rows of numbered pieces: one outline is rendered as characters with spans, or spliced as tokens with roles.

In: `Pieces` (every string that can stand in a text, its role and its tokens) and outlines, an array
`[texts, slots]` of piece numbers. Out: strings with spans, or `Texts` (flat tokens and roles).
Piece 0 is empty and fills the slots that a text does not need.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8, UInt32

EMPTY = 0


class Role(IntEnum):
    """What a token says; the recall of a model is summed by role."""

    OTHER = 0
    NAME = 1
    VALUES = 2
    """From here on roles are a data set's own, for the values of its attributes."""


ROLES = 256
"""The number of possible roles: a role is one byte."""
MOST_TOKENS = 1 << 24
"""The number of possible tokens: a token is three bytes."""


class Span(NamedTuple):
    """Characters [start, end) of a text have this role; the space before a value or a name belongs to it."""

    role: int
    start: int
    end: int


@dataclass(frozen=True)
class Texts:
    """Several texts spliced end to end; text i is [offsets[i], offsets[i + 1])."""

    tokens: Int[np.ndarray, " total"]
    roles: UInt8[np.ndarray, " total"]
    offsets: Int[np.ndarray, " texts_and_one"]

    @property
    def lengths(self) -> Int[np.ndarray, " texts"]:
        """Tokens in each text."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1


class PieceList:
    """Collects the pieces of a data set and hands out their numbers.

    Piece 0 is the empty one; the special tokens follow, which have no characters.
    """

    def __init__(self, special: Sequence[str] = ()) -> None:
        """special: the special tokens, which are the first of the vocabulary."""
        self.strings: list[str] = [""] * (1 + len(special))
        self.roles: list[int] = [Role.OTHER] * len(self.strings)
        self.tokens: list[list[int] | None] = [[], *([token] for token in range(len(special)))]

    def add(
        self, strings: list[str], role: int = Role.OTHER, tokens: list[list[int]] | None = None
    ) -> Int[np.ndarray, " strings"]:
        """Append strings of one role, with their tokens if these are known already; returns their piece numbers."""
        first = len(self.strings)
        self.strings += strings
        self.roles += [role] * len(strings)
        self.tokens += tokens or [None if string else [] for string in strings]
        return np.arange(first, len(self.strings))

    def pieces(self, encode: Callable[[str], list[int]]) -> "Pieces":
        """The pieces; `encode` gives the tokens of those strings that came without."""
        tokens = [encode(string) if ids is None else ids for string, ids in zip(self.strings, self.tokens, strict=True)]
        return Pieces(self.strings, self.roles, tokens)


class Pieces:
    """Every piece of a data set with its tokens, packed in one array so that splicing is a gather."""

    def __init__(self, strings: list[str], roles: list[int], tokens: list[list[int]]) -> None:
        lengths = np.array([len(ids) for ids in tokens], dtype=np.int32)
        self._pack(strings, roles, lengths, np.array([token for ids in tokens for token in ids], dtype=np.uint32))

    @classmethod
    def of_tokens(
        cls,
        strings: list[str],
        roles: list[int],
        lengths: Int[np.ndarray, " pieces"],
        tokens: UInt32[np.ndarray, " total"],
    ) -> "Pieces":
        """Pieces whose tokens stand in one array, as those of a corpus: millions of them take no lists."""
        made = cls.__new__(cls)
        made._pack(strings, roles, lengths.astype(np.int32), tokens.copy())
        return made

    def _pack(self, strings: list[str], roles: list[int], lengths: np.ndarray, tokens: np.ndarray) -> None:
        assert len(strings) == len(roles) == len(lengths)
        assert tokens.max(initial=0) < MOST_TOKENS
        self.strings, self.roles, self.lengths = strings, roles, lengths
        self._starts = (np.cumsum(lengths) - lengths).astype(np.int32)
        tokens |= np.repeat(np.array(roles, dtype=np.uint32) << np.uint32(24), lengths)
        self._packed = tokens

    def content(self) -> tuple[bytes, bytes]:
        """All that the pieces say, and all their tokens with their roles, as bytes that are the same everywhere."""
        tokens = self.lengths.astype("<i4").tobytes() + self._packed.astype("<u4").tobytes()
        return "\0".join(self.strings).encode(), tokens

    def splice(self, outlines: Int[np.ndarray, "texts slots"]) -> Texts:
        """The tokens and roles of every text."""
        lengths = self.lengths.take(outlines)
        offsets = np.zeros(len(outlines) + 1, dtype=np.int64)
        np.cumsum(lengths.sum(axis=1), out=offsets[1:])
        piece_lengths = lengths.ravel()
        ends = np.cumsum(piece_lengths, dtype=np.int32)
        shift = self._starts.take(outlines).ravel() - (ends - piece_lengths)
        gather = np.repeat(shift, piece_lengths)
        gather += np.arange(len(gather), dtype=np.int32)
        packed = self._packed.take(gather)
        tokens = (packed & np.uint32(0xFFFFFF)).view(np.int32)
        return Texts(tokens, (packed >> np.uint32(24)).astype(np.uint8), offsets)

    def text_lengths(self, outlines: Int[np.ndarray, "texts slots"]) -> Int[np.ndarray, " texts"]:
        """Tokens in each text, without splicing it."""
        return self.lengths.take(outlines).sum(axis=1, dtype=np.int64)

    def render(self, outline: Int[np.ndarray, " slots"]) -> tuple[str, list[Span]]:
        """One text as characters, and the spans that have a role, each with the spaces before it."""
        text = ""
        spans: list[Span] = []
        for piece in outline:
            string, role = self.strings[piece], self.roles[piece]
            start = len(text.rstrip(" "))
            text += string
            if role == Role.OTHER or not string.strip(" "):
                continue
            end = len(text.rstrip(" "))
            if spans and (spans[-1].role, spans[-1].end) == (role, start):
                spans[-1] = spans[-1]._replace(end=end)
            else:
                spans.append(Span(role, start, end))
        return text, spans


def in_order(
    sentences: Int[np.ndarray, "texts k slots"], order: Int[np.ndarray, "texts k"]
) -> Int[np.ndarray, "texts k slots"]:
    """The sentences of each text in the order that its row says."""
    texts, k, slots = sentences.shape
    rows = order + k * np.arange(texts)[:, None]
    return sentences.reshape(texts * k, slots).take(rows.ravel(), axis=0).reshape(texts, k, slots)


def stack_outlines(parts: list[Int[np.ndarray, "_ _"]]) -> Int[np.ndarray, "texts slots"]:
    """The outlines of several parts in one array, narrower ones filled with the empty piece."""
    if len(parts) == 1:
        return parts[0]
    slots = max(part.shape[1] for part in parts)
    return np.concatenate([np.pad(part, ((0, 0), (0, slots - part.shape[1])), constant_values=EMPTY) for part in parts])
