"""The options that decided a run's result, by flat name, from the record of the run."""

from collections.abc import Iterable, Mapping
from typing import Any

from capacity.spec.identity import OPTIONS, flat

__all__ = ["OPTIONS", "deciding", "options_of"]


def options_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Every option that decided the result, in canonical order, without those of the measurement."""
    return flat(result["config"])


def deciding(columns: Iterable[Any]) -> list[str]:
    """The columns of a table of runs that decide the numbers of a row, in canonical order.

    They are the options, including those of a user's own code (with a dot), and the number of people measured. Runs
    that differ in any of them but the seed are never averaged.
    """
    columns = list(columns)
    own = (name for name in columns if "." in name)
    return [name for name in dict.fromkeys((*OPTIONS, *own, "people_measured")) if name in columns]
