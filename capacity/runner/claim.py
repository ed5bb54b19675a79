"""Claims on the folders of runs, so that several drivers on several machines never do a run twice.

In: a folder that all drivers see. Out: a `Claim` for one of them. A claim is a file `claim-G` with a number G. It is
created atomically and names the process that holds it. Another process takes over by creating claim G + 1 once the
holder is known to be dead: at once if it ran on this machine, else when its heartbeat has not changed for
`STALE_SECONDS` of the watcher's own clock (so no two clocks are compared). A process that sees a later claim than its
own has lost the run and stops writing. The file system only has to create and rename files in one folder.
"""

import errno
import json
import os
import platform
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from basis.reading import MOST_JSON, read_file, read_json

BEAT_SECONDS = 2.0
STALE_SECONDS = 60.0
"""Time without a heartbeat after which a run of another machine is taken over."""

_CLAIM, _RELEASED = "claim-", "released-"
_HEARTBEAT = "heartbeat.json"
_HIDDEN = "hidden"
_LARGEST_PID = 2**31 - 1
_NAME = re.compile(rf"(?:{_CLAIM}|{_RELEASED})([1-9][0-9]*)")
"""The names that are written here; files of other names, such as `claim-007`, are somebody else's."""


class Lost(Exception):
    """Another process has taken the run over."""


