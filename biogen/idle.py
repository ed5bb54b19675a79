"""Which options of the data do not apply: the one place that knows, for runs' ids and for what a user is told.

In: options by name, and those that a data set reads. Out: the names of options that decide nothing there.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Any

from biogen.config import COMMON, DataConfig
from biogen.datasets import DATASETS

Options = Mapping[str, Any]

_CONDITIONS: dict[str, tuple[str, Callable[[Options], bool]]] = {
    "junk_people": ("junk above 0", lambda options: str(options["junk"]) != "0"),
    "zipf": ("population zipf", lambda options: options["population"] == "zipf"),
    "vocab": ("tokenizer bpe", lambda options: options["tokenizer"] == "bpe"),
    "measured_order": (
        "variant fresh and company_city any or before",
        lambda options: options["company_city"] in ("any", "before") and str(options["variant"]).startswith("fresh"),
    ),
}
"""Options that apply only with certain values of others: those in words, and whether they are there."""


def idle_data(of_dataset: Iterable[str], options: Options) -> set[str]:
    """The options of the data that do not apply. of_dataset: those that the data set reads besides `COMMON`."""
    idle = set(DataConfig.model_fields) - COMMON - set(of_dataset)
    return idle | {name for name, (_, applies) in _CONDITIONS.items() if not applies(options)}


def idle_of(config: DataConfig) -> set[str]:
    """The options of a configuration that do not apply to its data set."""
    return idle_data(DATASETS[config.dataset].options, dict(config))


def needs_of_data(name: str, dataset: str) -> str:
    """What an idle option of the data would need, in words. dataset: the name of one to which it does not apply."""
    reads = [other for other in DATASETS.names if name in COMMON | DATASETS[other].options]
    by_dataset = name in COMMON or name in DATASETS[dataset].options
    return _CONDITIONS[name][0] if by_dataset and name in _CONDITIONS else f"dataset {either(reads)}"


def without_foreign(options: Options, swept: Iterable[str]) -> dict[str, Any]:
    """The options of a run, without those that its data set does not read and another one of the sweep does.

    swept: the data sets of the sweep. Raises ValueError for one that cannot be imported.
    """
    own = DATASETS[options["dataset"]]
    others = [DATASETS[name] for name in swept if name != options["dataset"]]
    foreign = _read(*others) - _read(own) - COMMON
    kept = {name: value for name, value in options.items() if name not in foreign}
    if others and (mine := options["dataset_options"]):
        strange = _own_names(*others) - _own_names(own)
        kept["dataset_options"] = {name: value for name, value in mine.items() if name not in strange}
    return kept


def _read(*kinds: object) -> set[str]:
    """The options that data sets read; what is no data set, which is refused later, reads none."""
    return {name for kind in kinds for name in getattr(kind, "options", ())}


def _own_names(*kinds: object) -> set[str]:
    """The names of data sets' own options."""
    return {name for kind in kinds for name in getattr(getattr(kind, "own_options", None), "model_fields", ())}


def has_no_effect(name: str, value: object, needs: str) -> str:
    """The line about an option that was given and changes nothing."""
    return f"{name}: {value} has no effect and is not allowed; it needs {needs}"


def without_effect(config: DataConfig, given: Iterable[str]) -> list[str]:
    """A line for each option that was given by hand, by its flag's name, and does not apply to the data set."""
    idle = idle_of(config)
    values = {name: reduce(getattr, name.split("."), config) for name in given if name.partition(".")[0] in idle}
    return [
        has_no_effect(name, value, needs_of_data(name.partition(".")[0], config.dataset))
        for name, value in sorted(values.items())
        if not is_off(value)
    ]


def is_off(value: object) -> bool:
    """Whether a value asks for nothing, so that it may be given where the option does not apply."""
    return value is None or value is False or value == "none"


def either(words: Iterable[str]) -> str:
    """Words as a choice: a, b or c."""
    *some, last = words
    return f"{', '.join(some)} or {last}" if some else last
