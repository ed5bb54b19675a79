"""Passes the metrics of a sweep on while it runs, to where people already look: TensorBoard, or Weights & Biases.

In: the metrics.jsonl of runs, which workers append to. Out: the same numbers as scalars, a run each, such as
`train/loss`, by the number of steps. Runs that are done already are passed on, too.
"""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from basis.flags import UserError
from basis.text import printable, short
from capacity.runner.progress import Tail, records
from capacity.spec.identity import stored
from capacity.spec.plan import Plan
from capacity.store.folders import run_folder
from capacity.store.record import is_number

_LOOK_SECONDS = 1.0
_NO_SCALARS = ("steps", "seconds")
PROJECT = "knowledge-capacity"
"""The project in Weights & Biases; the variable WANDB_PROJECT names another."""


class Sink(Protocol):
    """Where the scalars of one run go."""

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Take scalars after a number of steps, which never falls."""
        ...

    def close(self) -> None:
        """Write everything out."""
        ...


class _TensorBoard:
    """Event files in OUT/tensorboard/RUN, written anew by each driver."""

    def __init__(self, plan: Plan, out: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = out / "tensorboard" / plan.run_id
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._writer: Any = SummaryWriter(str(folder))
        self._writer.add_text("config", f"```json\n{json.dumps(stored(plan.config), indent=1)}\n```")

    def write(self, step: int, scalars: dict[str, float]) -> None:
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _Wandb:
    """A run of Weights & Biases with the id of ours; its files lie in OUT/wandb. WANDB_MODE=offline sends nothing."""

    def __init__(self, plan: Plan, out: Path) -> None:
        import os

        import wandb

        project = os.environ.get("WANDB_PROJECT", PROJECT)
        settings = wandb.Settings(console="off", silent=True)
        config, name = stored(plan.config), plan.run_id
        self._run: Any = wandb.init(
            project=project, id=name, name=name, dir=str(out), config=config, resume="allow", reinit="create_new",
            settings=settings,
        )  # fmt: skip
        self._before = int(self._run.step)

    def write(self, step: int, scalars: dict[str, float]) -> None:
        if step >= self._before:  # what an earlier driver has sent stays
            self._run.log(scalars, step=step)

    def close(self) -> None:
        self._run.finish()


_SINKS: dict[str, Callable[[Plan, Path], Sink]] = {"tensorboard": _TensorBoard, "wandb": _Wandb}


class Follower:
    """The metrics of one run on their way to a sink."""

    def __init__(self, plan: Plan, out: Path, kind: str) -> None:
        folder = run_folder(out, plan.config)
        self._plan, self._out, self._kind = plan, out, kind
        self._tail, self._folder = Tail(folder.metrics), folder
        self._sink: Sink | None = None
        self._step = self._sent = 0
        self.ended = False

    def look(self) -> None:
        """Pass on what is new; the sink is made with the first record, and closed once the run is done."""
        if self.ended:
            return
        done = self._folder.done  # before the last look, so that nothing comes after it
        while lines := self._tail.lines():
            for record in records(lines):
                self._pass(record)
        if done:
            self.close()

    def close(self) -> None:
        """Write everything out."""
        self.ended = True
        if self._sink is not None:
            self._sink.close()

    def _pass(self, record: dict[str, Any]) -> None:
        """Pass a record on, unless it was before a worker went back to a checkpoint."""
        kind = record.get("kind")
        if is_number(record.get("steps")):  # a recall follows the loss of its step
            self._step = int(record["steps"])
        if self._step < self._sent:
            return
        names = (name for name in record if name not in _NO_SCALARS and is_number(record[name]))
        scalars = {f"{kind}/{name}": float(record[name]) for name in names}
        if scalars:
            self._sink = self._sink or _SINKS[self._kind](self._plan, self._out)
            self._sink.write(self._step, scalars)
            self._sent = self._step


def check_log(kind: str) -> None:
    """Raises UserError if the package that a log needs is not installed."""
    if kind != "none" and find_spec(kind) is None:
        raise UserError([f"log: {kind!r} is not allowed; must be installed: pip install 'knowledge-capacity[{kind}]'"])


@contextmanager
def passed_on(kind: str, out: Path, plans: Callable[[], Sequence[Plan]], say: Callable[[str], None]) -> Iterator[None]:
    """Inside, the metrics of runs are passed on once a second by a thread, and at the end to the last line.

    plans: called for the runs so far, as a sweep may grow. say: takes a line if the log fails; the sweep goes on.
    """
    if kind == "none":
        yield
        return
    followers: dict[str, Follower] = {}
    stop = threading.Event()

    def look() -> None:
        for plan in plans():
            followers.setdefault(plan.run_id, Follower(plan, out, kind)).look()

    def follow() -> None:
        try:
            while not stop.wait(_LOOK_SECONDS):
                look()
            look()
            for one in followers.values():
                if not one.ended:
                    one.close()
        except Exception as error:  # of another's package, or of the network
            say(f"warning: log {kind} failed ({type(error).__name__}: {short(printable(error))}); the sweep goes on")

    thread = threading.Thread(target=follow, name=f"log {kind}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
