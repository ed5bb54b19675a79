"""Batches of token windows for training: every useful person once an exposure, junk and questions mixed in.

In: a corpus and a layout. Out: an iterator of `Batch`es that can be stopped anywhere and continued exactly.

Two layouts. `rows`: one text a row; texts of like length share a batch, so that little is padded. `packed`:
texts joined in random order, cut into windows of `context` tokens (the paper's); each token is predicted once.
The work goes by chunks, a part of an exposure each, so that memory does not grow with the number of people.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import numpy as np
from jaxtyping import Int, UInt8

from biogen.bios import BioS
from biogen.config import trained_on_questions
from biogen.corpus import Corpus, mean_length
from biogen.pieces import Texts, stack_plans
from biogen.rng import Stream, permute, random_words

IGNORE = -1
"""The target where nothing is to be predicted: behind the end of a short row."""

_CHUNK_PEOPLE = 8192
_END = 0


@dataclass(frozen=True)
class Batch:
    """One step's windows."""

    inputs: Int[np.ndarray, "batch time"]
    targets: Int[np.ndarray, "batch time"]
    """The token behind each input, or IGNORE."""
    roles: UInt8[np.ndarray, "batch time"]
    """The role of each target."""
    exposures: float
    """How often every useful person has been seen once this batch is done."""


@dataclass(frozen=True)
class Windows:
    """Windows that wait to be served, useful and junk apart until a chunk mixes them."""

    inputs: Int[np.ndarray, "windows time"]
    targets: Int[np.ndarray, "windows time"]
    roles: UInt8[np.ndarray, "windows time"]
    useful: np.ndarray


@dataclass
class _Cursor:
    """All that the iterator remembers: where it is, and what the last chunk left over."""

    chunk: int = 0
    served: int = 0
    junk_people: int = 0
    """Junk biographies written so far."""
    useful_windows: int = 0
    junk_windows: int = 0
    useful_tail: Int[np.ndarray, "2 n"] = field(default_factory=lambda: np.zeros((2, 0), dtype=np.int32))
    """Tokens and roles behind the last whole window."""
    junk_tail: Int[np.ndarray, "2 n"] = field(default_factory=lambda: np.zeros((2, 0), dtype=np.int32))
    waiting: Int[np.ndarray, "4 windows time"] | None = None
    """Whole windows that did not fill a batch: inputs, targets, roles, usefulness."""


