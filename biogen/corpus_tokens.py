"""The tokens of a corpus, cut into pieces.

In: texts for training and held-out ones, and the name of a tokenizer. Out: pieces of at most so many tokens, none of
which has parts of two texts. Each text is tokenized as a whole, so its pieces side by side are its tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int, UInt32

from biogen.encoding import one_line
from biogen.tokenizer import BYTES, Tokenizer, byte_letters, text_tokenizer

_BLOCK = 1 << 20
"""Characters of texts that are tokenized at a time."""


@dataclass(frozen=True)
class TextPieces:
    """All pieces, those for training first."""

    tokenizer: Tokenizer
    strings: list[str]
    """The characters of each."""
    lengths: Int[np.ndarray, " pieces"]
    tokens: UInt32[np.ndarray, " total"]
    """Of all pieces, one after another."""
    training: int
    """The number of pieces for training; the others are held out."""


@dataclass(frozen=True)
class _Text:
    """A text as tokens."""

    text: str
    tokens: UInt32[np.ndarray, " tokens"]
    places: Int[np.ndarray, " tokens"]
    """The first character of each."""
    begins: Bool[np.ndarray, " tokens"]
    """Whether it begins with a character of its own; the bytes of a character have the same one."""


def cut_texts(training: Sequence[str], held_out: Sequence[str], *, name: str, vocab: int, most: int) -> TextPieces:
    """The pieces of texts.

    name: `bytes`, `bpe` (trained on the texts for training, with at most `vocab` tokens), or a Hugging Face tokenizer.
    most: tokens in a piece, without the end token before it. Raises ValueError as `text_tokenizer` does.
    """
    tokenizer = text_tokenizer(name, vocab, training, held_out)
    read = _byte_reader(tokenizer) if name == BYTES else _reader(tokenizer)
    parts: list[np.ndarray] = []
    strings: list[str] = []
    lengths: list[int] = []
    counts = []
    for texts in (training, held_out):
        for text in read(texts):
            borders = _borders(text.begins, most)
            places = [0, *text.places[borders[1:-1]].tolist(), len(text.text)]
            strings += [text.text[start:end] for start, end in pairwise(places)]
            lengths += np.diff(borders).tolist()
            parts.append(text.tokens)
        counts.append(len(strings))
    tokens = np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint32)
    return TextPieces(tokenizer, strings, np.array(lengths, dtype=np.int64), tokens, counts[0])


_Reader = Callable[[Sequence[str]], Iterator[_Text]]


def _byte_reader(tokenizer: Tokenizer) -> _Reader:
    """What `_reader` gives for a token a byte, many times as fast."""
    number = tokenizer.backend.get_vocab()
    table = np.array([number.get(letter, 0) for letter in byte_letters()], dtype=np.uint32)

    def read(texts: Sequence[str]) -> Iterator[_Text]:
        for text in texts:
            values = np.frombuffer(text.encode(), dtype=np.uint8)
            begins = (values & 0xC0) != 0x80  # not a byte that goes on with a character, in UTF-8
            yield _Text(text, table[values], np.cumsum(begins) - 1, begins)

    return read


def _reader(tokenizer: Tokenizer) -> _Reader:
    """Tokenizes texts with a backend; what looks like a special token in them is text like any other."""
    backend = tokenizer.backend
    backend.encode_special_tokens = True

    def read(texts: Sequence[str]) -> Iterator[_Text]:
        for block in blocks(texts):
            with one_line():
                found = backend.encode_batch(block, add_special_tokens=False)
            for text, encoding in zip(block, found, strict=True):
                if not encoding.ids:
                    continue
                spans = np.array(encoding.offsets, dtype=np.int64)
                before = np.concatenate([[0], np.maximum.accumulate(spans[:-1, 1])])
                yield _Text(text, np.array(encoding.ids, dtype=np.uint32), spans[:, 0], spans[:, 0] >= before)

    return read


def blocks(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in lists of a limited length, so that memory does not grow with a corpus."""
    block: list[str] = []
    size = 0
    for text in texts:
        block.append(text)
        size += len(text)
        if size >= _BLOCK:
            yield block
            block, size = [], 0
    if block:
        yield block


def _borders(begins: Bool[np.ndarray, " tokens"], most: int) -> list[int]:
    """Where the pieces of a text begin, and its end: each as long as possible, and cut between characters.

    A character of more than `most` tokens is cut.
    """
    allowed = np.flatnonzero(begins)
    borders = [0]
    while (limit := borders[-1] + most) < len(begins):
        at = int(allowed[np.searchsorted(allowed, limit, side="right") - 1])
        borders.append(at if at > borders[-1] else limit)
    return [*borders, len(begins)]
