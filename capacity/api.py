"""The project from Python: `run` a sweep, `load` what came out as a DataFrame, `measure` a model of your own.

The commands use the same functions.
"""

from capacity.run import RunsFailed, run
from capacity.store.records import load
from eval import measure

__all__ = ["RunsFailed", "load", "measure", "run"]
