"""The texts that a model is measured on, in the tokens of its own tokenizer.

In: a data set, and for models from elsewhere their Hugging Face tokenizer. Out: texts with roles, and questions.
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from biogen.dataset import Dataset, draw_texts
from biogen.pieces import Role, Span, Texts
from biogen.tokenizer import DOMAIN

Tokens = Int[np.ndarray, " _"]


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
        """tokenizer: a fast one of transformers'. Raises ValueError if it lacks the end or the domain token."""
        self.dataset, self.tokenizer = dataset, tokenizer
        end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.bos_token_id
        if end is None:
            raise ValueError("tokenizer: it has no eos_token; must have one, which stands before every text")
        self.end = int(end)
        self._head = [self.end]
        if dataset.config.domain_token:
            if DOMAIN not in tokenizer.get_vocab():
                raise ValueError(f"tokenizer: it has no token {DOMAIN}; must have it for data with domain_token")
            self._head.append(int(tokenizer.convert_tokens_to_ids(DOMAIN)))

    def texts(self, index: Int[np.ndarray, " n"], exposure: int) -> Texts:
        """One text a person, each after its end token. Raises ValueError for tokens that are unknown or join roles."""
        rendered = [self.dataset.pieces.render(row) for row in self.dataset.outlines(index, exposure)]
        tokens, roles, lengths = [], [], []
        for (text, spans), (ids, offsets) in zip(rendered, self._encode([t for t, _ in rendered]), strict=True):
            tokens += [*self._head, *ids]
            roles += [Role.OTHER] * len(self._head) + _token_roles(text, spans, offsets)
            lengths.append(len(self._head) + len(ids))
        return Texts(
            np.array(tokens, dtype=np.int32),
            np.array(roles, dtype=np.uint8),
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        )

    def ask(self, index: Int[np.ndarray, " n"], exposure: int, attribute: int) -> tuple[list[Tokens], list[Tokens]]:
        """A question about one attribute of each person, and the answer with its full stop."""
        questions, answers = _split_questions(self.dataset, index, exposure, attribute)
        render = self.dataset.pieces.render
        asked = [render(row)[0] for row in questions]
        whole = [question + render(row)[0] for question, row in zip(asked, answers, strict=True)]
        prompts, wanted = [], []
        for question, (ids, offsets) in zip(asked, self._encode(whole), strict=True):
            border = next(i for i, (_, end) in enumerate(offsets) if end > len(question))
            prompts.append(np.array([*self._head, *ids[:border]]))
            wanted.append(np.array(ids[border:]))
        return prompts, wanted

    def tokens_in_use(self) -> set[int]:
        """Every token that some text of the data set can have."""
        used = set(self._head)
        for ids, _ in self._encode(self.dataset.covering_texts()):
            used.update(ids)
        return used

    def _encode(self, texts: list[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
        try:
            encoded = self.tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
        except Exception as error:  # tokenizers has no kind of its own for a word without a token
            raise ValueError(f"tokenizer: it cannot read these texts ({error}); is it of another data set?") from None
        unknown = self.tokenizer.unk_token_id
        for text, ids in zip(texts, encoded["input_ids"], strict=True):
            if unknown is not None and unknown in ids:  # one guess would do for every such value
                raise ValueError(
                    f"tokenizer: it has no token for a part of {text[:60]!r}; must have one for every word"
                )
        return list(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True))


def _split_questions(
    dataset: Dataset, index: np.ndarray, exposure: int, attribute: int
) -> tuple[Int[np.ndarray, "n asked"], Int[np.ndarray, "n answered"]]:
    outlines = dataset.question_outlines(index, exposure, attribute)
    border = dataset.question_answer_slots().start
    return outlines[:, :border], outlines[:, border:]


def _token_roles(text: str, spans: list[Span], offsets: list[tuple[int, int]]) -> list[int]:
    """The role of each token of a text from those of its characters; spaces have none."""
    of_character = np.zeros(len(text), dtype=np.uint8)
    for role, start, end in spans:
        of_character[start:end] = role
    roles = []
    for start, end in offsets:
        letters = [place for place in range(start, end) if text[place] != " "]
        found = {int(of_character[place]) for place in letters} or {int(Role.OTHER)}
        if len(found) > 1:
            raise ValueError(
                f"tokenizer: makes one token of {text[start:end]!r} in {text[max(0, start - 20) : end + 20]!r}; "
                "allowed are tokenizers that split at spaces and before punctuation"
            )
        roles.append(found.pop())
    return roles
