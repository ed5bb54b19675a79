"""The form of texts: what stands in them whoever the people are, with blanks for what the people decide.

In: the options of a data set. Out: `Form`, from which a decoder can write the texts once it has the choices. Making a
form draws templates and orders alone; `hidden_people` of `biogen/rng.py` makes sure of it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int


@dataclass(frozen=True)
class Blank:
    """A place that a person fills with one of some strings."""

    field: str
    """The field of a person that it is, or is a part of, as `Dataset.describe` names it."""
    role: int
    """The role of its tokens."""
    strings: tuple[str, ...]
    follows: int | None = None
    """The number of another blank, if the choice is that of its last place before: nothing of it is to be decoded."""


@dataclass(frozen=True)
class Form:
    """Texts with blanks."""

    head: tuple[str, ...]
    """The special tokens before every text, but for the end token."""
    strings: list[str]
    """What may stand between blanks."""
    blanks: list[Blank]
    outlines: Int[np.ndarray, "n slots"]
    """Each text as the numbers of strings; −1 − b stands for blank b."""

    def render(self, row: int, choices: dict[int, int] | None = None) -> list[tuple[int, str]]:
        """The slots of a text that are not empty, in order: the number of a string or blank, and its characters.

        choices: by slot; those left out are 0.
        """
        chosen = choices or {}
        slots = enumerate(self.outlines[row].tolist())
        written = [
            (number, self.strings[number] if number >= 0 else self.blanks[-1 - number].strings[chosen.get(slot, 0)])
            for slot, number in slots
        ]
        return [(number, string) for number, string in written if string]
