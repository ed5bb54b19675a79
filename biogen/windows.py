"""Batches of token windows for training: N useful texts an exposure, junk and questions mixed in.

In: a data set and a layout. Out: an iterator of `Batch`es that can be stopped anywhere and continued exactly.

Two layouts. `rows`: one text a row; texts of like length share a batch, so that little is padded. `packed`:
texts joined in random order, cut into windows of `context` tokens (the paper's); each token is predicted once.
The work is done in chunks, parts of an exposure, so that memory does not grow with the number of people.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Literal

import numpy as np
from jaxtyping import Int, UInt8

from biogen.config import EVALUATION, trained_on_questions
from biogen.cursor import NO_TEXT, Cursor, Line, Windows, from_arrays, to_arrays
from biogen.dataset import Dataset, mean_length
from biogen.pieces import Texts, stack_outlines
from biogen.population import draw
from biogen.rng import Stream, permute, random_words

IGNORE = -1
"""The target where nothing is predicted: after the end of a short row."""

_CHUNK_PEOPLE = 8192
_MOST_COUNTED = 20_000
_SPARE = 1.1
"""How many times the expected exposures there are for a number of tokens; texts may be shorter than expected."""
_SAMPLE = 4096
"""Number of questions from which the mean length is estimated."""
_END = 0


@dataclass(frozen=True)
class Batch:
    """One step's windows."""

    inputs: Int[np.ndarray, "batch time"]
    targets: Int[np.ndarray, "batch time"]
    """The token after each input, or IGNORE."""
    roles: UInt8[np.ndarray, "batch time"]
    """The role of each target."""
    exposures: float
    """How often every useful person has been seen after this batch."""


