"""The place of an iterator over batches, as arrays of a checkpoint and back."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt8

from biogen.pieces import Texts


@dataclass(frozen=True)
class Line:
    """Texts joined end to end."""

    tokens: Int[np.ndarray, " n"]
    roles: UInt8[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.tokens)

    def after(self, start: int) -> "Line":
        """A copy of the part from `start` on."""
        return Line(self.tokens[start:].copy(), self.roles[start:].copy())

    def join(self, texts: Texts) -> "Line":
        """This line with texts appended."""
        return Line(np.concatenate([self.tokens, texts.tokens]), np.concatenate([self.roles, texts.roles]))


@dataclass(frozen=True)
class Windows:
    """Windows of packed text, each all useful or all junk."""

    inputs: Int[np.ndarray, "windows time"]
    targets: Int[np.ndarray, "windows time"]
    roles: UInt8[np.ndarray, "windows time"]
    useful: Bool[np.ndarray, " windows"]

    def __len__(self) -> int:
        return len(self.useful)

    def after(self, start: int) -> "Windows":
        """A copy of the windows from `start` on."""
        return Windows(*(getattr(self, part.name)[start:].copy() for part in fields(self)))


NO_TEXT = Line(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.uint8))


@dataclass
class Cursor:
    """The state of the iterator: its place, and the remainder of the last chunk."""

    chunk: int = 0
    served: int = 0
    junk_texts: int = 0
    """Junk texts written so far."""
    useful_windows: int = 0
    junk_windows: int = 0
    useful_tail: Line = NO_TEXT
    """Useful text after the last whole window."""
    junk_tail: Line = NO_TEXT
    waiting: Windows | None = None
    """Whole windows that did not fill a batch."""


_COUNTS = ("chunk", "served", "junk_texts", "useful_windows", "junk_windows")
_REST: dict[str, type[Line | Windows]] = {"useful_tail": Line, "junk_tail": Line, "waiting": Windows}


def to_arrays(cursor: Cursor) -> dict[str, np.ndarray]:
    """The arrays from which `from_arrays` makes the cursor again."""
    arrays = {"position": np.array([getattr(cursor, name) for name in _COUNTS], dtype=np.int64)}
    for name in _REST:
        if rest := getattr(cursor, name):
            arrays |= {f"{name}.{part.name}": getattr(rest, part.name) for part in fields(rest)}
    return arrays


def from_arrays(arrays: Mapping[str, np.ndarray], context: int, vocab: int) -> Cursor:
    """The cursor that `to_arrays` wrote, for windows of `context` tokens from a vocabulary of `vocab`.

    Raises ValueError for arrays of other names, types, shapes or ranges.
    """
    arrays = dict(arrays)
    position = _checked("position", arrays.pop("position", None), np.int64, (len(_COUNTS),), 0, 1 << 62)
    rest: dict[str, Any] = {name: _read(name, arrays, context, vocab) for name in _REST if f"{name}.roles" in arrays}
    if arrays:
        raise ValueError(f"{min(arrays)!r:.100}: is not allowed; a place in the data has no such array")
    return Cursor(*position.tolist(), **rest)


def _read(name: str, arrays: dict[str, np.ndarray], context: int, vocab: int) -> Line | Windows:
    """A remainder, whose arrays are taken out of `arrays`."""
    kind = _REST[name]
    found: dict[str, Any] = {part.name: arrays.pop(f"{name}.{part.name}", None) for part in fields(kind)}
    count = len(np.atleast_1d(found["roles"]))
    for part, array in found.items():
        shape = (count,) if kind is Line or part == "useful" else (count, context)
        dtype, end = {"roles": (np.uint8, 256), "useful": (np.bool_, 2)}.get(part, (np.int32, vocab))
        _checked(f"{name}.{part}", array, dtype, shape, -1 if part == "targets" else 0, end)
    return kind(**found)


def _checked(name: str, array: np.ndarray | None, dtype: type, shape: tuple[int, ...], least: int, end: int) -> Any:
    """The array. Raises ValueError unless it has this type and shape, and numbers from `least` up to below `end`."""
    must = f"{np.dtype(dtype)} {list(shape)}, {least} to {end - 1}"
    if array is None or (array.dtype, array.shape) != (dtype, shape):
        has = "nothing" if array is None else f"{array.dtype} {list(array.shape)}"
        raise ValueError(f"{name}: {has} is not allowed; must be {must}")
    if array.size and not least <= array.min() <= array.max() < end:
        raise ValueError(f"{name}: {array.min()} to {array.max()} is not allowed; must be {must}")
    return array
