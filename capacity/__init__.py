"""Sweeps of runs: their options, their execution and their results."""

from runpy import run_path
from typing import TYPE_CHECKING, Any

run_path(f"{__path__[0]}/../basis/start.py")["start"]()  # before anything else is imported

if TYPE_CHECKING:
    from capacity.store.records import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """Import a public function when it is asked for: workers and `--help` start without pandas."""
    if name == "load":
        from capacity.store.records import load

        return load
    raise AttributeError(f"module 'capacity' has no attribute {name!r}")
