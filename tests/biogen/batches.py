"""Batches read back: the texts in rows and in packed windows, and those that ought to be there."""

from collections import Counter

import numpy as np

from biogen.dataset import Dataset, draw_texts
from biogen.pieces import Role, Texts
from biogen.windows import IGNORE, Batch, Batches

END = 0
FIELDS = ("inputs", "targets", "roles", "exposures")
Text = tuple[int, ...]


def split(texts: Texts) -> list[Text]:
    return [tuple(text.tolist()) for text in np.split(texts.tokens, texts.offsets[1:-1])]


def useful(dataset: Dataset, exposures: int) -> Counter[Text]:
    index = np.arange(dataset.config.people)
    return Counter(text for exposure in range(exposures) for text in split(draw_texts(dataset, index, exposure)))


def junk(dataset: Dataset, first: int, count: int) -> list[Text]:
    """Fresh junk is about the people behind the useful ones."""
    return split(draw_texts(dataset, dataset.config.people + np.arange(first, first + count), 0))


def rows_of(batches: list[Batch]) -> list[Text]:
    """The texts of rows, and a check that targets are what follows the inputs and END behind the last."""
    rows = []
    for batch in batches:
        lengths = (batch.targets != IGNORE).sum(axis=1)
        for inputs, targets, roles, length in zip(batch.inputs, batch.targets, batch.roles, lengths, strict=True):
            assert inputs[0] == END
            assert (inputs[length:] == END).all()
            assert (targets[length:] == IGNORE).all()
            assert (roles[length - 1 :] == Role.OTHER).all()
            assert targets[:length].tolist() == [*inputs[1:length], END]
            rows.append(tuple(inputs[:length].tolist()))
    return rows


def stream_of(batches: list[Batch]) -> np.ndarray:
    """All inputs one behind the other, up to the last that has a target."""
    inputs, targets = (np.concatenate([getattr(batch, name) for batch in batches]).ravel() for name in FIELDS[:2])
    assert (targets[:-1][targets[:-1] != IGNORE] == inputs[1:][targets[:-1] != IGNORE]).all()
    return inputs[: np.flatnonzero(targets != IGNORE)[-1] + 1]


def make_batches(
    dataset: Dataset, layout: str, *, exposures: int = 1, batch: int = 8, context: int | None = None
) -> Batches:
    context = context or {"rows": 200, "packed": 64}[layout]
    return Batches(dataset, layout=layout, context=context, batch=batch, exposures=exposures)


def targets_of(batches: list[Batch]) -> int:
    return sum(int((batch.targets != IGNORE).sum()) for batch in batches)


def cut_texts(stream: np.ndarray) -> list[Text]:
    """Texts of a stream, each with the end token before it."""
    return [tuple(text.tolist()) for text in np.split(stream, np.flatnonzero(stream == END)[1:])]
