"""The options that decided a run's result, by flat name, from the record of the run.

In: a result.json as a dictionary. Out: `dataset`, `size`, `people`, ..., `optimizer`, `lr`, and of a section with a
dot, as in `pools.first_names`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from biogen.config import DataConfig
from capacity.spec.config import ArchitectureOptions, Training

_TOP = ("dataset", "size", "people", "exposures", "seed", "junk")
_NO_OPTION = {"format"}
_SECTIONS = ("data", "model", "training")


def options_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Every option that decided the result, in canonical order; how it was measured is none of them."""
    config = {name: value for name, value in result["config"].items() if name not in ("measure", *_NO_OPTION)}
    inner = {name: value for section in _SECTIONS for name, value in config.pop(section, {}).items()}
    model = ArchitectureOptions().model_dump(mode="json")  # of a record from before there were several
    found = dict(_flat(model | config | inner))
    names = dict.fromkeys((*(name for name in OPTIONS if name in found), *found))
    return {name: found[name] for name in names}


def deciding(columns: Iterable[Any]) -> list[str]:
    """Those columns of a table of runs that decide the numbers of a row, in canonical order.

    They are the options, those of a user's own things (with a dot) included, and the number of people measured. Runs
    that differ in any of them are never averaged, but for the seed.
    """
    columns = list(columns)
    own = (name for name in columns if "." in name)
    return [name for name in dict.fromkeys((*OPTIONS, *own, "people_measured")) if name in columns]


def _flat(config: Mapping[str, Any], section: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{section}{name}.")
        else:
            yield f"{section}{name}", value


def _names(model: type[BaseModel], section: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _names(field.annotation, f"{section}{name}.")
        else:
            yield f"{section}{name}"


OPTIONS: tuple[str, ...] = tuple(
    dict.fromkeys((*_TOP, *_names(DataConfig), *_names(ArchitectureOptions), *_names(Training)))
)
"""All names, in canonical order."""
