"""The options that decided a run's result, by flat name, from the record of the run."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from capacity.spec.identity import OPTIONS, flat
from capacity.store.record import fit

__all__ = ["OPTIONS", "deciding", "options_of"]


def options_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Every option that decided the result, in canonical order, without those of the measurement.

    Texts are fit to print, and lists are texts, so that every value can be compared and counted.
    """
    found = {fit(name): fit(value) for name, value in flat(result["config"]).items()}
    return {name: json.dumps(value) if isinstance(value, list) else value for name, value in found.items()}


def deciding(columns: Iterable[Any]) -> list[str]:
    """The columns of a table of runs that decide the numbers of a row, in canonical order.

    They are the options, including those of a user's own code (with a dot), and the number of people measured. Runs
    that differ in any of them but the seed are never averaged.
    """
    columns = list(columns)
    own = (name for name in columns if "." in name)
    return [name for name in dict.fromkeys((*OPTIONS, *own, "people_measured")) if name in columns]
