"""Paths as users write them, and files that are complete or unchanged after a crash."""

import argparse
import errno
import os
import secrets
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator

from basis.text import shown


def user_path(path: Path | str) -> Path:
    """A path as a user writes it: `~` and `~name` are home folders, as in a shell; `./~` is a file of that name.

    Raises ValueError for a home folder that is not there, and for what no system has as a path.
    """
    written = os.fspath(path)
    try:
        if not written or "\0" in written or not written.encode():
            raise ValueError
        found = Path(path).expanduser() if written.startswith("~") else Path(path)
        os.lstat(found)
    except RuntimeError:
        raise ValueError("begins with a home folder that this machine does not know; must be a path in full") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ValueError("must be a shorter path") from None
    except ValueError:  # UnicodeEncodeError: such as a name in Latin-1, which libraries refuse
        raise ValueError("must be a path, in UTF-8") from None
    return found


def named_path(name: str, path: object) -> Path:
    """The path that an argument of this name holds, as a user writes it. Raises ValueError, with its name."""
    try:
        if isinstance(path, str | Path):
            return user_path(path)
        reason = "must be a path"
    except ValueError as error:
        reason = str(error)
    raise ValueError(f"{name}: {shown(path)} is not allowed; {reason}")


def path_argument(text: str) -> Path:
    """An argument of argparse's that is a path as a user writes it."""
    try:
        return user_path(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not allowed; {error}") from None


UserPath = Annotated[Path, BeforeValidator(lambda path: user_path(path) if isinstance(path, str | Path) else path)]
"""A field that holds a path as a user writes it."""


def working_folder() -> Path | None:
    """The working folder; None if it has been removed."""
    try:
        return Path.cwd()
    except OSError:
        return None


def file_state(path: Path) -> tuple[str, int, int]:
    """What tells whether a file is still the same: its path, the time of its last change, its bytes; zeros if gone."""
    try:
        found = path.stat()
    except OSError:
        return str(path), 0, 0
    return str(path), found.st_mtime_ns, found.st_size


def replace_file(path: Path, content: bytes) -> None:
    """Write under a temporary name, flush to the disk, then rename: `path` is complete or unchanged.

    Raises OSError that names `path`.
    """
    # Two processes, perhaps on two machines, must not write to the same temporary file.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        _write_through(temporary, content)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)  # a full disk needs its space back
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None
    sync(path.parent)  # without this a rename may be forgotten when the power fails


def _write_through(path: Path, content: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fsync(file)
    finally:
        os.close(file)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    if path.is_dir() and not hasattr(os, "O_DIRECTORY"):  # a system that does not open folders
        return
    opened = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