@cache
def this_machine() -> str:
    """A name for the space of process numbers: this boot of this machine, and the container."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return platform.node()


def started(pid: int) -> str | None:
    """When a process of this machine started, in kernel ticks; None if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended, or is hidden (another user's), or there is no /proc
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            pass
        return _HIDDEN
    return None if fields[0] in "ZX" else fields[19]


@dataclass(frozen=True)
class Process:
    """A process, distinct from later ones with the same number."""

    machine: str
    pid: int
    started: str | None

    @classmethod
    def this(cls) -> "Process":
        """The current process."""
        return cls(this_machine(), os.getpid(), started(os.getpid()))

    @classmethod
    def read(cls, record: Any) -> "Process":
        """The process that a claim names. Raises ValueError for what no claim holds."""
        if not isinstance(record, dict) or record.keys() != {"machine", "pid", "started"}:
            raise ValueError("must name a process")
        machine, pid, since = record["machine"], record["pid"], record["started"]
        types = isinstance(machine, str) and type(pid) is int and isinstance(since, str | None)
        if not types or not 0 < pid <= _LARGEST_PID:
            raise ValueError(f"must name a process with a number from 1 to {_LARGEST_PID}")
        return cls(machine, pid, since)

    @property
    def dead(self) -> bool | None:
        """Whether it has ended; None if it is on another machine, where only its heartbeat shows that."""
        if self.machine != this_machine():
            return None
        now = started(self.pid)
        return now != self.started and not (now == _HIDDEN and self.started is not None)


@dataclass
class Claim:
    """The right to do a run. While it is held, a thread writes its heartbeat."""

    folder: Path
    number: int
    notice: dict[str, Any] = field(default_factory=dict)
    """The progress of the run, which the next heartbeat writes."""
    lost: bool = False
    """Whether the heartbeat found a later claim."""
    finished: bool = False
    """Whether the run is done; then all files of claims are removed."""

    def __post_init__(self) -> None:
        self._beats = 0
        self._ended = threading.Event()

    def __enter__(self) -> "Claim":
        self._beat()
        self._thread = threading.Thread(target=self._keep_beating, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        with suppress(OSError):
            if self.finished:
                clear(self.folder)
            elif self.held:
                (self.folder / f"{_CLAIM}{self.number}").rename(self.folder / f"{_RELEASED}{self.number}")

    @property
    def held(self) -> bool:
        """Whether no other process has taken the run over."""
        return _latest(self.folder)[0] == self.number

    def check(self) -> None:
        """Raises Lost if another process has taken the run over."""
        if self.lost or not self.held:
            self.lost = True
            raise Lost(f"{self.folder.name}: another process has taken this run over")

    def _keep_beating(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            with suppress(OSError):  # a full disk must not end the run
                if not self.held:
                    self.lost = True
                    return
                self._beat()

    def _beat(self) -> None:
        self._beats += 1
        content = json.dumps({"claim": self.number, "beat": self._beats, **self.notice})
        temporary = self.folder / f".{_HEARTBEAT}.{self.number}.tmp"  # one name, so that failed writes do not pile up
        temporary.write_text(content)
        temporary.replace(self.folder / _HEARTBEAT)


def acquire(folder: Path, *, dead_claim: int = 0) -> Claim | None:
    """Claim a run; None if another process has it. dead_claim: the number of a claim whose heartbeat stopped."""
    number, holder = _latest(folder)
    if holder is not None and holder.dead is not True and (number > dead_claim or _beats(folder)):
        return None
    number += 1
    if not _create(folder / f"{_CLAIM}{number}", json.dumps(vars(Process.this()))):
        return None
    if (folder / f"{_RELEASED}{number}").exists() or _latest(folder)[0] != number:
        # Another process claimed and released this number since `_latest` was read.
        (folder / f"{_CLAIM}{number}").unlink(missing_ok=True)
        return None
    _remove(folder, (one for one in _numbers(folder) if one < number))
    return Claim(folder, number)


def clear(folder: Path) -> None:
    """Remove all files of claims of a run that is done. Raises OSError."""
    _remove(folder, _numbers(folder))
    (folder / _HEARTBEAT).unlink(missing_ok=True)


def _remove(folder: Path, numbers: Iterable[int]) -> None:
    """Remove claims; a folder of such a name, which nobody here made, stays."""
    for path in (folder / f"{kind}{number}" for number in numbers for kind in (_CLAIM, _RELEASED)):
        if not path.is_dir():
            path.unlink(missing_ok=True)


def last_notice(folder: Path) -> dict[str, Any] | None:
    """The progress in the last heartbeat of a run, or None."""
    try:
        notice = read_json(folder / _HEARTBEAT)
    except (OSError, ValueError):
        return None
    return notice if isinstance(notice, dict) else None


class Watch:
    """Tells which claims of other machines are dead, from heartbeats read now and then and this machine's clock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looks: dict[Path, tuple[tuple[int, str], float, float]] = {}
        """For each run: the last heartbeat, when it was first seen, and when it was last read."""

    def free(self, folder: Path) -> int | None:
        """Whether a run can be claimed: None if not yet, else the `dead_claim` to give to `acquire`."""
        number, holder = _latest(folder)
        if holder is None:
            return 0
        if (dead := holder.dead) is not None:
            return 0 if dead else None
        seen, now = (number, _beat_of(folder)), self._clock()
        before, since, looked = self._looks.get(folder, (None, now, now))
        # After a long gap between two reads (a file server that hung), a heartbeat may have been missed.
        if before != seen or now - looked > STALE_SECONDS / 2:
            since = now
        self._looks[folder] = seen, since, now
        return number if now - since >= STALE_SECONDS else None


def _beat_of(folder: Path) -> str:
    try:
        return read_file(folder / _HEARTBEAT, MOST_JSON).decode(errors="replace")
    except (OSError, ValueError):
        return ""


def _beats(folder: Path) -> bool:
    """Whether a claim that was taken for dead has a heartbeat after all: that may be long ago."""
    before = _beat_of(folder)
    time.sleep(3 * BEAT_SECONDS)
    return _beat_of(folder) != before


def _create(path: Path, content: str) -> bool:
    """Create a file with this content atomically; False if it exists."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_text(content)
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        # A file system without links: a reader may find the file empty.
        try:
            with path.open("x") as file:
                file.write(content)
        except FileExistsError:
            return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _numbers(folder: Path) -> list[int]:
    """The numbers of all claims, released ones included, in order."""
    return sorted(int(found[1]) for path in folder.iterdir() if (found := _NAME.fullmatch(path.name)))


def _latest(folder: Path) -> tuple[int, Process | None]:
    """The number of the latest claim, and its holder unless it was released.

    A claim with a content that no claim has counts as alive: on some file systems it is empty before it is written.
    What is no file, such as a folder or a link to nothing, is nobody's claim.
    """
    numbers = _numbers(folder)
    if not numbers:
        return 0, None
    number = numbers[-1]
    path, released = (folder / f"{kind}{number}" for kind in (_CLAIM, _RELEASED))
    try:
        return number, Process.read(read_json(path))
    except OSError as error:
        if os.path.lexists(released) or (os.path.lexists(path) and not path.is_file()):
            return number, None
        if isinstance(error, FileNotFoundError):
            return _latest(folder)  # removed since the folder was listed
        raise
    except ValueError:
        return number, Process("unknown", 0, None)
