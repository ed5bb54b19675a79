"""Coins: a data set in one file. People have a code for a name and a row of coins to be known by.

capacity run --dataset coins:Coins --dataset-options '{flips: 16}' --people 1000 --sizes 1x32
"""

import numpy as np
from pydantic import Field

from biogen.config import DataConfig, Frozen
from biogen.dataset import Dataset, special_tokens
from biogen.pieces import PieceList, Role
from biogen.rng import Stream, below, permute, random_words
from biogen.tokenizer import word_tokenizer

LETTERS, LENGTH = 16, 4
"""A name is 4 letters out of 16, so that N0 = 65,536."""
CODES = [f"c{letter}" for letter in range(LETTERS)]
SIDES = ["heads", "tails"]


class Options(Frozen):
    """The options of this data set alone."""

    flips: int = Field(8, ge=1, le=200)
    """Coins a person."""


class Coins(Dataset):
    """Texts such as `The coins of c3 c1 c7 c0 show heads tails heads`, where every side is a fair coin's."""

    title = "coins"
    own_options = Options

    def __init__(self, config: DataConfig) -> None:
        super().__init__(config)
        self.flips = Options(**config.dataset_options).flips
        special = special_tokens(config)
        self.tokenizer = word_tokenizer(["The", "coins", "of", "show", *CODES, *SIDES], special)
        pieces = PieceList(special)
        self._before, self._between = pieces.add(["The coins of", " show"])
        self._codes = pieces.add([f" {code}" for code in CODES], Role.NAME)
        sides = [f" {side}" for side in SIDES]
        self._sides = np.stack([pieces.add(sides, Role.VALUES + flip) for flip in range(self.flips)])
        self.pieces = pieces.pieces(self.tokenizer.encode)

    @classmethod
    def count_names(cls, config: DataConfig) -> int:
        """N0, the number of possible names."""
        return LETTERS**LENGTH

    @property
    def value_roles(self) -> dict[str, tuple[int, ...]]:
        """Every coin is an attribute, with the role of its one token."""
        return {f"flip{flip}": (Role.VALUES + flip,) for flip in range(self.flips)}

    @property
    def log2_values(self) -> float:
        """Bits in one person's coins."""
        return float(self.flips)

    @property
    def longest_text(self) -> int:
        """Tokens of every text."""
        return len(special_tokens(self.config)) + 4 + LENGTH + self.flips

    def outlines(self, index: np.ndarray, exposure: int) -> np.ndarray:
        """The text of each person, the same at every exposure."""
        seed, n = self.config.seed, len(index)
        number = permute(index, self.names, seed, Stream.NAMES)
        name = self._codes[number[:, None] // LETTERS ** np.arange(LENGTH) % LETTERS]
        shown = below(random_words(seed, Stream.ATTRIBUTES, index, self.flips), len(SIDES))
        sides = self._sides[np.arange(self.flips), shown]
        before, between = (np.full((n, 1), piece) for piece in (self._before, self._between))
        return np.concatenate([self.head(index), before, name, between, sides], axis=1)

    def covering_texts(self) -> list[str]:
        """One text with every word in it."""
        return [" ".join(["The coins of", *CODES, "show", *SIDES])]
