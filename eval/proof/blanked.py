"""The form of texts in the tokens of a model's tokenizer: what is known of a text, and what may stand in its blanks.

In: a `Form` and a tokenizer. Out: for each text a walk along its tokens, which says at each place the token that must
stand there, or that one must be decoded. A choice ends where its tokens are those of a string, since none begins
another.
"""

from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from biogen.encoding import Encoder
from biogen.form import Form
from biogen.saved import plain
from eval.source import head_of

Person = dict[str, str]
"""A name and values, by the fields of `Dataset.describe`."""
Walk = Generator[int, int | None, Person]
"""Yields a token that must come next, or ~role where one of this role is to be sent; returns the person."""
_Tree = dict[int, Any]
"""The next token of strings that begin alike, with the tree behind it, or the number of the string."""


class Blanked:
    """The texts of a form."""

    def __init__(self, form: Form, tokenizer: Any) -> None:
        """Raises ValueError for a tokenizer that `eval.source.OtherTokens` would refuse, or to which two strings are
        one, or one the beginning of another."""
        self.form = form
        self._encoder = Encoder(plain(tokenizer), tokenizer.unk_token_id)
        usual = {b: self._usual(b) for b in self._in_use()}
        self._usual_slots = [
            {slot: usual[-1 - number] for slot, number in enumerate(outline.tolist()) if number < 0}
            for outline in form.outlines
        ]
        text = "".join(string for _, string in form.render(0, self._usual_slots[0]))
        self.head, self.end = head_of(tokenizer, text, "".join(form.head) or None)
        self._tokens = {b: self._tokens_of(b) for b in usual}
        self._trees = {b: _tree(tokens) for b, tokens in self._tokens.items() if form.blanks[b].follows is None}
        self._parts = self._cut(range(len(form.outlines)))

    def __len__(self) -> int:
        return len(self._parts)

    def walk(self, row: int) -> Walk:
        """Walk along a text behind its head. Raises ValueError for a token that no string has there."""
        chosen: dict[int, int] = {}
        person: Person = {}
        for number, known in self._parts[row]:
            blank = self.form.blanks[-1 - number] if number < 0 else None
            if blank is None:
                yield from known
                continue
            b = -1 - number
            if blank.follows is not None:
                choice = chosen[blank.follows]
                yield from self._tokens[b][choice]
            else:
                found: Any = self._trees[b]
                while isinstance(found, dict):
                    token = yield ~blank.role
                    if token not in found:
                        raise ValueError(f"token {token} is in no {blank.field} there")
                    found = found[token]
                chosen[b] = choice = found
            if blank.follows is None or blank.field not in person:
                person[blank.field] = person.get(blank.field, "") + blank.strings[choice]
        return {field: said.strip() for field, said in person.items()}

    def _in_use(self) -> list[int]:
        return [-1 - int(number) for number in np.unique(self.form.outlines) if number < 0]

    def _usual(self, b: int) -> int:
        """The first string of a blank that the tokenizer knows: one made for a data set may lack symbols."""
        strings = self.form.blanks[b].strings
        for choice, string in enumerate(strings):
            try:
                self._encoder.encode([string])
            except ValueError:
                continue
            return choice
        raise ValueError(f"tokenizer: it has no token for a part of {strings[0]!r}; is it of another data set?")

    def _tokens_of(self, b: int) -> dict[int, tuple[int, ...]]:
        """The tokens of each string of a blank, inside the first text that has it; without those that have none."""
        row, slot = (int(place) for place in np.argwhere(self.form.outlines == -1 - b)[0])
        texts = [self._usual_slots[row] | {slot: choice} for choice in range(len(self.form.blanks[b].strings))]
        try:
            return dict(enumerate(self._split(row, texts, slot)))
        except ValueError:
            found = {}
            for choice, text in enumerate(texts):
                try:
                    found[choice] = self._split(row, [text], slot)[0]
                except ValueError:
                    continue
            return found

    def _split(self, row: int, texts: Sequence[dict[int, int]], slot: int) -> list[tuple[int, ...]]:
        """The tokens in a slot of a text, for each of some choices."""
        rendered = [self.form.render(row, choices) for choices in texts]
        place = sum(1 for number in self.form.outlines[row, :slot].tolist() if number < 0 or self.form.strings[number])
        return [parts[place] for parts in self._encode(rendered)]

    def _encode(self, rendered: Sequence[Sequence[tuple[int, str]]]) -> list[list[tuple[int, ...]]]:
        """The tokens of each slot of texts."""
        encoded = self._encoder.encode(["".join(string for _, string in slots) for slots in rendered])
        lengths = [len(string) for slots in rendered for _, string in slots]
        owners = encoded.owners(np.repeat(np.arange(len(lengths)), lengths))
        borders = np.searchsorted(owners, np.arange(len(lengths) + 1)).tolist()
        tokens = encoded.tokens.tolist()
        split = iter([tuple(tokens[a:b]) for a, b in pairwise(borders)])
        return [[next(split) for _ in slots] for slots in rendered]

    def _cut(self, rows: Sequence[int]) -> list[list[tuple[int, tuple[int, ...]]]]:
        """The parts of each text: the number of a string with its tokens, or of a blank."""
        rendered = [self.form.render(row, self._usual_slots[row]) for row in rows]
        return [
            [(number, () if number < 0 else tokens) for (number, _), tokens in zip(slots, split, strict=True)]
            for slots, split in zip(rendered, self._encode(rendered), strict=True)
        ]


def _tree(strings: dict[int, tuple[int, ...]]) -> _Tree:
    """The tokens of strings as a tree. Raises ValueError if one begins another."""
    tree: _Tree = {}
    for choice, tokens in strings.items():
        *first, last = tokens
        inner: Any = tree
        for token in first:
            inner = inner.setdefault(token, {}) if isinstance(inner, dict) else None
        if not isinstance(inner, dict) or last in inner:
            raise ValueError("tokenizer: it begins one value of a pool like another whole one; no decoder tells them")
        inner[last] = choice
    return tree
