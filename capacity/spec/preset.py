"""A sweep: one run for every combination of its options, and how they are done.

In: keys of a preset and flags. Out: a `Preset`. Every option that decides a result is a list, an axis of the sweep;
options that only say how runs are done are not.
"""

import math
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_origin

from pydantic import BaseModel, BeforeValidator, Field, create_model, field_validator, model_validator
from pydantic.fields import FieldInfo

from basis.fields import holds_several, is_number, section_of, split_values, takes_none
from basis.files import UserPath
from basis.yaml_text import read_mapping, read_value
from biogen.config import DataConfig, Frozen
from biogen.idle import without_foreign
from capacity.spec.config import ArchitectureOptions, MeasureOptions, RunOptions, TrainingOptions
from train.sizes import parse_size

PLURAL = {"size": "sizes", "seed": "seeds", "budget": "tokens"}
"""Options whose axis has another name."""

MOST_RUNS, MOST_LAYERS = 5_000, 5_000
"""Combinations in a sweep, values in an axis, and layers of all its models, at most: each takes milliseconds."""


class SweepOptions(Frozen):
    """How a sweep is chosen and done: nothing here decides a result."""

    r_max: tuple[float, float] | None = None
    """Leave out combinations whose largest possible bits per parameter lie outside these two numbers."""
    bracket: bool = False
    """Begin with the `people` within r_max, then add those next to the best N of each size."""
    engine: Literal["local", "ray"] = "local"
    """local: this machine; ray: a Ray cluster, all of whose nodes see the folder `out`."""
    ray_address: str | None = None
    """Address of the Ray cluster (default: the one that Ray finds, else a new one on this machine)."""
    workers: int | None = Field(None, ge=1, le=4096)
    """Trainings side by side (default: one a GPU, or one a core, of this machine or the cluster)."""
    processes: int = Field(1, ge=1, le=64)
    """Processes that train one model together, each on its own GPU where there are some."""
    gpus: float | None = Field(None, gt=0, le=1)
    """ray: the share of a GPU that a training takes (default: more for larger models)."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train."""
    save_seconds: float = Field(60.0, ge=0, le=86_400)
    """Seconds between two checkpoints of a training."""
    log: Literal["none", "tensorboard", "wandb"] = "none"
    """Where else the metrics go while runs are trained; each needs its extra (`pip install '...[tensorboard]'`)."""
    retry_failed: bool = False
    """Try again the runs that failed before."""
    out: UserPath = Path("runs/laptop")
    """Folder of the results."""
    report: bool = True
    """Write OUT/report.html, a page of all runs, at the end."""
    dry_run: bool = False
    """Print the plan and do nothing."""

    @field_validator("r_max", mode="before")
    @classmethod
    def _two_numbers(cls, value: object) -> object:
        found = (None,) if value is None else tuple(split_values(value))
        return None if found in ((None,), ("none",), ("None",)) else found

    @field_validator("r_max")
    @classmethod
    def _ordered(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not 0 <= value[0] < value[1]:
            raise ValueError("must be two numbers, the smaller first and at least 0")
        return value

    @model_validator(mode="after")
    def _begins_somewhere(self) -> "SweepOptions":
        if self.bracket and self.r_max is None:
            raise ValueError("bracket: True is not allowed without r_max, which says what N to begin with")
        return self

    @field_validator("out", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        if value == "" or "\0" in str(value):
            raise ValueError("must name a folder")
        return value


def _axis(field: FieldInfo) -> tuple[Any, Any]:
    """The field of an axis: a tuple of values of the option."""
    kind = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    several = Annotated[tuple[kind, ...], BeforeValidator(_list_of(field)), Field(min_length=1)]  # type: ignore[valid-type]
    default = (field.get_default(call_default_factory=True),)
    return several, Field(default, description=field.description)


def _list_of(field: FieldInfo) -> Callable[[object], object]:
    """Reads an axis: one value means a list of one, `none` a value that is left open."""
    optional = takes_none(field)
    no_switch = is_number(field)
    mapping = get_origin(field.annotation) is dict

    def read(value: object) -> object:
        if mapping:
            return _mappings(value)
        values = split_values(value)
        if len(values) > MOST_RUNS:
            raise ValueError(f"must be at most {MOST_RUNS:,} values, not {len(values):,}")
        if no_switch and any(isinstance(one, bool) for one in values):  # which pydantic takes as 1 and 0
            raise ValueError("must be a number")
        return tuple(None if optional and one in ("none", "None") else one for one in values)

    return read


def _mappings(value: object) -> object:
    """A mapping whose values may be lists, as one mapping for each combination of them."""
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        value = " ".join(value)
    value = {} if value is None else read_mapping(value)
    if not isinstance(value, dict):
        return value if isinstance(value, list | tuple) else (value,)
    lists = [_several(one) for one in value.values()]
    if (count := math.prod(map(len, lists))) > MOST_RUNS:
        raise ValueError(f"must have at most {MOST_RUNS:,} combinations, not {count:,}")
    return tuple(dict(zip(value, one, strict=True)) for one in product(*lists))


def _several(value: object) -> list[Any]:
    """The values of an option in a mapping; the parts of a text with commas are read one by one."""
    parts = split_values(value)
    return [read_value(part) for part in parts] if isinstance(value, str) and len(parts) > 1 else parts


def _axes_of(model: type[BaseModel]) -> dict[str, Any]:
    """The fields of the axes of all options of a model, sections as models of axes."""
    fields: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if (section := section_of(field)) is not None:
            axes = create_model(f"{section.__name__}Axes", __base__=Frozen, **_axes_of(section))
            fields[name] = axes, Field(axes(), description=field.description)
        elif holds_several(field):
            fields[name] = Annotated[field.annotation, *field.metadata], field
        else:
            fields[PLURAL.get(name, name)] = _axis(field)
    return fields


_Axes: Any = create_model("_Axes", __base__=SweepOptions, **_axes_of(RunOptions))


class Preset(_Axes):
    """A sweep: one run for every combination of the axes, and how they are done."""

    groups: ClassVar[dict[str, list[str]]] = {
        "sweep": ["sizes", "people", "exposures", "tokens", "seeds", "r_max", "bracket", "dry_run"],
        "model": list(ArchitectureOptions.model_fields),
        "data": [name for name in DataConfig.model_fields if name not in ("people", "seed")],
        "training": list(TrainingOptions.model_fields),
        "measuring": list(MeasureOptions.model_fields),
        "running": [
            *("out", "workers", "device", "processes", "engine", "ray_address", "gpus"),
            *("save_seconds", "log", "retry_failed", "report"),
        ],
    }

    @model_validator(mode="after")
    def _can_be_planned(self) -> "Preset":
        axes = {name: len(values) for name, values in self.axes().items() if len(values) > 1}
        if (count := math.prod(axes.values())) > MOST_RUNS:
            product = " x ".join(f"{length:,} {name}" for name, length in axes.items())
            raise ValueError(f"sweep: {product} are {count:,} combinations; allowed are {MOST_RUNS:,}")
        if (layers := sum(parse_size(size).layers for size in set(self.sizes))) > MOST_LAYERS:
            raise ValueError(f"sizes: {layers:,} layers in all models are too many; allowed are {MOST_LAYERS:,}")
        return self

    if TYPE_CHECKING:  # the axes are made from the options of a run

        def __getattr__(self, name: str) -> Any: ...

    def axes(self) -> dict[str, tuple[Any, ...]]:
        """The values of every axis by its flag's name, each value once."""
        return dict(_values_of(self))

    def varied(self) -> list[str]:
        """The axes with several values."""
        return [name for name, values in self.axes().items() if len(values) > 1]

    def combinations(self) -> Iterator[dict[str, Any]]:
        """The values of every combination by the axes' names, in the order of the lists."""
        axes = self.axes()
        return (dict(zip(axes, values, strict=True)) for values in product(*axes.values()))

    def options(self, combination: dict[str, Any]) -> RunOptions:
        """The options of one combination, without those that only other data sets of the sweep read.

        Raises pydantic's ValidationError for an impossible one, and ValueError for a data set that cannot be imported.
        """
        singular = {plural: name for name, plural in PLURAL.items()}
        values: dict[str, Any] = {"quantize": self.quantize}
        for name, value in combination.items():
            section, _, last = name.rpartition(".")
            place = values.setdefault(section, {}) if section else values
            place[singular.get(last, last)] = value
        return RunOptions.model_validate(without_foreign(values, self.dataset))


_LAST = ("sizes", "people", "exposures", "tokens", "junk", "seeds")
"""The axes that come last, in this order, so that their values vary fastest."""


def _values_of(model: BaseModel, section: str = "") -> list[tuple[str, tuple[Any, ...]]]:
    found: list[tuple[str, tuple[Any, ...]]] = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if section_of(field) is not None:
            found += _values_of(value, f"{section}{name}.")
        elif isinstance(model, Preset) and (name in SweepOptions.model_fields or name == "quantize"):
            continue
        else:
            found.append((f"{section}{name}", _distinct(value)))
    return found if section else sorted(found, key=lambda one: _LAST.index(one[0]) if one[0] in _LAST else -1)


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Each value once; mappings cannot be keys, and their texts can."""
    return tuple({repr(value): value for value in values}.values())
