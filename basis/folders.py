"""Folders that may hold anything: what leads out of them, what is theirs, and what has changed since.

In: a folder. Out: its contents, hashes of its files, or the reason why nothing is to be written there.
"""

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from basis.files import replace_file


def refuse_links(folder: Path, *names: str) -> None:
    """See that writing to `folder` changes nothing outside it.

    names: the entries of the folder that are written to; all by default. What is below them is looked at, too.
    Raises ValueError for a link that leads out of the folder, and for what is neither file nor folder, such as a pipe.
    """
    home = os.path.realpath(folder)
    left = [folder / name for name in names] or _inside(folder)
    while left:
        path = left.pop()
        if path.is_symlink():
            if not Path(os.path.realpath(path)).is_relative_to(home):
                raise ValueError(f"out: {path} is a link to {os.readlink(path)}, outside {folder}; remove it")
        elif path.is_dir():
            left += _inside(path)
        elif path.exists() and not path.is_file():
            raise ValueError(f"out: {path} is neither a file nor a folder; remove it")


def _inside(folder: Path) -> list[Path]:
    """The entries of a folder; none if there is no such folder."""
    return list(folder.iterdir()) if folder.is_dir() else []


def contents(folder: Path) -> list[str]:
    """The names in a folder, sorted, without hidden ones and what a new volume has; none if there is no such folder."""
    return sorted(path.name for path in _inside(folder) if path.name[0] != "." and path.name != "lost+found")


def own_file(path: Path) -> None:
    """If a file has other names (hard links, as in some backups), make a copy of it under this one."""
    if path.is_file() and path.stat().st_nlink > 1:
        replace_file(path, path.read_bytes())


def hash_files(folder: Path, *names: str) -> dict[str, str]:
    """The SHA-256 of some files, and of all files in some folders, by their names in `folder`. Raises OSError."""
    paths = [folder / name for name in names]
    found = [path for one in paths for path in (one.rglob("*") if one.is_dir() else [one])]
    return {path.relative_to(folder).as_posix(): _hash(path) for path in sorted(found) if path.is_file()}


def changed_files(folder: Path, hashes: Mapping[str, str]) -> list[str]:
    """The names of files in `folder` that are missing, or have another SHA-256 than the one given."""
    found: dict[str, str] = {}
    for name in hashes:
        with suppress(OSError, ValueError):  # such as a name that cannot be
            found |= hash_files(folder, name)
    return [name for name, wanted in hashes.items() if found.get(name) != wanted]


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
