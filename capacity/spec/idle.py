"""Which options of a run do not apply: the one place that knows, for ids and for what a user is told.

In: a `RunConfig`. Out: the names of options that decide nothing there; and a line for each one that a user gives by
hand and that no run of a sweep has a use for.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from biogen.config import DataConfig
from biogen.idle import either, has_no_effect, idle_of, is_off, needs_of_data
from capacity.spec.config import RunConfig
from train.optimizers import OPTIMIZERS

_SETTINGS = frozenset({"lr", "embedding_lr", "weight_decay", "beta1", "beta2", "eps", "momentum"})
"""Options of which each optimizer names those that it uses."""
_CONDITIONS: dict[str, tuple[str, Callable[[RunConfig], bool]]] = {
    "decay_share": ("schedule wsd", lambda config: config.training.schedule == "wsd"),
    "final_lr": ("schedule cosine or wsd", lambda config: config.training.schedule != "constant"),
    "heldout_points": ("heldout_tokens above 0", lambda config: config.measure.heldout_tokens > 0),
}
"""Options that apply only with certain values of others: those in words, and whether they are there."""


def idle_options(config: RunConfig) -> set[str]:
    """The options that do not apply to a run, by field name; a section's name means all its options."""
    unused = _SETTINGS - OPTIMIZERS[config.training.optimizer].uses
    return idle_of(config.data) | unused | {name for name, (_, applies) in _CONDITIONS.items() if not applies(config)}


class Given:
    """The options of a sweep that were given by hand, and whether any of its runs has a use for them."""

    def __init__(self, values: Mapping[str, Collection[Any]]) -> None:
        """values: those of each axis that was given, by its name."""
        self._values = values
        self._idle: dict[str, RunConfig] = {}
        self._used = {name for name, several in values.items() if all(is_off(value) for value in several)}

    def see(self, config: RunConfig) -> None:
        """Take account of a run of the sweep."""
        idle = idle_options(config)
        for name in self._values:
            if name.partition(".")[0] in idle:
                self._idle.setdefault(name, config)
            else:
                self._used.add(name)

    def without_effect(self) -> list[str]:
        """A line for each option that applies to none of the runs that were seen."""
        return [
            has_no_effect(name, ", ".join(map(str, self._values[name])), _needs(name.partition(".")[0], config))
            for name, config in self._idle.items()
            if name not in self._used
        ]


def _needs(name: str, config: RunConfig) -> str:
    """What an option that does not apply to a run would need, in words."""
    if name in DataConfig.model_fields:
        return needs_of_data(name, config.data.dataset)
    if name in _CONDITIONS:
        return _CONDITIONS[name][0]
    using = [other for other in OPTIMIZERS.names if name in OPTIMIZERS[other].uses]
    return f"optimizer {either(using)}"
