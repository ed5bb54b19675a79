"""Write files atomically: after a crash a file is complete or unchanged."""

import os
import secrets
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Write under a temporary name, flush to the disk, then rename: `path` is complete or unchanged."""
    # Two processes, perhaps on two machines, must not write to the same temporary file.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        _write_through(temporary, content)
        os.replace(temporary, path)
    except OSError:  # a full disk needs its space back
        temporary.unlink(missing_ok=True)
        raise
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
