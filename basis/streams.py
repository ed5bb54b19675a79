"""The standard streams of a program: what cannot be printed is lost, and changes nothing else.

Whether a sweep goes on does not depend on its output: its reader may end (`| head`), the disk of its log may be full,
it may be closed (`>&-`), or its encoding may lack a character.
"""

import codecs
import errno
import io
import os
import select
import sys
from typing import Any

_IN_ASCII = {"–": "-", "−": "-", "…": ".", "×": "x", "≥": ">=", "✓": "+", "✗": "x"}
"""What stands for a character that an encoding lacks; other characters are written as escapes such as \\xe9."""
_NAMES = ("standard input", "standard output", "standard error")


class Output(io.FileIO):
    """A file that drops what cannot be written to it."""

    lost: OSError | None = None
    """The first error that dropped something, other than that of a reader who has ended."""

    def write(self, data: Any) -> int:
        """Write some bytes, or drop all of them; returns their number."""
        try:
            while (written := super().write(data)) is None:  # a full pipe that does not block
                select.select([], [self], [])
        except OSError as error:
            if error.errno != errno.EPIPE and self.lost is None:
                self.lost = error
                if self.fileno() == 1:
                    print(f"warning: {_NAMES[1]} cannot be written ({error.strerror})", file=sys.stderr)
            return len(data)
        return written


def lost_output() -> bool:
    """Whether something printed on standard output is lost, other than to a reader who has ended."""
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return isinstance(raw, Output) and raw.lost is not None


def guard_streams() -> None:
    """Open those standard streams that are closed, and let none raise an error; a second call changes nothing."""
    codecs.register_error("in ascii", _in_ascii)
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # the next file would be opened under this number, and get all that libraries print
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout, sys.stderr = _guarded(sys.stdout, 1), _guarded(sys.stderr, 2)


def _guarded(stream: Any, number: int) -> Any:
    """A text stream like this one that drops what cannot be written; None is one that was closed."""
    if stream is not None:
        if not isinstance(stream, io.TextIOWrapper) or stream.fileno() != number:  # not the process's own
            return stream
        if isinstance(getattr(stream.buffer, "raw", None), Output):
            return stream
        stream.flush()
    buffer = io.BufferedWriter(Output(number, "w", closefd=False))
    by_line = stream is None or stream.line_buffering or stream.write_through
    encoding = stream.encoding if stream is not None else "utf-8"
    return io.TextIOWrapper(buffer, encoding=encoding, errors="in ascii", line_buffering=by_line)


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """Handle an error of encoding; see `codecs.register_error`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    unknown = error.object[error.start : error.end]
    return "".join(_IN_ASCII.get(one) or ascii(one)[1:-1] for one in unknown), error.end
