"""The options that decided a run's result, by flat name, from the record of the run."""

from collections.abc import Iterable, Mapping
from typing import Any

from capacity.spec.identity import OPTIONS, flat

__all__ = ["OPTIONS", "deciding", "options_of"]


def options_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Every option that decided the result, in canonical order; how it was measured is none of them."""
    return flat(result["config"])


def deciding(columns: Iterable[Any]) -> list[str]:
    """Those columns of a table of runs that decide the numbers of a row, in canonical order.

    They are the options, those of a user's own things (with a dot) included, and the number of people measured. Runs
    that differ in any of them are never averaged, but for the seed.
    """
    columns = list(columns)
    own = (name for name in columns if "." in name)
    return [name for name in dict.fromkeys((*OPTIONS, *own, "people_measured")) if name in columns]
