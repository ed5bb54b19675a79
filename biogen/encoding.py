"""Whole texts as tokens, each with the characters that it stands for; a tokenizer that loses a part of them is refused.

In: a backend of the library tokenizers, texts, and the owner of each character, such as a piece or a role. Out: tokens
and their owners. A token that is only a space belongs to what follows it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int
from tokenizers import Tokenizer as Backend

_AROUND = 20
"""Characters on each side of a fault that a message shows."""


@dataclass(frozen=True)
class Encoded:
    """Several texts joined end to end, as characters and as tokens."""

    text: str
    """The characters of all texts."""
    bounds: Int[np.ndarray, " texts_and_one"]
    """Text i is the characters [bounds[i], bounds[i + 1])."""
    tokens: Int[np.ndarray, " total"]
    starts: Int[np.ndarray, " total"]
    """The first character of each token."""
    ends: Int[np.ndarray, " total"]
    """The character after each token."""
    offsets: Int[np.ndarray, " texts_and_one"]
    """Text i is the tokens [offsets[i], offsets[i + 1])."""

    def owners(self, of_character: Int[np.ndarray, " characters"]) -> Int[np.ndarray, " total"]:
        """The owner of each token. Raises ValueError for a token over characters of two owners."""
        end_of_text = np.repeat(self.bounds[1:], np.diff(self.offsets))
        first = np.minimum(self.starts, end_of_text - 1)
        last = np.maximum(self.ends - 1, first)
        changes = np.concatenate([[0], np.cumsum(of_character[1:] != of_character[:-1])])
        if (joining := np.flatnonzero(changes[first] != changes[last])).size:
            one = int(joining[0])
            raise ValueError(
                f"tokenizer: makes one token of {self.text[first[one] : last[one] + 1]!r} in {self.around(one)!r}; "
                "allowed are tokenizers that split at spaces and before punctuation"
            )
        letters, before = _letters(self.text)
        letter = np.append(letters, len(self.text))[before[first]]  # its own first one, or the next
        return of_character[np.where(letter < end_of_text, letter, first)]

    def around(self, token: int) -> str:
        """The characters of a token, with some of its text on both sides."""
        row = np.searchsorted(self.offsets, token, side="right") - 1
        low, high = self.bounds[row], self.bounds[row + 1]
        return self.text[max(low, self.starts[token] - _AROUND) : min(high, self.ends[token] + _AROUND)]


class Encoder:
    """Encodes texts, and raises ValueError where their characters could not be told from the tokens."""

    def __init__(self, backend: Backend, unknown: int | None = None) -> None:
        """unknown: the token that a tokenizer has for what it does not know."""
        self._backend, self._unknown = backend, unknown
        self._said: dict[tuple[int, ...], str] = {}

    def encode(self, texts: Sequence[str]) -> Encoded:
        """The tokens of whole texts, without those that a tokenizer puts around them.

        Raises ValueError for a character that has no token, and for tokens that have stood for other characters.
        """
        with one_line():
            found = self._backend.encode_batch(list(texts), add_special_tokens=False)
        counts = [len(encoding.ids) for encoding in found]
        bounds = np.cumsum([0, *map(len, texts)])
        places = np.array([place for encoding in found for place in encoding.offsets], dtype=np.int64).reshape(-1, 2)
        places += np.repeat(bounds[:-1], counts)[:, None]
        tokens = np.array([token for encoding in found for token in encoding.ids], dtype=np.int64)
        encoded = Encoded("".join(texts), bounds, tokens, places[:, 0], places[:, 1], np.cumsum([0, *counts]))
        self._check(encoded)
        return encoded

    def known_tokens(self, texts: Sequence[str]) -> set[int]:
        """The tokens of texts as far as the tokenizer knows them: what it cannot read is left out."""
        found: set[int] = set()
        for text in texts:
            with suppress(ValueError), one_line():
                found.update(self._backend.encode(text, add_special_tokens=False).ids)
        return found - {self._unknown}

    def _check(self, encoded: Encoded) -> None:
        """Every letter is covered by tokens that always stand for these letters.

        A BPE gives the places of what it dropped to what follows, so the letter without a token may be a later one.
        """
        letters, before = _letters(encoded.text)
        first, last = before[encoded.starts], before[encoded.ends]
        depth = np.bincount(first, minlength=len(letters) + 1) - np.bincount(last, minlength=len(letters) + 1)
        if self._unknown is not None and (strange := np.flatnonzero(encoded.tokens == self._unknown)).size:
            raise ValueError(f"tokenizer: it has no token for a part of {encoded.around(int(strange[0]))!r}; {_MUST}")
        if (lost := letters[np.cumsum(depth)[:-1] == 0]).size:
            around = encoded.text[max(0, lost[0] - _AROUND) : lost[0] + _AROUND]
            raise ValueError(f"tokenizer: it has no token for a part of {around!r}; {_MUST}")
        tokens = np.flatnonzero(first < last)
        joined = np.append(first[tokens[1:]] < last[tokens[:-1]], False)
        self._remember(encoded, tokens, joined)

    def _remember(self, encoded: Encoded, tokens: Int[np.ndarray, " n"], joined: Bool[np.ndarray, " n"]) -> None:
        """Compare what tokens stand for with what they stood for so far.

        joined: whether a token shares a letter with the next one, as the bytes of a letter do: they count as one.
        """
        borders = [*np.flatnonzero(~np.concatenate([[False], joined[:-1]])).tolist(), len(tokens)]
        ids = encoded.tokens[tokens].tolist()
        starts, ends = encoded.starts[tokens].tolist(), encoded.ends[tokens].tolist()
        pairs = {(tuple(ids[a:b]), encoded.text[starts[a] : ends[b - 1]]) for a, b in pairwise(borders)}
        for key, said in pairs:
            letters = "".join(said.split())
            if (other := self._said.setdefault(key, letters)) != letters:
                one, two = sorted((letters, other))
                raise ValueError(f"tokenizer: it has the same token for {one!r} and {two!r}; {_MUST}")


@contextmanager
def one_line() -> Iterator[None]:
    """Turn whatever the library tokenizers raises for a text into a ValueError of one line."""
    try:
        yield
    except BaseException as error:  # tokenizers has no kind of its own; a panic of its Rust code is no Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = " ".join(str(error).split())
        raise ValueError(f"tokenizer: it cannot read these texts ({reason}); is it of another data set?") from None


_MUST = "must keep every character of a text"


def _letters(text: str) -> tuple[Int[np.ndarray, " letters"], Int[np.ndarray, " characters_and_one"]]:
    """The places of all characters that are not spaces, and the number of them before each place."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    is_letter = ~np.isin(codes, [code for code in np.unique(codes) if chr(code).isspace()])
    return np.flatnonzero(is_letter), np.concatenate([[0], np.cumsum(is_letter)])
