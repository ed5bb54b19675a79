"""Prepares a process before it imports anything of this project. Each package runs this file by its path.

1. The names of our packages mean our packages, even if the current folder has modules of the same names. Python looks
   for modules there first, so a user's own `train.py` or `eval.py` would be imported in place of `train` or `eval`.
   A module of the user's with such a name can no longer be imported in the same process; one that has been imported
   already is refused.
2. Ctrl-C ends a program at once, without a traceback, while it is being imported, which can take seconds;
   `basis.flags.run_main` changes that back when the program runs.
3. A program goes on where it cannot print: see basis/streams.py.
"""

import signal
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

PACKAGES = ("basis", "biogen", "train", "eval", "capacity")
FOLDER = Path(__file__).resolve().parents[1]
_PROGRAMS = ("-m", "capacity", "biogen")
"""The name in `sys.argv[0]` while one of our programs is imported: by `python -m`, or by a console command."""


class PackageFinder:
    """Finds the packages of this project beside each other, for `sys.meta_path`."""

    beside = FOLDER

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The spec of a package of this project; None for any other module."""
        return PathFinder.find_spec(name, [str(FOLDER)]) if name in PACKAGES else None


def start() -> None:
    """Prepare the process. Raises ImportError if another's module has been imported under one of our names."""
    for name in PACKAGES:
        if name in sys.modules:
            _check_ours(name, sys.modules[name])
    if not any(getattr(finder, "beside", None) == FOLDER for finder in sys.meta_path):
        sys.meta_path.insert(0, PackageFinder)
    importing = bool(sys.argv) and Path(sys.argv[0]).name in _PROGRAMS
    if importing and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if importing:
        from basis.streams import guard_streams  # can be found only now

        guard_streams()


def _check_ours(name: str, module: ModuleType) -> None:
    places = [*getattr(module, "__path__", []), getattr(module, "__file__", None) or "memory"]
    if not any(Path(place).resolve() == FOLDER / name for place in places):
        raise ImportError(
            f"a module {name} is already imported, from {places[-1]}, and knowledge-capacity has a package of this "
            "name; rename that module, or use knowledge-capacity in a process of its own"
        )
