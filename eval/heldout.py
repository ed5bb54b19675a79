"""The loss on held-out texts: overall, by role, and by position in the window.

In: a data set and a `LanguageModel`. Out: nats a token. Held-out texts are drawn as those of a training are, and no
training draws them. Packed windows begin at a random place in a text, as those of a training do.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

from biogen.dataset import Dataset
from biogen.pieces import Role, Texts, stack_outlines
from eval.recall import IGNORE, LanguageModel, pad_rows

_END = 0
_BATCH_TOKENS = 1 << 13
_BLOCK = 8192
"""Texts that are drawn at a time."""
_EXACT, _AN_OCTAVE = 16, 8
"""Positions up to the first number have a bin each, later ones so many an octave."""
LOSS, AT = "heldout_loss", "heldout_loss_at_"
"""The overall loss in a record, and the beginning of the names of losses by position: `heldout_loss_at_17_18`."""


@dataclass(frozen=True)
class HeldOutWindows:
    """Windows of held-out text, one a row."""

    inputs: Int[np.ndarray, "windows time"]
    targets: Int[np.ndarray, "windows time"]
    """The token after each input, or IGNORE behind the end of a text."""
    roles: UInt8[np.ndarray, "windows time"]
    """The role of each target."""


def heldout_windows(
    dataset: Dataset, *, layout: Literal["rows", "packed"], context: int, tokens: int
) -> HeldOutWindows:
    """About so many tokens of held-out text, one window at least.

    rows: one text a window, with the end behind it. packed: texts one after another, cut every `context` tokens from a
    random place on.
    """
    if layout == "packed":
        offset = int(np.random.default_rng(dataset.config.seed).integers(context))
        return _packed(dataset, context, max(1, tokens // context), offset)
    return _rows(_texts(dataset, tokens))


def check_heldout(dataset: Dataset, *, layout: Literal["rows", "packed"], context: int, tokens: int) -> None:
    """Raises ValueError if a data set has less held-out text than `heldout_windows` needs, with the option's name."""
    if (most := dataset.held_out_tokens) is not None:
        beside, least = (context, context) if layout == "packed" else (0, 1)
        if max(tokens, least) + beside > most:
            allowed = f"at most {most - beside}" if most >= least + beside else "0"
            raise ValueError(
                f"heldout_tokens: {tokens} is not allowed; must be {allowed}, since {most} tokens of the "
                f"{dataset.title} are held out"
            )


def _packed(dataset: Dataset, context: int, count: int, offset: int) -> HeldOutWindows:
    needed = offset + count * context + 1  # at most `context` more than are asked for
    texts = _texts(dataset, needed)
    tokens, roles = texts.tokens, texts.roles
    shape = (count, context)
    inputs, targets = (tokens[first : first + count * context].reshape(shape) for first in (offset, offset + 1))
    return HeldOutWindows(inputs.astype(np.int64), targets.astype(np.int64), roles[offset + 1 : needed].reshape(shape))


def _rows(texts: Texts) -> HeldOutWindows:
    every = np.arange(len(texts))
    inputs, roles = (pad_rows(one, every) for one in (texts, replace(texts, tokens=texts.roles.astype(np.int64))))
    targets, roles = (np.pad(one[:, 1:], ((0, 0), (0, 1)), constant_values=IGNORE) for one in (inputs, roles))
    targets[every, texts.lengths - 1] = _END
    return HeldOutWindows(np.where(inputs == IGNORE, _END, inputs), targets, np.maximum(roles, 0).astype(np.uint8))


def _texts(dataset: Dataset, tokens: int) -> Texts:
    """Held-out texts of so many tokens at least. Raises ValueError if there are not so many."""
    count, parts = dataset.held_out_texts, []
    each = max(1, min(_BLOCK, count, -(-tokens // dataset.longest_text)))
    for turn in itertools.count():
        for first in range(0, count, each):
            index, number = dataset.draw_held_out(first, min(each, count - first), turn)
            parts.append(dataset.outlines(index, number))
            tokens -= int(dataset.pieces.text_lengths(parts[-1]).sum())
            if tokens <= 0:
                return dataset.pieces.splice(stack_outlines(parts))
    raise AssertionError("rounds have no end")


def heldout_record(model: LanguageModel, windows: HeldOutWindows, dataset: Dataset) -> dict[str, float]:
    """The mean losses of a model in nats a token.

    Keys: `heldout_loss`, `heldout_loss_ROLE` for the name, each value and all else ("other"), and
    `heldout_loss_at_FIRST_LAST` for the targets that stand behind so many tokens of their window.
    """
    nats = _score(model, windows)
    there = windows.targets != IGNORE
    names = dataset.role_names
    roles = np.array([names.get(role, "other") for role in range(256)])[windows.roles]
    found = {LOSS: float(nats[there].mean())}
    for name in dict.fromkeys((names[Role.NAME], *names.values(), "other")):
        if (of_role := there & (roles == name)).any():
            found[f"{LOSS}_{name}"] = float(nats[of_role].mean())
    for first, last in position_bins(windows.targets.shape[1]):
        at = (slice(None), slice(first - 1, last))
        if there[at].any():
            found[f"{AT}{first}_{last}"] = float(nats[at][there[at]].mean())
    return found


def position_bins(context: int) -> list[tuple[int, int]]:
    """The first and last position of each bin, 1 to `context`; a target at position i stands behind i tokens."""
    octaves = max(0.0, np.log2(context / _EXACT)) if context > _EXACT else 0.0
    later = _EXACT * 2 ** (np.arange(1, 2 + int(octaves * _AN_OCTAVE)) / _AN_OCTAVE)
    ends = [*range(1, min(context, _EXACT) + 1), *(int(end) for end in later if end < context), context]
    ends = sorted(set(ends))
    return list(zip([1, *(end + 1 for end in ends[:-1])], ends, strict=True))


def by_position(record: Mapping[str, object]) -> list[tuple[int, int, float]]:
    """The losses by position in a record: first and last position of each bin, and its loss, in order."""
    bins = []
    for name, value in record.items():
        if name.startswith(AT) and isinstance(value, int | float):
            first, last = name.removeprefix(AT).split("_")
            bins.append((int(first), int(last), float(value)))
    return sorted(bins)


def _score(model: LanguageModel, windows: HeldOutWindows) -> Float[np.ndarray, "windows time"]:
    rows = max(1, _BATCH_TOKENS // windows.inputs.shape[1])
    parts = [
        model.score(windows.inputs[first : first + rows], windows.targets[first : first + rows])[0]
        for first in range(0, len(windows.inputs), rows)
    ]
    return np.concatenate(parts).astype(np.float64)
