"""Files that anyone may have written: whatever they are, reading them ends, in bounded memory.

Mistakes are OSError (such as a pipe, which might be waited for for ever) or ValueError, each of one line.
"""

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

MOST_JSON = 1 << 23
"""Bytes of a JSON file, at most."""


def open_file(path: Path | str) -> BinaryIO:
    """Open a file to read its bytes. Raises OSError, also for what is not a file, such as a pipe or a folder."""
    opened = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise OSError(errno.EINVAL, "Not a file", str(path))
        return os.fdopen(opened, "rb")
    except BaseException:
        os.close(opened)
        raise


def read_file(path: Path | str, most: int) -> bytes:
    """The bytes of a file. Raises OSError as `open_file` does, and ValueError for more than `most` bytes."""
    with open_file(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is larger than {most:,} bytes")
    return content


def check_file(path: Path | str, most: int) -> None:
    """See that a file, if it is there, can be read by another library. Raises as `read_file` does."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "Not a file", str(path))
    if found.st_size > most:
        raise ValueError(f"{path} is larger than {most:,} bytes")


def parse_json(text: str | bytes) -> Any:
    """The value of a text in JSON. Raises ValueError for any other text."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_json(path: Path | str, most: int = MOST_JSON) -> Any:
    """The value in a JSON file. Raises OSError and ValueError as `read_file` and `parse_json` do."""
    return parse_json(read_file(path, most))