class Batches:
    """An iterator over the batches of a training."""

    def __init__(
        self,
        dataset: Dataset,
        *,
        layout: Literal["rows", "packed"],
        context: int,
        batch: int,
        exposures: int | None = None,
        tokens: int | None = None,
    ) -> None:
        """batch: windows in a batch. context: tokens in a window (packed), or at most in a row (rows).

        exposures: how often every person is seen. tokens: in place of them, as many exposures as these take and a few.
        Raises ValueError if there are not enough names for the junk or new people, or if a text may be longer than a
        row.
        """
        self.dataset, self.layout, self.context = dataset, layout, context
        self.batch = batch
        config = dataset.config
        self.people = config.people
        self._odds: Fraction = config.junk / (1 - config.junk)
        self._chunks_each = -(-self.people // _CHUNK_PEOPLE)
        self._cursor = Cursor()
        self._asked = trained_on_questions(self.people) if config.questions == "half" else 0
        length = mean_length(dataset)
        self._useful_length = self._useful_tokens(length)
        self._junk_length = length - config.domain_token
        # The share of junk is one of tokens: questions and domain tokens make a person's useful text longer.
        self._junk_each = self._odds * Fraction(self._useful_length) / Fraction(self._junk_length)
        if layout == "rows" and dataset.longest_text > context:
            raise ValueError(f"context: {context} is too short; a text may have {dataset.longest_text} tokens")
        self._tokens = tokens
        if tokens is not None:
            exposures = 1 + math.ceil(tokens / self._tokens_each * _SPARE)
            if exposures >= EVALUATION:
                raise ValueError(
                    f"tokens: {tokens} is not allowed; {self.people} people would be seen 2^31 times or more"
                )
        if exposures is None:
            raise ValueError("exposures: is required where no tokens are given")
        self.exposures = exposures
        config.check_population(exposures)
        config.check_junk(self._all_junk(), exposures)

    def __iter__(self) -> Iterator[Batch]:
        while self._cursor.chunk < self._chunks_each * self.exposures:
            start = self._cursor
            batches, after = self._rows(start) if self.layout == "rows" else self._packed(start)
            while start.served < len(batches):
                start.served += 1
                yield batches[start.served - 1]
            self._cursor = after

    def state(self) -> dict[str, np.ndarray]:
        """Arrays from which `restore` continues with the next batch."""
        return to_arrays(self._cursor)

    def restore(self, state: dict[str, np.ndarray]) -> float:
        """Continue where `state` was taken, given the same data set and layout; returns the exposures done there.

        Raises ValueError for a state that this data set and layout cannot have.
        """
        cursor = from_arrays(state, self.context, self.dataset.tokenizer.vocab)
        self._check(cursor)
        chunk = replace(cursor, served=0)
        batches = (self._rows(chunk) if self.layout == "rows" else self._packed(chunk))[0] if cursor.served else []
        if cursor.served > len(batches):
            raise ValueError(f"served: {cursor.served} is not allowed; must be 0 to {len(batches)}")
        self._cursor = cursor
        return batches[cursor.served - 1].exposures if cursor.served else self._progress(cursor.chunk, 0.0)

    def _check(self, cursor: Cursor) -> None:
        """Raises ValueError for counts that do not fit each other."""
        chunks = self._chunks_each * self.exposures
        if cursor.chunk > chunks or (cursor.served and cursor.chunk == chunks):
            raise ValueError(f"chunk: {cursor.chunk} is not allowed; must be at most {chunks}")
        texts, windows = self._all_junk(), round(self._odds * cursor.useful_windows)
        least = 0
        if self.layout == "rows":
            least = texts = self._junk_before(cursor.chunk)
        if not least <= cursor.junk_texts <= texts:
            raise ValueError(f"junk_texts: {cursor.junk_texts} is not allowed; must be {least} to {texts}")
        if cursor.junk_windows != windows:
            raise ValueError(f"junk_windows: {cursor.junk_windows} is not allowed; must be {windows}")

    def expected_steps(self) -> int:
        """Batches of the whole training: from the mean length of texts for packed, and exact for rows.

        With junk, rows are counted in the first `_MOST_COUNTED` chunks.
        """
        if self.layout == "rows":
            counted = max(1, _MOST_COUNTED // self._chunks_each) if self._odds else 1  # else all exposures are equal
            chunks = self._chunks_each * min(counted, self.exposures)
            steps = sum(-(-self._rows_in(chunk) // self.batch) for chunk in range(chunks))
            return math.ceil(steps * self._chunks_each * self.expected_exposures / chunks)
        return -(-self.expected_tokens() // (self.batch * self.context))

    def expected_tokens(self) -> int:
        """Targets of the whole training: those that are asked for, or from the mean length of the texts."""
        return self._tokens or round(self.exposures * self._tokens_each)

    @property
    def expected_exposures(self) -> float:
        """How often every person is seen in the whole training; from the mean length of the texts for tokens."""
        return self._tokens / self._tokens_each if self._tokens else float(self.exposures)

    @property
    def _tokens_each(self) -> float:
        """Targets of an exposure, from the mean length of the texts."""
        return self.people * self._useful_length * (1 + float(self._odds))

    def _useful_tokens(self, length: float) -> float:
        """Mean tokens per person and exposure: a biography, and a question for people who are asked."""
        if not self._asked:
            return length
        outlines = self.dataset.question_outlines(np.arange(min(self._asked, _SAMPLE)), 0)
        return length + self._asked / self.people * float(self.dataset.pieces.text_lengths(outlines).mean())

    def _all_junk(self) -> int:
        """Junk texts of the whole training: exact for rows, an upper bound for packed."""
        texts = int(self._junk_each * self.people * self.exposures)
        return texts + texts // 50 + self.context if texts and self.layout == "packed" else texts

    def _rows_in(self, chunk: int) -> int:
        return sum(len(part) for part in self._parts(chunk)) + self._junk_before(chunk + 1) - self._junk_before(chunk)

    def _parts(self, chunk: int) -> tuple[range, range]:
        """Positions in this exposure's order of the people, and of the asked people, that a chunk covers."""
        number = chunk % self._chunks_each
        cut = [
            (total * number // self._chunks_each, total * (number + 1) // self._chunks_each)
            for total in (self.people, self._asked)
        ]
        return range(*cut[0]), range(*cut[1])

    def _junk_before(self, chunk: int) -> int:
        """Rows: junk texts due before a chunk."""
        exposure, number = divmod(chunk, self._chunks_each)
        people = exposure * self.people + self.people * number // self._chunks_each
        return int(self._junk_each * people)

    def _useful_outlines(self, chunk: int) -> np.ndarray:
        """The biographies of a chunk, and its questions."""
        exposure = chunk // self._chunks_each
        seed = self.dataset.config.seed
        biographies, questions = self._parts(chunk)
        index, number = draw(self.dataset.config, biographies.start, len(biographies), exposure)
        parts = [self.dataset.outlines(index, number)]
        if questions:
            asked = permute(_array(questions), self._asked, seed, Stream.EXPOSURE, 2 * exposure + 1)
            parts.append(self.dataset.question_outlines(asked, exposure))
        return stack_outlines(parts)

    def _junk_outlines(self, first: int, count: int) -> np.ndarray:
        """The junk texts from number `first` on: all people of the pool once, then again.

        Where `junk_people` limits the pool, every round has a new order.
        """
        number = np.arange(first, first + count)
        pool = self.dataset.config.junk_pool
        parts = []
        for exposure in np.unique(number // pool):
            order = number[number // pool == exposure] % pool
            if self.dataset.config.junk_people is not None:
                order = permute(order, pool, self.dataset.config.seed, Stream.EXPOSURE, (1 << 31) + int(exposure))
            parts.append(self.dataset.outlines(self.people + order, int(exposure)))
        return stack_outlines(parts)

    def _shuffle(self, chunk: int, *counts: int) -> list[Int[np.ndarray, " n"]]:
        """A random order of range(count) for each count."""
        number = np.concatenate([np.arange(count) for count in counts])
        purpose = np.repeat(np.arange(len(counts)), counts)
        words = random_words(self.dataset.config.seed, Stream.BATCHES, number, 1, 2 * chunk + purpose)[:, 0]
        return [np.argsort(part, kind="stable") for part in np.split(words, np.cumsum(counts)[:-1])]

    def _progress(self, chunk: int, done: float) -> float:
        """Exposures when a share `done` of a chunk's useful text has been served."""
        exposure, _ = divmod(chunk, self._chunks_each)
        part, _ = self._parts(chunk)
        return exposure + (part.start + len(part) * done) / self.people

    def _rows(self, start: Cursor) -> tuple[list[Batch], Cursor]:
        chunk = start.chunk
        outlines = self._useful_outlines(chunk)
        junk = self._junk_before(chunk + 1) - self._junk_before(chunk)
        if junk:
            outlines = stack_outlines([outlines, self._junk_outlines(start.junk_texts, junk)])
        number = -(-len(outlines) // self.batch)
        order, order_of_batches = self._shuffle(chunk, len(outlines), number)
        order = order[np.argsort(self.dataset.pieces.text_lengths(outlines)[order], kind="stable")]
        texts = self.dataset.pieces.splice(outlines[order])

        bounds = np.arange(number + 1) * len(outlines) // number
        heights, widths = np.diff(bounds), texts.lengths[bounds[1:] - 1]  # the last row is the longest
        arrays = _pad(texts, np.repeat(widths, heights))
        ends = np.cumsum(heights * widths)
        people = len(self._parts(chunk)[0])
        seen = np.cumsum(np.add.reduceat(order < people, bounds[:-1], dtype=np.int64)[order_of_batches])
        exposures = [self._progress(chunk, share) for share in (seen / people).tolist()]
        parts = np.stack([ends - heights * widths, ends, heights], axis=1)[order_of_batches].tolist()
        batches = []
        for (first, end, height), done in zip(parts, exposures, strict=True):
            inputs, targets, roles = (array[first:end].reshape(height, -1) for array in arrays)
            batches.append(Batch(inputs, targets, roles, done))
        return batches, Cursor(chunk=chunk + 1, junk_texts=start.junk_texts + junk)

    def _packed(self, start: Cursor) -> tuple[list[Batch], Cursor]:
        chunk, last = start.chunk, start.chunk + 1 == self._chunks_each * self.exposures
        outlines = self._useful_outlines(chunk)
        texts = self.dataset.pieces.splice(outlines[self._shuffle(chunk, len(outlines))[0]])
        useful, useful_tail = _cut_all(start.useful_tail.join(texts), self.context, last)
        useful_windows = start.useful_windows + len(useful)

        due = round(self._odds * useful_windows) - start.junk_windows
        line, junk_texts = self._junk_line(start, due * self.context + 1 if due else 0)
        junk = _cut(line, due, self.context, useful=False)
        mixed = _mix(useful, junk, self._shuffle(chunk, 0, len(useful) + due)[1], start.waiting)

        whole = len(mixed) if last else len(mixed) // self.batch * self.batch
        seen = np.cumsum(mixed.useful)
        batches = []
        for first in range(0, whole, self.batch):
            end = min(first + self.batch, whole)
            done = self._progress(chunk, int(seen[end - 1]) / max(1, int(seen[-1])))
            batches.append(Batch(mixed.inputs[first:end], mixed.targets[first:end], mixed.roles[first:end], done))
        after = Cursor(
            chunk=chunk + 1,
            junk_texts=junk_texts,
            useful_windows=useful_windows,
            junk_windows=start.junk_windows + due,
            useful_tail=useful_tail,
            junk_tail=line.after(due * self.context),
            waiting=mixed.after(whole),
        )
        return batches, after

    def _junk_line(self, start: Cursor, tokens: int) -> tuple[Line, int]:
        """At least so many tokens of junk, beginning with what was left over, and the junk texts written so far."""
        line, texts = start.junk_tail, start.junk_texts
        while len(line) < tokens:
            count = max(1, int((tokens - len(line)) / self._junk_length))
            line = line.join(self.dataset.pieces.splice(self._junk_outlines(texts, count)))
            texts += count
        return line, texts


def _array(numbers: range) -> Int[np.ndarray, " n"]:
    return np.arange(numbers.start, numbers.stop)


def _pad(texts: Texts, widths: Int[np.ndarray, " texts"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, targets and the targets' roles of rows of these widths, one text a row, all rows in one line."""
    missing = widths - texts.lengths
    padding = np.repeat(np.cumsum(widths) - np.cumsum(missing), missing) + np.arange(missing.sum())
    inside = np.ones(widths.sum(), dtype=bool)
    inside[padding] = False
    inputs = np.full(len(inside), _END, dtype=np.int32)
    inputs[inside] = texts.tokens
    roles = np.zeros(len(inside), dtype=np.uint8)
    roles[inside] = texts.roles
    # Behind a text stands an end token in any case: padding, or the first token of the next row.
    targets = np.append(inputs[1:], np.int32(_END))
    targets[padding] = IGNORE
    return inputs, targets, np.append(roles[1:], np.uint8(0))


def _cut(line: Line, count: int, context: int, *, useful: bool) -> Windows:
    """The first `count` windows of a line, without a copy."""
    end, shape = count * context, (count, context)
    return Windows(
        line.tokens[:end].reshape(shape),
        line.tokens[1 : end + 1].reshape(shape),
        line.roles[1 : end + 1].reshape(shape),
        np.full(count, useful),
    )


def _cut_all(line: Line, context: int, last: bool) -> tuple[Windows, Line]:
    """All whole windows of a line of useful text, and what is left; the last of all windows is padded."""
    if not last:
        count = (len(line) - 1) // context
        return _cut(line, count, context, useful=True), line.after(count * context)
    predicted = len(line)  # the last text's end is predicted too
    count = -(-predicted // context)
    missing = count * context + 1 - predicted
    filled = Line(np.pad(line.tokens, (0, missing), constant_values=_END), np.pad(line.roles, (0, missing)))
    windows = _cut(filled, count, context, useful=True)
    targets = windows.targets.copy()
    targets.reshape(-1)[predicted:] = IGNORE
    return replace(windows, targets=targets), NO_TEXT


def _mix(useful: Windows, junk: Windows, order: Int[np.ndarray, " n"], waiting: Windows | None) -> Windows:
    """The waiting windows, then the others mixed: the i-th of them is number `order[i]` of useful ones and junk."""
    parts = [useful, junk] if waiting is None else [waiting, useful, junk]
    first = 0 if waiting is None else len(waiting)
    place = np.concatenate([np.arange(first), first + np.argsort(order)])
    places = np.split(place, np.cumsum([len(part) for part in parts])[:-1])
    mixed = []
    for field in fields(Windows):
        arrays = [getattr(part, field.name) for part in parts]
        mixed.append(np.empty((len(place), *arrays[0].shape[1:]), dtype=arrays[0].dtype))
        for where, array in zip(places, arrays, strict=True):
            mixed[-1][where] = array
    return Windows(*mixed)
