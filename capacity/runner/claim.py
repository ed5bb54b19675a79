"""Who does a run: claims on its folder, so that several drivers on several machines never do it twice.

In: a folder that all of them see. Out: a `Claim` for one of them. A claim is a file `claim-G` with a number G, made in
one step, naming the process that holds it. Another may take over, by making claim G + 1, once that process is known to
be dead: at once where it was one of this machine, else when its heartbeat has stood still for `STALE_SECONDS` of the
watcher's own clock (so no two clocks are compared). Whoever sees a later claim than its own has lost the run and writes
no more. Only creating and renaming files in one folder is asked of the file system.
"""

import errno
import json
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

BEAT_SECONDS = 2.0
STALE_SECONDS = 60.0
"""So long a heartbeat of another machine must stand still before its run is taken over."""

_CLAIM, _RELEASED = "claim-", "released-"
_HEARTBEAT = "heartbeat.json"
_HIDDEN = "hidden"


class Lost(Exception):
    """Another process has taken the run over."""


@cache
def this_machine() -> str:
    """A name for where process numbers mean the same: this start of this machine, and the container in it."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return platform.node()


def started(pid: int) -> str | None:
    """When a process of this machine started, as the kernel counts; None for a process that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # gone; or hidden, as another user's may be; or this system has no /proc
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
    """A process, told from later ones of the same number."""

    machine: str
    pid: int
    started: str | None

    @classmethod
    def this(cls) -> "Process":
        """The one that asks."""
        return cls(this_machine(), os.getpid(), started(os.getpid()))

    @property
    def dead(self) -> bool | None:
        """Whether it is gone; None where only its heartbeat can tell."""
        if self.machine != this_machine():
            return None
        now = started(self.pid)
        return now != self.started and not (now == _HIDDEN and self.started is not None)


@dataclass
class Claim:
    """The right to do a run, while it is held: its heart beats in a thread of its own."""

    folder: Path
    number: int
    notice: dict[str, Any] = field(default_factory=dict)
    """What the heartbeat tells besides: how far the run is."""
    lost: bool = False
    """Whether the heartbeat has met a later claim."""
    finished: bool = False
    """Whether the run is done; then no trace of claims is left."""

    def __post_init__(self) -> None:
        self._beats = 0
        self._over = threading.Event()

    def __enter__(self) -> "Claim":
        self._beat()
        self._thread = threading.Thread(target=self._keep_beating, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        with suppress(OSError):
            if self.finished:
                clear(self.folder)
            elif self.held:
                (self.folder / f"{_CLAIM}{self.number}").rename(self.folder / f"{_RELEASED}{self.number}")

    @property
    def held(self) -> bool:
        """Whether nobody has taken the run over."""
        return _latest(self.folder)[0] == self.number

    def check(self) -> None:
        """Raises Lost if somebody has taken the run over."""
        if self.lost or not self.held:
            self.lost = True
            raise Lost(f"{self.folder.name}: another process has taken this run over")

    def tell(self, notice: dict[str, Any]) -> None:
        """Let the next heartbeat say so."""
        self.notice = notice

    def _keep_beating(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            with suppress(OSError):  # a full disk is no reason to die of
                if not self.held:
                    self.lost = True
                    return
                self._beat()

    def _beat(self) -> None:
        self._beats += 1
        content = json.dumps({"claim": self.number, "beat": self._beats, **self.notice})
        temporary = self.folder / f".{_HEARTBEAT}.{self.number}.tmp"  # always the same: a full disk collects no more
        temporary.write_text(content)
        temporary.replace(self.folder / _HEARTBEAT)


def acquire(folder: Path, *, over: int = 0) -> Claim | None:
    """Claim a run; None if somebody else has it. over: the number of a claim whose heartbeat stood still."""
    number, holder = _latest(folder)
    if holder is not None and holder.dead is not True and (number > over or _beats(folder)):
        return None
    number += 1
    if not _create(folder / f"{_CLAIM}{number}", json.dumps(vars(Process.this()))):
        return None
    if (folder / f"{_RELEASED}{number}").exists() or _latest(folder)[0] != number:
        # Between the look and the claim, somebody else had this number and is through with it.
        (folder / f"{_CLAIM}{number}").unlink(missing_ok=True)
        return None
    for earlier in (one for one in _numbers(folder) if one < number):
        for kind in (_CLAIM, _RELEASED):
            (folder / f"{kind}{earlier}").unlink(missing_ok=True)
    return Claim(folder, number)


def clear(folder: Path) -> None:
    """Remove all traces of claims: for a run that is done."""
    for path in [*folder.glob(f"{_CLAIM}*"), *folder.glob(f"{_RELEASED}*"), folder / _HEARTBEAT]:
        path.unlink(missing_ok=True)


def last_notice(folder: Path) -> dict[str, Any] | None:
    """What the last heartbeat of a run told, or None."""
    try:
        notice = json.loads((folder / _HEARTBEAT).read_text())
    except (OSError, ValueError):
        return None
    return notice if isinstance(notice, dict) else None


class Watch:
    """Who of the claimants of other machines still lives: heartbeats looked at now and then, by this clock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looks: dict[Path, tuple[tuple[int, str], float, float]] = {}
        """Of each run: the last beat seen, since when it has stood, and when it was last looked at."""

    def free(self, folder: Path) -> int | None:
        """Whether a run can be claimed: None if not yet, else what to give `acquire` as `over`."""
        number, holder = _latest(folder)
        if holder is None:
            return 0
        if (dead := holder.dead) is not None:
            return 0 if dead else None
        seen, now = (number, _beat_of(folder)), self._clock()
        before, since, looked = self._looks.get(folder, (None, now, now))
        # Whoever has not looked for a while, because the file server hung perhaps, can't say that nothing beat.
        if before != seen or now - looked > STALE_SECONDS / 2:
            since = now
        self._looks[folder] = seen, since, now
        return number if now - since >= STALE_SECONDS else None


def _beat_of(folder: Path) -> str:
    try:
        return (folder / _HEARTBEAT).read_text()
    except OSError:
        return ""


def _beats(folder: Path) -> bool:
    """Whether a heart that was taken for dead beats all the same: it may have been some time ago."""
    before = _beat_of(folder)
    time.sleep(3 * BEAT_SECONDS)
    return _beat_of(folder) != before


def _create(path: Path, content: str) -> bool:
    """Make a file with this content in one step; False if it is there already."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_text(content)
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        # A file system without links: a reader may meet the file while it is empty.
        try:
            with path.open("x") as file:
                file.write(content)
        except FileExistsError:
            return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _numbers(folder: Path) -> list[int]:
    """Of all claims, released ones too, in order."""
    names = (path.name.partition("-") for path in folder.iterdir())
    kinds = (_CLAIM, _RELEASED)
    return sorted(int(number) for kind, dash, number in names if kind + dash in kinds and number.isdigit())


def _latest(folder: Path) -> tuple[int, Process | None]:
    """The number of the latest claim, and its holder unless it was released. An unreadable one is taken for alive."""
    numbers = _numbers(folder)
    if not numbers:
        return 0, None
    number = numbers[-1]
    try:
        return number, Process(**json.loads((folder / f"{_CLAIM}{number}").read_text()))
    except FileNotFoundError:
        if (folder / f"{_RELEASED}{number}").exists():
            return number, None
        return _latest(folder)  # gone between two looks
    except (ValueError, TypeError):
        return number, Process("unknown", 0, None)
