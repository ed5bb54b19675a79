"""The recall of a model for each person: one teacher-forced pass over texts, summed by role.

In: a `LanguageModel` and texts with a role for every token. Out: for every person the losses (nats) of name and
values, and whether each value would be completed without a mistake.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from biogen.dataset import Dataset
from biogen.pieces import ROLES, Role, Texts
from eval.source import Source

IGNORE = -1
_BLOCK = 8192
"""People whose texts are held at a time."""
_BATCH_TOKENS = 1 << 13


@runtime_checkable  # so that the tests can check annotations
class LanguageModel(Protocol):
    """A model that can be measured. Rows are padded at their end, which a causal model does not see."""

    def score(
        self, inputs: Int[np.ndarray, "batch time"], targets: Int[np.ndarray, "batch time"]
    ) -> tuple[Float[np.ndarray, "batch time"], Bool[np.ndarray, "batch time"]]:
        """−ln Pr(target) in nats, and whether the target is the likeliest token; 0 and False where IGNORE."""
        ...

    def next_tokens(
        self, inputs: Int[np.ndarray, "batch time"], lengths: Int[np.ndarray, " batch"]
    ) -> Int[np.ndarray, " batch"]:
        """The likeliest token after the first `length` tokens of each row."""
        ...


@dataclass(frozen=True)
class Recall:
    """Losses in nats and completions, one row a person."""

    name: Float[np.ndarray, " people"]
    values: dict[str, Float[np.ndarray, " people"]]
    """The loss of each attribute's whole value, for the attributes that the value loss is about."""
    value: Float[np.ndarray, " people"]
    """The value loss: bioS sums over the attributes, bioD takes their mean (the paper's p2)."""
    first_chunks: dict[str, Float[np.ndarray, " people"]]
    """The loss of each value's first chunk; empty for data sets where it does not count apart."""
    completed: dict[str, Bool[np.ndarray, " people"]]
    """Whether each attribute would be completed: every token of its value is the likeliest one at its place."""

    @property
    def value1(self) -> Float[np.ndarray, " people"] | None:
        """A person's first-chunk loss, the mean over the attributes (p3); None where there are none."""
        return np.mean(list(self.first_chunks.values()), axis=0) if self.first_chunks else None


def score_texts(model: LanguageModel, texts: Texts) -> tuple[Float[np.ndarray, " total"], Bool[np.ndarray, " total"]]:
    """Loss in nats and correctness of every token of every text, given those before it in the text.

    The first token of a text is given: 0 nats, correct.
    """
    nats = np.zeros(len(texts.tokens), dtype=np.float64)
    correct = np.ones(len(texts.tokens), dtype=bool)
    for rows, inputs, targets in _batches(texts):
        row_nats, row_correct = model.score(inputs, targets)
        for row, nll, right in zip(rows, row_nats, row_correct, strict=True):
            start, end = texts.offsets[row], texts.offsets[row + 1]
            nats[start + 1 : end] = nll[: end - start - 1]
            correct[start + 1 : end] = right[: end - start - 1]
    return nats, correct


def recall_texts(model: LanguageModel, texts: Texts, dataset: Dataset) -> Recall:
    """The recall of a model for the people of these texts, one text a person."""
    nats, correct = score_texts(model, texts)
    cell = np.repeat(np.arange(len(texts)) * ROLES, texts.lengths) + texts.roles
    shape = (len(texts), ROLES)
    sums = np.bincount(cell, nats, minlength=len(texts) * ROLES).reshape(shape)
    wrong = np.bincount(cell, ~correct, minlength=len(texts) * ROLES).reshape(shape)
    values = {name: sums[:, list(roles)].sum(axis=1) for name, roles in dataset.value_roles.items()}
    first = {name: sums[:, roles[0]] for name, roles in dataset.value_roles.items()}
    return Recall(
        name=sums[:, Role.NAME],
        values=values,
        value=dataset.value_loss(values),
        first_chunks=first if dataset.first_chunk else {},
        completed={name: (wrong[:, list(roles)] == 0).all(axis=1) for name, roles in dataset.qa_roles.items()},
    )


def recall_people(model: LanguageModel, source: Source, index: Int[np.ndarray, " people"], exposure: int) -> Recall:
    """The recall of a model for people, over their texts of an exposure."""
    blocks = [
        recall_texts(model, source.texts(index[first : first + _BLOCK], exposure), source.dataset)
        for first in range(0, len(index), _BLOCK)
    ]
    return join(blocks)


def mean_accuracy(completed: dict[str, Bool[np.ndarray, " people"]], dataset: Dataset) -> float:
    """The share of exact values, over the attributes that bits count: not the company city, which is given away."""
    return float(np.mean([right for name, right in completed.items() if name in dataset.value_roles]))


def join(blocks: list[Recall]) -> Recall:
    """The people of several blocks in one."""

    def columns(name: str) -> dict[str, np.ndarray]:
        return {key: np.concatenate([getattr(b, name)[key] for b in blocks]) for key in getattr(blocks[0], name)}

    return Recall(
        np.concatenate([block.name for block in blocks]),
        columns("values"),
        np.concatenate([block.value for block in blocks]),
        columns("first_chunks"),
        columns("completed"),
    )


def pad_rows(texts: Texts, rows: Int[np.ndarray, " rows"]) -> Int[np.ndarray, "rows time"]:
    """Some texts as the rows of one array, padded with IGNORE."""
    lengths = texts.lengths[rows]
    places = np.arange(lengths.max())
    inside = places < lengths[:, None]
    padded = np.full(inside.shape, IGNORE, dtype=np.int64)
    padded[inside] = texts.tokens[(texts.offsets[rows][:, None] + places)[inside]]
    return padded


def _batches(texts: Texts) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Batches of texts of similar length: their rows, inputs and targets."""
    order = np.argsort(texts.lengths, kind="stable")
    first = 0
    while first < len(order):
        count = max(1, int(_BATCH_TOKENS // texts.lengths[order[first]]))
        rows = order[first : first + count]
        padded = pad_rows(texts, rows)
        yield rows, np.maximum(padded[:, :-1], 0), padded[:, 1:]
        first += count
