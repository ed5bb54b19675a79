"""The command that does a run again.

In: the record of a run. Out: one line for a shell, with every option that decides the result and that the preset of
`capacity run` has not. What the recipe decided is written out, so a later version's recipe changes nothing.
"""

import shlex
from collections.abc import Mapping
from functools import cache
from typing import Any

from basis.yaml_text import read_yaml
from capacity.spec.config import MeasureOptions
from capacity.spec.identity import DEFAULTS, flat
from capacity.spec.preset import PLURAL
from capacity.spec.presets import DEFAULT, preset_path

_OWN = "architecture_options."


def command(record: Mapping[str, Any]) -> str:
    """The command for a run, by its record."""
    words = ["capacity", "run"]
    for name, value in _options(record["config"]).items():
        words += _flag(name, value)
    return shlex.join([*words, "--out", "runs/again"])


def _options(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a run that differ from those of the default preset, by flat name."""
    usual = _usual()
    found = {name: value for name, value in flat(config).items() if not name.startswith(_OWN)}
    if found.get("budget") is not None:
        found.pop("exposures", None)
    if own := {name.removeprefix(_OWN): value for name, value in flat(config).items() if name.startswith(_OWN)}:
        found["architecture_options"] = own
    measured = config.get("measure", {})
    found |= {name: measured.get(name, _default(name)) for name in MeasureOptions.model_fields}
    always = ("size", "people", "exposures", "dataset")
    return {name: value for name, value in found.items() if name in always or value != usual.get(name)}


@cache
def _usual() -> dict[str, Any]:
    """The values without a flag, by flat name."""
    preset = read_yaml(preset_path(DEFAULT))
    pools = {f"pools.{name}": size for name, size in preset.pop("pools").items()}
    measured = {name: _default(name) for name in MeasureOptions.model_fields}
    return {"seed": 0} | DEFAULTS | measured | preset | pools


def _default(name: str) -> Any:
    value = MeasureOptions.model_fields[name].get_default()
    return list(value) if isinstance(value, tuple) else value


def _flag(name: str, value: Any) -> list[str]:
    """A flag and its values."""
    flag = f"--{PLURAL.get(name, name).replace('_', '-')}"
    if isinstance(value, dict):
        return [flag, *(f"{inner}={_text(one)}" for inner, one in value.items())]
    return [flag, *map(_text, value if isinstance(value, list) else [value])]


def _text(value: Any) -> str:
    """A value as flags take it."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
