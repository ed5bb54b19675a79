"""The identity of a run: the options that decide its result, and nothing else.

In: a `RunConfig`. Out: its stored form, its id, and its options as flat columns. Options at their defaults and
options that do not apply are left out, so an option that a later version adds changes no id.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from basis.fields import section_of
from biogen.config import DataConfig
from biogen.datasets import DATASETS
from biogen.idle import idle_data
from capacity.spec.config import ArchitectureOptions, MeasureOptions, RunConfig, Training
from capacity.spec.idle import idle_options
from train.architectures import ARCHITECTURE_DEFAULTS

_LABELS = {"training": "recipe"}
"""Options that name a setting of others and decide nothing themselves: stored, but in no id."""
_WITHOUT_DEFAULT = {"final_lr": 1.0, "lr": 1.0}
"""Values of options that have no default, where they do not apply: a constant rate ends at its peak, which is 1 for an
optimizer that reads none."""
_FIRST_VERSION = "0.1"
"""The version of options that name none."""
_SECTIONS = ("data", "model", "training")
_FIRST = ("dataset", "architecture", "size", "people", "exposures", "budget", "seed", "junk", "recipe")


def stored(config: RunConfig) -> dict[str, Any]:
    """The stored form, in config.yaml and result.json; `RunConfig.model_validate` reads it."""
    return normal(config).model_dump(mode="json", exclude_defaults=True)


def run_id(config: RunConfig) -> str:
    """The id of a run: readable words, then a hash of everything that decides its result."""
    content = stored(config)
    for section, name in _LABELS.items():
        content[section].pop(name, None)
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]
    data = config.data
    dataset = re.sub("[^A-Za-z0-9_]+", "-", data.dataset)
    unit = f"e{config.exposures}" if config.budget is None else f"t{config.budget}"
    return f"{dataset}-{config.size}-n{data.people}-{unit}-{digest}"


def training_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the stored form that decides the training: runs with the same part share a trained model."""
    parts = {name: value for name, value in content.items() if name != "measure"}
    return parts | {
        section: {key: value for key, value in parts[section].items() if key != name}
        for section, name in _LABELS.items()
    }


def normal(config: RunConfig) -> RunConfig:
    """The same run, with every option that does not apply at its default."""
    idle = idle_options(config)
    people, most = config.data.people, MeasureOptions.model_fields["eval_people"].default
    if min(config.measure.eval_people, people) == min(most, people):
        idle.add("eval_people")
    changes = {}
    for section in (*_SECTIONS, "measure"):
        model: BaseModel = getattr(config, section)
        fields = type(model).model_fields
        at_rest = {name: _at_rest(name, fields[name]) for name in idle if name in fields}
        changes[section] = model.model_copy(update=at_rest)
    return config.model_copy(update=changes)


def _at_rest(name: str, field: FieldInfo) -> Any:
    """The value of an option that does not apply: its default, or the one that says what happens."""
    return _WITHOUT_DEFAULT[name] if field.is_required() else field.get_default(call_default_factory=True)


def flat(content: Mapping[str, Any]) -> dict[str, Any]:
    """Every option that decides a training and applies, by its flag's name, in canonical order.

    content: what is stored of a run, by this version or an earlier one; it is not validated, and no module of a
    user's own is imported. Options of a section have its name in front, as in `pools.first_names`.
    """
    inner: dict[str, Any] = {}
    for name, value in content.items():
        inner |= value if name in _SECTIONS else {name: value} if name not in ("measure", "format") else {}
    dataset = inner.get("dataset", DEFAULTS["dataset"])
    own = set(DATASETS[dataset].options) if dataset in DATASETS.names else set(inner)
    given = dict(_flattened(inner))
    architecture = str(given.get("architecture", DEFAULTS["architecture"]))
    found = DEFAULTS | {
        name if name in ArchitectureOptions.model_fields else f"architecture_options.{name}": value
        for name, value in ARCHITECTURE_DEFAULTS.get(architecture, {}).items()
    }
    found |= {name: value for name, value in given.items() if value is not None or name not in found}
    idle = idle_data(own, found)
    found = {name: value for name, value in found.items() if name.partition(".")[0] not in idle and value != {}}
    return {name: found[name] for name in dict.fromkeys((*OPTIONS, *found)) if name in found}


def since(model: type[BaseModel], name: str) -> str:
    """The version of this project that added an option; runs of earlier versions have its default."""
    extra = model.model_fields[name].json_schema_extra
    return str(extra.get("since", _FIRST_VERSION)) if isinstance(extra, dict) else _FIRST_VERSION


def _flattened(content: Mapping[str, Any], section: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{section}{name}.")
        else:
            yield f"{section}{name}", value


def _names(model: type[BaseModel], section: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = section_of(field)
        if inner is None:
            yield f"{section}{name}"
        else:
            yield from _names(inner, f"{section}{name}.")


OPTIONS: tuple[str, ...] = tuple(
    dict.fromkeys((*_FIRST, *_names(DataConfig), *_names(ArchitectureOptions), *_names(Training)))
)
"""The names of all options that decide a training, in canonical order."""
DEFAULTS: dict[str, Any] = dict(
    _flattened(DataConfig().model_dump(mode="json") | ArchitectureOptions().model_dump(mode="json"))
) | {name: field.default for name, field in Training.model_fields.items() if not field.is_required()}
"""The values of options that a stored run does not name, by flat name."""
