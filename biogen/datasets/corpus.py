"""A corpus: pieces of text files, such as source code, in place of texts about people.

In: a `DataConfig` whose option `corpus` names the files, and arrays of numbers of pieces. Out: outlines, with the
pieces and the tokenizer for them. A "person" is a piece for training, the same at every exposure; the seed chooses
which of them are the `people`. Other pieces are held out, the same for every seed.

How much information is in such texts is not known, so no bits are counted: what is measured is the loss.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Int
from pydantic import Field

from basis.text import printable
from biogen.config import DataConfig, Frozen
from biogen.corpus import MUST, corpus_files, read_corpus
from biogen.corpus_tokens import cut_texts
from biogen.dataset import EVALUATION, Dataset
from biogen.information import Bits
from biogen.pieces import PieceList, Pieces, Role
from biogen.rng import Stream, permute
from biogen.tokenizer import END, Tokenizer

_TEXT = int(Role.VALUES)
_SPECIAL = (END,)
_FIRST = 1 + len(_SPECIAL)
"""The number of the first piece of text."""
_NOTHING = Bits(0.0, 0.0, 0.0)


class Options(Frozen):
    """The options of a corpus."""

    length: int = Field(512, ge=16, le=65_536)
    """Tokens of a piece at most, with the special tokens before it."""


class CorpusPieces(Dataset):
    """Pieces of the files that `corpus` names."""

    title = "corpus"
    options = frozenset({"corpus", "tokenizer", "vocab"})
    own_options = Options
    known_bits = False

    def __init__(self, config: DataConfig) -> None:
        """Raises ValueError for files that cannot be read, and for what the tokenizer cannot meet."""
        super().__init__(config)
        self.tokenizer, self.pieces, self._training = _laid_out(config)
        self._held_out = len(self.pieces.strings) - _FIRST - self._training

    @classmethod
    def count_names(cls, config: DataConfig) -> int:
        """The number of pieces for training."""
        return _laid_out(config)[2]

    @classmethod
    def carried(cls, config: DataConfig) -> dict[str, dict[str, Path]]:
        """The files of the corpus."""
        return {"corpus": corpus_files(_named(config))}

    @classmethod
    def mistakes(cls, config: DataConfig) -> list[str]:
        """Lines about options that do not fit, and about too little text."""
        lines = super().mistakes(config)
        for option, must in {"population": "fixed", "junk": 0, "domain_token": False}.items():
            if (value := getattr(config, option)) != must:
                lines.append(f"{option}: {value} is not allowed with a corpus; must be {must}")
        if config.tokenizer == "word":
            lines.append(
                "tokenizer: word is not allowed with a corpus; must be bpe, bytes, or a Hugging Face tokenizer"
            )
        if not lines and config.people > (there := cls.count_names(config)):
            told = f"{printable(_named(config))} has so many pieces for training"
            lines.append(f"people: {config.people} is not allowed; must be at most {there}, since {told}")
        if lines:  # whatever else is asked would need the texts
            raise ValueError("\n".join(lines))
        return lines

    @property
    def value_roles(self) -> dict[str, tuple[int, ...]]:
        """A piece is one value, so that the value loss is that of a whole piece."""
        return {"text": (_TEXT,)}

    @property
    def qa_roles(self) -> dict[str, tuple[int, ...]]:
        """Nothing is completed."""
        return {}

    @property
    def texts(self) -> int:
        """A piece has one text: itself."""
        return 1

    @property
    def longest_text(self) -> int:
        """Tokens of the longest piece, with its special tokens."""
        return len(_SPECIAL) + int(self.pieces.lengths[_FIRST:].max())

    def outlines(
        self, index: Int[np.ndarray, " n"], exposure: int | Int[np.ndarray, " n"]
    ) -> Int[np.ndarray, "n slots"]:
        """The pieces with these numbers; from `names` on those that are held out."""
        piece, trained = index.astype(np.int64), index < self._training
        piece[trained] = permute(index[trained], self._training, self.config.seed, Stream.NAMES)
        return np.concatenate([self.head(index), _FIRST + piece[:, None]], axis=1)

    @property
    def names(self) -> int:
        """The number of pieces for training."""
        return self._training

    @property
    def held_out_texts(self) -> int:
        """The number of pieces that are held out."""
        return self._held_out

    @property
    def held_out_tokens(self) -> int:
        """Tokens of all of them."""
        lengths = self.pieces.lengths[_FIRST + self._training :]
        return int(lengths.sum()) + len(lengths) * len(_SPECIAL)

    def draw_held_out(self, first: int, count: int, turn: int) -> tuple[Int[np.ndarray, " n"], int]:
        """Held-out pieces, in an order that is the same for every seed. Raises ValueError for a second round."""
        if turn:
            raise ValueError(
                f"heldout_tokens: too many; this corpus has {self.held_out_tokens} tokens that are held out"
            )
        place = permute(np.arange(first, first + count), self._held_out, 0, Stream.PEOPLE)
        return self._training + place, EVALUATION

    def covering_texts(self) -> list[str]:
        """All pieces."""
        return self.pieces.strings[_FIRST:]

    @property
    def log2_values(self) -> float:
        """Not known; 0."""
        return 0.0

    def bits(self, p1: float, p2: float, p3: float = 0.0) -> Bits:
        """None are counted."""
        return _NOTHING

    def max_bits(self) -> Bits:
        """None are counted."""
        return _NOTHING

    def lower_bound(self, p1: float, p2: float, p3: float = 0.0) -> Bits:
        """None are counted."""
        return _NOTHING


def _named(config: DataConfig) -> str:
    """The option `corpus`. Raises ValueError where it is left out."""
    if config.corpus is None:
        raise ValueError(f"corpus: is required with data set corpus; {MUST}")
    return config.corpus


def _laid_out(config: DataConfig) -> tuple[Tokenizer, Pieces, int]:
    """The tokenizer, the pieces, and how many of them are for training. Raises ValueError."""
    corpus = _named(config)
    texts = read_corpus(corpus)
    most = Options(**config.dataset_options).length - len(_SPECIAL)
    found = _lay_out(texts.training, texts.held_out, config.tokenizer, config.vocab, most)
    if not 0 < found[2] < len(found[1].strings) - _FIRST:
        raise ValueError(
            f"corpus: {printable(corpus)} has too little text ({texts.bytes:,} bytes in {texts.files:,} files); must "
            "have a piece for training and one that is held out"
        )
    return found


@lru_cache(maxsize=2)
def _lay_out(
    training: tuple[str, ...], held_out: tuple[str, ...], tokenizer: str, vocab: int, most: int
) -> tuple[Tokenizer, Pieces, int]:
    """The same of texts. It is done once for all the runs of a sweep that differ in other options."""
    cut = cut_texts(training, held_out, name=tokenizer, vocab=vocab, most=most)
    heads = PieceList(_SPECIAL)
    strings, roles = heads.strings + cut.strings, heads.roles + [_TEXT] * len(cut.strings)
    lengths = np.concatenate([[0], np.ones(len(_SPECIAL), dtype=np.int64), cut.lengths])
    tokens = np.concatenate([np.arange(len(_SPECIAL), dtype=np.uint32), cut.tokens])
    return cut.tokenizer, Pieces.of_tokens(strings, roles, lengths, tokens), cut.training
