"""The texts that a model is measured on, in the tokens of its own tokenizer.

In: a data set, and for models from elsewhere their Hugging Face tokenizer. Out: texts with roles, and questions.
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from biogen.dataset import EVALUATION, Dataset, draw_texts
from biogen.encoding import Encoder
from biogen.pieces import Role, Texts
from biogen.saved import beginning, plain
from biogen.tokenizer import DOMAIN

Tokens = Int[np.ndarray, " _"]
_BLOCK = 8192
"""People whose texts are held at a time."""


@runtime_checkable  # so that the tests can check annotations
class Source(Protocol):
    """Texts about the people of a data set."""

    dataset: Dataset

    @property
    def end(self) -> int:
        """The token before every text, which also ends a model's answer."""
        ...

    def texts(self, index: Int[np.ndarray, " n"], exposure: int) -> Texts:
        """One text a person, each after its end token."""
        ...

    def ask(self, index: Int[np.ndarray, " n"], exposure: int, attribute: int) -> tuple[list[Tokens], list[Tokens]]:
        """A question about one attribute of each person, and the answer with its full stop.

        attribute: its place in the data set's `questions`.
        """
        ...


class OwnTokens:
    """Texts in the data set's own tokens: those that our models are trained on."""

    end = 0

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def texts(self, index: Int[np.ndarray, " n"], exposure: int) -> Texts:
        """One text a person, each after its end token."""
        return draw_texts(self.dataset, index, exposure)

    def ask(self, index: Int[np.ndarray, " n"], exposure: int, attribute: int) -> tuple[list[Tokens], list[Tokens]]:
        """A question about one attribute of each person, and the answer with its full stop."""
        questions, answers = _split_questions(self.dataset, index, exposure, attribute)
        texts = [self.dataset.pieces.splice(outlines) for outlines in (questions, answers)]
        asked, answered = (np.split(text.tokens, text.offsets[1:-1]) for text in texts)
        return asked, answered


class OtherTokens:
    """The same texts as characters, tokenized by another model's tokenizer."""

    def __init__(self, dataset: Dataset, tokenizer: Any) -> None:
        """tokenizer: a fast one of transformers'. Raises ValueError if it loses characters, or lacks a token before
        every text, or the domain token."""
        self.dataset = dataset
        self._encoder = Encoder(plain(tokenizer), tokenizer.unk_token_id)
        covering = dataset.covering_texts()
        self._covering = self._encoder.known_tokens(covering)
        domain = DOMAIN if dataset.config.domain_token else None
        self._head, self.end = head_of(tokenizer, covering[0], domain)
        self.beginning = " ".join(tokenizer.convert_ids_to_tokens(self._head))
        """The tokens before every text, such as <s>."""

    def texts(self, index: Int[np.ndarray, " n"], exposure: int) -> Texts:
        """One text a person, each after its end token. Raises ValueError for tokens that are unknown or join roles."""
        return self._read(self.dataset.outlines(index, exposure))

    def ask(self, index: Int[np.ndarray, " n"], exposure: int, attribute: int) -> tuple[list[Tokens], list[Tokens]]:
        """A question about one attribute of each person, and the answer with its full stop."""
        questions, answers = _split_questions(self.dataset, index, exposure, attribute)
        render = self.dataset.pieces.render
        parts = [[render(row)[0] for row in rows] for rows in (questions, answers)]
        pieces = [piece for pair in zip(*parts, strict=True) for piece in pair]
        encoded = self._encoder.encode(list(map("".join, zip(*parts, strict=True))))
        owners = encoded.owners(np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces]))
        split = np.split(encoded.tokens, np.searchsorted(owners, np.arange(1, len(pieces))))
        return [np.array([*self._head, *ids]) for ids in split[::2]], split[1::2]

    def tokens_in_use(self) -> set[int]:
        """Every token that a text about any of the people can have.

        A token may hold a whole name, so the texts that hold every word are not enough: everybody's are read. A word
        that nobody has may be unknown to a tokenizer that was made of texts about these people.
        """
        used = {*self._head, *self._covering}
        for first in range(0, self.dataset.config.people, _BLOCK):
            index = np.arange(first, min(first + _BLOCK, self.dataset.config.people))
            used.update(np.unique(self.texts(index, EVALUATION).tokens).tolist())
            if self.dataset.questions:
                asked = self._read(self.dataset.question_outlines(index, EVALUATION))
                used.update(np.unique(asked.tokens).tolist())
        return used

    def _read(self, outlines: Int[np.ndarray, "n slots"]) -> Texts:
        """Texts with the roles of their tokens."""
        rendered = [self.dataset.pieces.render(row) for row in outlines]
        encoded = self._encoder.encode([text for text, _ in rendered])
        of_character = np.zeros(len(encoded.text), dtype=np.int64)
        for begin, (_, spans) in zip(encoded.bounds.tolist(), rendered, strict=False):
            for role, start, end in spans:
                of_character[begin + start : begin + end] = role
        roles = encoded.owners(of_character).astype(np.uint8)
        head, places = np.array(self._head), np.repeat(encoded.offsets[:-1], len(self._head))
        return Texts(
            np.insert(encoded.tokens, places, np.tile(head, len(rendered))).astype(np.int32),
            np.insert(roles, places, np.uint8(Role.OTHER)),
            encoded.offsets + len(head) * np.arange(len(encoded.offsets)),
        )


def head_of(tokenizer: Any, text: str, domain: str | None) -> tuple[list[int], int]:
    """The tokens before every text, such as <s>, and the one of them that ends a model's answer.

    domain: the domain token, if it stands before every text. Raises ValueError for a tokenizer that lacks one of them.
    """
    head = beginning(tokenizer, text)
    ends = [tokenizer.eos_token_id, tokenizer.bos_token_id, *head]
    end = next((token for token in ends if token is not None), None)
    if end is None:
        raise ValueError("tokenizer: it has no eos_token; must have one, which stands before every text")
    head = head or [int(end)]
    if domain is not None:
        if domain not in tokenizer.get_vocab():
            raise ValueError(f"tokenizer: it has no token {domain}; must have it for data with domain_token")
        head.append(int(tokenizer.convert_tokens_to_ids(domain)))
    return head, int(end)


def _split_questions(
    dataset: Dataset, index: np.ndarray, exposure: int, attribute: int
) -> tuple[Int[np.ndarray, "n asked"], Int[np.ndarray, "n answered"]]:
    outlines = dataset.question_outlines(index, exposure, attribute)
    border = dataset.question_answer_slots().start
    return outlines[:, :border], outlines[:, border:]