class Batches:
    """An iterator over the batches of a training."""

    def __init__(
        self,
        corpus: Corpus,
        *,
        layout: Literal["rows", "packed"],
        context: int,
        batch: int,
        exposures: int,
    ) -> None:
        """batch: windows in a batch. context: tokens in a window (packed), or at most in a row (rows).

        Raises ValueError if there are not enough names for the junk, or a row is longer than `context`.
        """
        self.corpus, self.layout, self.context = corpus, layout, context
        self.batch, self.exposures = batch, exposures
        config = corpus.config
        self.people, self.junk = config.people, config.junk
        self._odds: Fraction = config.junk / (1 - config.junk)
        self._chunks_each = -(-self.people // _CHUNK_PEOPLE)
        self._cursor = _Cursor()
        self._asked = trained_on_questions(self.people) if config.questions == "half" else 0
        fresh = int(self._odds * self.people * exposures) + _CHUNK_PEOPLE * (self._odds > 0)
        if config.junk_people is None and self.people + fresh > corpus.names:
            raise ValueError(
                f"junk: {config.junk} for {exposures} exposures of {self.people} people takes {fresh} fresh "
                f"names; allowed is at most N0 - people = {corpus.names - self.people}"
            )

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
        cursor = self._cursor
        numbers = [
            cursor.chunk,
            cursor.served,
            cursor.junk_people,
            cursor.useful_windows,
            cursor.junk_windows,
        ]
        state = {
            "position": np.array(numbers, dtype=np.int64),
            "useful_tail": cursor.useful_tail,
            "junk_tail": cursor.junk_tail,
        }
        if cursor.waiting is not None:
            state["waiting"] = cursor.waiting
        return state

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue where `state` was taken, given the same corpus and layout."""
        chunk, served, junk_people, useful_windows, junk_windows = (int(n) for n in state["position"])
        self._cursor = _Cursor(
            chunk,
            served,
            junk_people,
            useful_windows,
            junk_windows,
            state["useful_tail"],
            state["junk_tail"],
            state.get("waiting"),
        )

    def expected_steps(self) -> int:
        """Batches of the whole training: exact for rows, and from the mean length of texts for packed."""
        if self.layout == "rows":
            return sum(-(-self._rows_in(chunk) // self.batch) for chunk in range(self._chunks_each * self.exposures))
        return max(1, round(self.expected_tokens() / (self.batch * self.context)))

    def expected_tokens(self) -> int:
        """Targets of the whole training, from the mean length of the texts."""
        useful = self.people * self.exposures * mean_length(self.corpus)
        if self._asked:
            assert isinstance(self.corpus, BioS)
            plan = self.corpus.question_plan(np.arange(self._asked)[:4096], 0)
            useful += self._asked * self.exposures * float(self.corpus.pieces.text_lengths(plan).mean())
        return round(useful * (1 + float(self._odds)))

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
        return int(self._odds * people)

    def _useful_plan(self, chunk: int) -> np.ndarray:
        """The biographies of a chunk, and its questions."""
        exposure = chunk // self._chunks_each
        seed = self.corpus.config.seed
        biographies, questions = self._parts(chunk)
        order = permute(np.array(biographies), self.people, seed, Stream.EXPOSURE, 2 * exposure)
        plans = [self.corpus.plan(order, exposure)]
        if questions:
            assert isinstance(self.corpus, BioS)
            asked = permute(np.array(questions), self._asked, seed, Stream.EXPOSURE, 2 * exposure + 1)
            plans.append(self.corpus.question_plan(asked, exposure))
        return stack_plans(plans)

    def _junk_plan(self, first: int, count: int) -> np.ndarray:
        """The junk texts from number `first` on: of new people, or of the repeating ones in a new order."""
        number = np.arange(first, first + count)
        repeating = self.corpus.config.junk_people
        if repeating is None:
            return self.corpus.plan(self.people + number, 0)
        plans = []
        for exposure in np.unique(number // repeating):
            place = number[number // repeating == exposure] % repeating
            order = permute(place, repeating, self.corpus.config.seed, Stream.EXPOSURE, (1 << 31) + int(exposure))
            plans.append(self.corpus.plan(self.people + order, int(exposure)))
        return stack_plans(plans)

    def _shuffle(self, chunk: int, count: int, purpose: int) -> np.ndarray:
        words = random_words(self.corpus.config.seed, Stream.BATCHES, np.arange(count), 1, 2 * chunk + purpose)
        return np.argsort(words[:, 0], kind="stable")

    def _progress(self, chunk: int, done: float) -> float:
        """Exposures when a share `done` of a chunk's useful text has been served."""
        exposure, _ = divmod(chunk, self._chunks_each)
        part, _ = self._parts(chunk)
        return exposure + (part.start + len(part) * done) / self.people

    def _rows(self, start: _Cursor) -> tuple[list[Batch], _Cursor]:
        chunk = start.chunk
        plan = self._useful_plan(chunk)
        useful = np.zeros(self._rows_in(chunk), dtype=bool)
        useful[: len(self._parts(chunk)[0])] = True
        junk = self._junk_before(chunk + 1) - self._junk_before(chunk)
        if junk:
            plan = stack_plans([plan, self._junk_plan(start.junk_people, junk)])
        order = self._shuffle(chunk, len(plan), 0)
        lengths = self.corpus.pieces.text_lengths(plan)
        if lengths.max() > self.context:
            raise ValueError(f"context: {self.context} is shorter than a text of {lengths.max()} tokens")
        order = order[np.argsort(lengths[order], kind="stable")]
        texts, useful = self.corpus.pieces.splice(plan[order]), useful[order]

        number = -(-len(plan) // self.batch)
        bounds = [len(plan) * i // number for i in range(number + 1)]
        batches, seen = [], 0
        for i in self._shuffle(chunk, number, 1):
            rows = slice(bounds[i], bounds[i + 1])
            seen += int(useful[rows].sum())
            batches.append(_pad(texts, rows, self._progress(chunk, seen / useful.sum())))
        return batches, _Cursor(chunk=chunk + 1, junk_people=start.junk_people + junk)

    def _packed(self, start: _Cursor) -> tuple[list[Batch], _Cursor]:
        chunk, last = start.chunk, start.chunk + 1 == self._chunks_each * self.exposures
        plan = self._useful_plan(chunk)
        stream = _join(start.useful_tail, self.corpus.pieces.splice(plan[self._shuffle(chunk, len(plan), 0)]))
        useful, useful_tail = _cut(stream, self.context, last)
        useful_windows = start.useful_windows + useful.shape[1]

        due = round(self._odds * useful_windows) - start.junk_windows
        junk, junk_tail, junk_people = self._junk_windows(start, due)
        windows = np.concatenate([useful, junk], axis=1)
        windows = windows[:, self._shuffle(chunk, windows.shape[1], 1)]
        if start.waiting is not None:
            windows = np.concatenate([start.waiting, windows], axis=1)

        whole = windows.shape[1] if last else windows.shape[1] // self.batch * self.batch
        total = max(1, int(windows[3, :, 0].sum()))
        batches, seen = [], 0
        for first in range(0, whole, self.batch):
            inputs, targets, roles, usefulness = windows[:, first : min(first + self.batch, whole)]
            seen += int(usefulness[:, 0].sum())
            done = self._progress(chunk, seen / total)
            batches.append(Batch(inputs, targets, roles.astype(np.uint8), done))
        after = _Cursor(
            chunk=chunk + 1,
            junk_people=junk_people,
            useful_windows=useful_windows,
            junk_windows=start.junk_windows + due,
            useful_tail=useful_tail,
            junk_tail=junk_tail,
            waiting=windows[:, whole:],
        )
        return batches, after

    def _junk_windows(self, start: _Cursor, due: int) -> tuple[np.ndarray, np.ndarray, int]:
        """As many windows of junk as are due, the tokens left over, and the junk texts written so far."""
        stream, people = start.junk_tail, start.junk_people
        while stream.shape[1] < due * self.context + 1 and due:
            missing = due * self.context + 1 - stream.shape[1]
            count = max(1, int(missing / mean_length(self.corpus, 256)))
            stream = _join(stream, self.corpus.pieces.splice(self._junk_plan(people, count)))
            people += count
        junk = _windows(stream, due, self.context, useful=False)
        return junk, stream[:, due * self.context :], people


def _pad(texts: Texts, rows: slice, exposures: float) -> Batch:
    """The texts of a slice as rows, behind which nothing is to be predicted."""
    lengths = texts.lengths[rows]
    flat = slice(texts.offsets[rows.start], texts.offsets[rows.stop])
    shape = (len(lengths), int(lengths.max()))
    inside = np.arange(shape[1]) < lengths[:, None]
    inputs = np.full(shape, _END, dtype=np.int32)
    inputs[inside] = texts.tokens[flat]
    targets = np.full(shape, IGNORE, dtype=np.int32)
    targets[:, :-1] = inputs[:, 1:]
    targets[~inside] = IGNORE
    targets[np.arange(shape[0]), lengths - 1] = _END
    roles = np.zeros(shape, dtype=np.uint8)
    roles[inside] = texts.roles[flat]
    return Batch(inputs, targets, np.pad(roles[:, 1:], ((0, 0), (0, 1))), exposures)


def _join(tail: np.ndarray, texts: Texts) -> np.ndarray:
    return np.concatenate([tail, np.stack([texts.tokens, texts.roles.astype(np.int32)])], axis=1)


def _windows(stream: np.ndarray, count: int, context: int, *, useful: bool) -> np.ndarray:
    """The first `count` windows of a stream: inputs, targets, roles of the targets, usefulness."""
    cut = (count, context)
    tokens, roles = stream
    inputs = tokens[: count * context].reshape(cut)
    targets = tokens[1 : count * context + 1].reshape(cut)
    return np.stack(
        [
            inputs,
            targets,
            roles[1 : count * context + 1].reshape(cut),
            np.full(cut, useful, dtype=np.int32),
        ]
    )


def _cut(stream: np.ndarray, context: int, last: bool) -> tuple[np.ndarray, np.ndarray]:
    """All whole windows of a stream of useful text, and what is left; the last of all windows is padded."""
    count = (stream.shape[1] - 1) // context
    if not last:
        return _windows(stream, count, context, useful=True), stream[:, count * context :]
    predicted = stream.shape[1]  # the last text's end is predicted too
    count = -(-predicted // context)
    filled = np.pad(stream, ((0, 0), (0, count * context + 1 - predicted)), constant_values=_END)
    windows = _windows(filled, count, context, useful=True)
    windows[1].reshape(-1)[predicted:] = IGNORE
    return windows, stream[:, :0]
