"""The data set of a configuration, whichever it is.

In: a `DataConfig`. Out: a `Corpus`, BioS or BioD, that plans texts about people by index.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from biogen.biod import BioD
from biogen.bios import BioS
from biogen.config import EVALUATION, DataConfig
from biogen.pieces import Pieces, Texts
from biogen.tokenizer import Tokenizer

__all__ = ["EVALUATION", "Corpus", "draw_texts", "make_corpus", "mean_length"]


@runtime_checkable  # so that the tests can check annotations
class Corpus(Protocol):
    """What BioS and BioD have in common."""

    config: DataConfig
    pieces: Pieces
    tokenizer: Tokenizer

    @property
    def names(self) -> int:
        """N0, the number of possible names."""
        ...

    @property
    def value_roles(self) -> dict[str, int]:
        """The attributes that loss_value is about, with their (first) roles."""
        ...

    @property
    def qa_roles(self) -> dict[str, int]:
        """The attributes that are asked for, with their (first) roles."""
        ...

    @property
    def longest_text(self) -> int:
        """Tokens that no text has more of, with its special tokens."""
        ...

    def plan(self, index: Int[np.ndarray, " n"], exposure: int) -> Int[np.ndarray, "n slots"]:
        """The text of each person at an exposure, as rows of pieces that begin with the end token.

        Behind it stands the domain token, if there is one, for the useful people: those below `config.people`.
        """
        ...

    def covering_texts(self) -> list[str]:
        """Texts that together hold every token a text can hold."""
        ...


def make_corpus(config: DataConfig) -> BioS | BioD:
    """The data set of a configuration. Raises ValueError for options it cannot meet."""
    return BioS(config) if config.dataset == "bios" else BioD(config)


def draw_texts(corpus: Corpus, index: Int[np.ndarray, " n"], exposure: int) -> Texts:
    """The texts of people at an exposure as tokens, each after its end token."""
    return corpus.pieces.splice(corpus.plan(index, exposure))


def mean_length(corpus: Corpus, people: int = 4096) -> float:
    """Tokens in a text with its end token, averaged over (the first) useful people."""
    index = np.arange(min(people, corpus.config.people))
    return float(corpus.pieces.text_lengths(corpus.plan(index, EVALUATION)).mean())
