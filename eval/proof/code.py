"""The code of people: what a model's probabilities leave to be said about names and values.

In: a model in float64 and texts with blanks; the tokens to write, or a code to read. Out: a code, or people. Texts are
coded a block at a time, within a block a place at a time, at each place the names before the values: so the code
depends on no batch size. Names and values are codes of their own (constriction's range coder, 24-bit probabilities).

A file is the letters `KCP1`, a checksum, the number of the words of the names' code, and both codes: all
little-endian 32-bit words.
"""

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt32

from biogen.pieces import Role
from eval.proof.blanked import Blanked, Person
from eval.proof.chances import ambiguous, probabilities, rounded
from eval.proof.exact import Exact

BLOCK = 256
"""Texts in a block. Another number is another code."""
NAMES, VALUES = 0, 1
_MAGIC = b"KCP1"
_LEAST = 2.0**-24
"""What the coder gives to a token that has no probability."""
_MUST = "must be a file of eval.prove, for this model and these people"

Tokens = Int[np.ndarray, " _"]
Take = Callable[[int, Tokens, Tokens, int, Float[np.ndarray, "n vocab"]], Tokens]
"""The next token of some texts: of names or values, the texts' numbers, the roles, the place, the probabilities."""


@dataclass
class Written:
    """A code while it is written, and what it is about."""

    codes: tuple[UInt32[np.ndarray, " _"], UInt32[np.ndarray, " _"]]
    """Of names, and of values."""
    bits: Float[np.ndarray, "people roles"]
    """−log2 of the probability of each person's tokens, by role."""
    ambiguous: int = 0
    """Logits that another machine may round otherwise."""
    tokens: int = 0
    """Tokens that are coded."""
    people: list[Person] = field(default_factory=list)

    def content(self) -> bytes:
        """The file."""
        words = np.concatenate([np.array([len(self.codes[NAMES])], dtype=np.uint32), *self.codes])
        return _MAGIC + _bytes(np.array([_checksum(words, self.people)])) + _bytes(words)


def write(blanked: Blanked, exact: Exact, truth: list[Tokens]) -> Written:
    """The code of texts. truth: their tokens with their heads. Raises ValueError for texts of another form."""
    coders = [_constriction().stream.queue.RangeEncoder() for _ in range(2)]
    family = _family()
    bits = np.zeros((len(blanked), 256))

    def take(part: int, rows: Tokens, roles: Tokens, place: int, chances: np.ndarray) -> Tokens:
        tokens = np.array([truth[row][place] if place < len(truth[row]) else -1 for row in rows.tolist()])
        if (tokens < 0).any():
            raise ValueError("a text ends where a token is due")
        coders[part].encode(tokens.astype(np.int32), family, chances)
        bits[rows, roles] -= np.log2(np.maximum(chances[np.arange(len(rows)), tokens], _LEAST))
        return tokens

    try:
        people, written, doubts, count = _read_along(blanked, exact, take)
    except ValueError as error:
        raise _other_texts(str(error)) from None
    for wanted, found in zip(truth, written, strict=True):
        if not np.array_equal(wanted, found):
            raise _other_texts("other words stand between its values")
    names, values = (np.asarray(coder.get_compressed(), dtype=np.uint32) for coder in coders)
    return Written((names, values), bits, doubts, count, people)


def read(blanked: Blanked, exact: Exact, content: bytes) -> list[Person]:
    """The people in a file. Raises ValueError for one that was not written with this model."""
    words = np.frombuffer(content[len(_MAGIC) :][: (len(content) - 4) // 4 * 4], dtype="<u4").astype(np.uint32)
    if content[:4] != _MAGIC or len(content) % 4 or len(words) < 2 or words[1] > len(words) - 2:
        raise ValueError(f"code: it is no code of people; {_MUST}")
    border = 2 + int(words[1])
    decoders = [_constriction().stream.queue.RangeDecoder(part) for part in (words[2:border], words[border:])]
    family = _family()

    def take(part: int, rows: Tokens, roles: Tokens, place: int, chances: np.ndarray) -> Tokens:
        return np.asarray(decoders[part].decode(family, chances), dtype=np.int64)

    try:
        people, *_ = _read_along(blanked, exact, take)
    except (ValueError, AssertionError) as error:  # AssertionError: a code that no encoder writes
        raise ValueError(f"code: it is damaged, or of another model ({error}); {_MUST}") from None
    if not all(decoder.maybe_exhausted() for decoder in decoders) or _checksum(words[1:], people) != words[0]:
        raise ValueError(f"code: it is damaged, or of another model (its people are not those it was made of); {_MUST}")
    return people


def _read_along(blanked: Blanked, exact: Exact, take: Take) -> tuple[list[Person], list[Tokens], int, int]:
    """All texts, with each token where a blank is as `take` says: people, tokens, ambiguous logits, tokens coded."""
    people: list[Person] = []
    written: list[list[int]] = []
    doubts = count = 0
    for first in range(0, len(blanked), BLOCK):
        rows = range(first, min(first + BLOCK, len(blanked)))
        walks = {row: blanked.walk(row) for row in rows}
        due: dict[int, int] = {row: next(walk) for row, walk in walks.items()}
        found: dict[int, Person] = {}
        texts = {row: [*blanked.head] for row in rows}
        reading = exact.begin(len(rows))
        for token in blanked.head:
            logits = reading.next(np.full(len(rows), token))
        place = len(blanked.head)
        while due:
            coded = {
                NAMES: [row for row in due if due[row] < 0 and ~due[row] == Role.NAME],
                VALUES: [row for row in due if due[row] < 0 and ~due[row] != Role.NAME],
            }
            now = {row: token for row, token in due.items() if token >= 0}
            for part, some in coded.items():
                if some:
                    index = np.array(some)
                    of_rows = logits[index - first]
                    doubts, count = doubts + ambiguous(of_rows), count + len(some)
                    roles = np.array([~due[row] for row in some])
                    taken = take(part, index, roles, place, probabilities(rounded(of_rows)))
                    now |= dict(zip(some, taken.tolist(), strict=True))
            for row, token in now.items():
                texts[row].append(token)
                try:
                    due[row] = walks[row].send(token if due[row] < 0 else None)
                except StopIteration as ended:
                    found[row] = ended.value
                    del due[row]
            place += 1
            if due:
                logits = reading.next(np.array([now.get(row, blanked.end) for row in rows]))
        people += [found[row] for row in rows]
        written += [texts[row] for row in rows]
    return people, [np.array(text) for text in written], doubts, count


def _checksum(words: UInt32[np.ndarray, " _"], people: list[Person]) -> int:
    """Of what stands behind it in the file, and of the people."""
    return zlib.crc32(_bytes(words) + json.dumps(people, sort_keys=True).encode())


def _bytes(words: Int[np.ndarray, " _"] | UInt32[np.ndarray, " _"]) -> bytes:
    return words.astype("<u4").tobytes()


def _other_texts(why: str) -> ValueError:
    return ValueError(f"data: its texts are not of the form that a decoder knows ({why})")


def _constriction() -> Any:
    """The library of the coder. Raises ValueError where it is not installed."""
    try:
        import constriction
    except ImportError:
        raise ValueError("prove: needs constriction; pip install 'knowledge-capacity[prove]'") from None
    return constriction


def _family() -> Any:
    return _constriction().stream.model.Categorical(perfect=False)
