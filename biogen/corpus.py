"""The texts of a corpus: files of a user's own, or of Python's standard library.

In: a folder, a file, or a pattern such as `folder/**/*.py`. Out: the texts for training and those that are held out.
Files are only read. What is not text in UTF-8 is skipped, and so is a file with the content of another.

Files stand in a line, in an order that no seed changes. The last tenth of the line is held out, so at most one file has
a part on both sides.
"""

import glob
import hashlib
import os
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np

from basis.files import file_state
from basis.reading import open_file
from basis.text import printable
from biogen.rng import Stream, permute

MOST_BYTES, MOST_FILES = 1 << 26, 100_000
"""Bytes of all texts of a corpus, and files in it, at most."""
STANDARD_LIBRARY = "stdlib"
"""The first part of a path in Python's standard library, wherever that is: `stdlib/json`."""
_APART = frozenset({"site-packages", "dist-packages", "__pycache__"})
"""Folders that Python puts beside its own library and programs."""
_BEGINNING = 1 << 13
"""Bytes of a file in which a zero byte says that it is no text."""
HELD_OUT_SHARE = 10
"""One of so many characters is held out."""

MUST = "must be a folder, a file, or a pattern such as 'folder/**/*.py'"


@dataclass(frozen=True)
class Corpus:
    """The texts of some files."""

    training: tuple[str, ...]
    held_out: tuple[str, ...]
    """Texts that no training reads."""
    files: int
    skipped: int
    """Files that are no text in UTF-8, that have the content of another, or that cannot be read."""
    bytes: int
    """Of all texts."""


def corpus_files(corpus: str) -> dict[str, Path]:
    """The paths of a corpus's files by their names in its folder, sorted. Raises ValueError if there is none.

    Hidden files and folders, installed packages and compiled programs are left out.
    """
    if not corpus.strip():
        raise ValueError(f"corpus: {corpus!r} is not allowed; {MUST}")
    place = _place(corpus)
    try:
        folder, paths = _found(place)
        found = list(islice(paths, MOST_FILES + 1))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"corpus: {printable(corpus)} cannot be read ({reason}); {MUST}") from None
    if len(found) > MOST_FILES:
        raise ValueError(f"corpus: {printable(corpus)} has more than {MOST_FILES:,} files; name fewer")
    if not found:
        raise ValueError(f"corpus: {printable(corpus)} names no file; {MUST}")
    return {path.relative_to(folder).as_posix(): path for path in sorted(found)}


def read_corpus(corpus: str) -> Corpus:
    """The texts of a corpus, read again only if a file has changed. Raises ValueError."""
    files = corpus_files(corpus)
    return _read_corpus(corpus, tuple(file_state(path) for path in files.values()))


def describe_corpus(corpus: str) -> str:
    """How much text a corpus has, in words. Raises ValueError."""
    found = read_corpus(corpus)
    skipped = f"; skipped: {found.skipped:,} (no text in UTF-8, or a copy)" if found.skipped else ""
    return f"{found.bytes:,} bytes in {found.files:,} file{'s' if found.files > 1 else ''}{skipped}"


def split_texts(texts: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The texts in a line, cut at the beginning of a line of text, near nine tenths of all characters."""
    border = sum(map(len, texts)) * (HELD_OUT_SHARE - 1) // HELD_OUT_SHARE
    training: list[str] = []
    held_out: list[str] = []
    for text in texts:
        cut = text.rfind("\n", 0, border) + 1 or border if 0 < border < len(text) else max(0, border)
        training.append(text[:cut])
        held_out.append(text[cut:])
        border -= len(text)
    return tuple(filter(None, training)), tuple(filter(None, held_out))


def _place(corpus: str) -> Path:
    """Where a corpus is on this machine."""
    first, *rest = Path(corpus).parts or (corpus,)
    return Path(sysconfig.get_path("stdlib"), *rest) if first == STANDARD_LIBRARY else Path(corpus)


def _found(place: Path) -> tuple[Path, Iterable[Path]]:
    """The folder of some files, and the files."""
    if place.is_file():
        return place.parent, [place]
    if place.is_dir():
        return place, _below(place)
    parts = place.parts
    plain = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    folder = Path(*parts[:plain])
    matching = map(Path, glob.iglob(str(place), recursive=True))
    return folder, (path for path in matching if path.is_file() and not _is_apart(path.relative_to(folder).parts))


def _below(folder: Path) -> Iterable[Path]:
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not _is_apart((name,))]
        yield from (path for name in files if name[0] != "." and (path := Path(where, name)).is_file())


def _is_apart(parts: Iterable[str]) -> bool:
    """Whether a path leads through what is hidden, installed or compiled."""
    return any(part in _APART or part.startswith(".") for part in parts)


@lru_cache(maxsize=2)
def _read_corpus(corpus: str, states: tuple[tuple[str, int, int], ...]) -> Corpus:
    texts: dict[bytes, str] = {}
    size = 0
    for path, _, _ in states:
        content = _text_of(path, MOST_BYTES - size)
        if content is None or (key := hashlib.sha256(content).digest()) in texts:
            continue
        if (size := size + len(content)) > MOST_BYTES:
            raise ValueError(
                f"corpus: {printable(corpus)} has more than {MOST_BYTES:,} bytes of text; name fewer files"
            )
        texts[key] = content.decode()
    order = permute(np.arange(len(texts)), max(1, len(texts)), 0, Stream.HELD_OUT)
    ordered = list(texts.values())
    training, held_out = split_texts([ordered[place] for place in order])
    return Corpus(training, held_out, len(texts), len(states) - len(texts), size)


def _text_of(path: str, most: int) -> bytes | None:
    """The bytes of a text in UTF-8, or of more than `most` bytes the first ones; None for what is no text."""
    try:
        with open_file(path) as file:
            content = file.read(_BEGINNING)
            if not content or b"\0" in content:
                return None
            content += file.read(max(0, most + 1 - len(content)))
            if len(content) <= most:
                content.decode()
    except (OSError, UnicodeDecodeError):
        return None
    return content
