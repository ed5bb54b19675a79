"""A run is what decides its result: such an option changes its id, nothing else does, and a new option changes none."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import Field, create_model

from biogen import idle
from biogen.config import DataConfig
from capacity.spec.config import ArchitectureOptions, MeasureOptions, RunConfig, Training
from capacity.spec.identity import OPTIONS, flat, normal, run_id, since, stored, training_of
from capacity.spec.idle import idle_options
from capacity.spec.plan import make_plans
from capacity.spec.preset import Preset

BIOD = {"dataset": "biod", "sizes": ["1x16"], "people": 20, "exposures": 2, "biod": {"K": 2, "C": 2, "D": 8, "T": 8}}
BIOS = {"sizes": ["1x16"], "people": 20, "exposures": 2, "tokenizer": "word", "templates": 6}
PRESETS = {
    "biod": BIOD,
    "biod, adamw, junk": BIOD | {"optimizer": "adamw", "junk": "1/4", "junk_people": 5},
    "biod, constant": BIOD | {"schedule": "constant"},
    "biod, held out": BIOD | {"heldout_tokens": 500},
    "biod, zipf": BIOD | {"population": "zipf"},
    "bios": BIOS,
    "bios, paper, bpe": BIOS | {"recipe": "paper", "tokenizer": "bpe", "vocab": 300, "questions": "half"},
}


def config_of(preset: dict[str, Any]) -> RunConfig:
    (plan,) = make_plans(Preset.model_validate(preset | {"dry_run": True}))
    return plan.config


CONFIGS = {name: config_of(preset) for name, preset in PRESETS.items()}
OTHER = {
    **{"size": "1x32", "variant": "single", "locale": "de_DE", "tokenizer": "word", "junk": "1/2", "junk_people": 6},
    **{"layout": "packed", "optimizer": "adamw", "initialization": "gpt2", "precision": "bf16", "compile": "on"},
    **{"kernels": "pytorch", "quantize": ["gptq-int4"], "questions": "half", "recipe": "paper", "dataset": "bios"},
    **{"architecture": "my_models:Mine", "architecture_options": {"depth": 3}, "dataset_options": {"sides": 6}},
    **{"mlp": "gated", "tied": True, "company_city": "before", "measured_order": "as-trained", "bank": "my_bank"},
    **{"budget": 5000, "schedule": "wsd"},
    **{"population": "zipf", "zipf": 1.2},
}
"""Another value of each field that is no number."""


def another(value: Any, name: str) -> Any:
    if name in OTHER:
        return (
            OTHER[name]
            if OTHER[name] != value
            else {"packed": "rows", "adamw": "muon", "paper": "fast", "zipf": "fresh"}.get(value)
        )
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value - 1 if value > 2 and name != "T" else value + 1
    return 0.123 if value is None else value / 2 + 0.001


def leaves(content: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every path to a value in nested mappings."""
    found = []
    for key, value in content.items():
        nested = isinstance(value, dict) and not key.endswith("_options")
        found += leaves(value, (*path, key)) if nested else [(*path, key)]
    return found


def changed(config: RunConfig, path: tuple[str, ...]) -> RunConfig:
    content = json.loads(config.model_dump_json())
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = another(place[path[-1]], path[-1])
    return RunConfig.model_construct(**{
        "size": content["size"],
        "exposures": content["exposures"],
        "budget": content["budget"],
        "data": DataConfig.model_construct(**config.data.model_copy(update=_section(content, config, "data")).__dict__),
        "model": config.model.model_copy(update=_section(content, config, "model")),
        "training": config.training.model_copy(update=_section(content, config, "training")),
        "measure": config.measure.model_copy(update=_section(content, config, "measure")),
    })  # fmt: skip


def _section(content: dict[str, Any], config: RunConfig, section: str) -> dict[str, Any]:
    model = type(getattr(config, section))
    before = json.loads(getattr(config, section).model_dump_json())
    update = {}
    for name, value in content[section].items():
        if value != before[name]:
            kind = model.model_fields[name].annotation
            section_of_its_own = isinstance(value, dict) and hasattr(kind, "model_fields")
            update[name] = kind(**value) if section_of_its_own else tuple(value) if isinstance(value, list) else value
    return update


CASES = [(name, path) for name, config in CONFIGS.items() for path in leaves(json.loads(config.model_dump_json()))]


@pytest.mark.parametrize(("name", "path"), CASES, ids=lambda part: ".".join(part) if isinstance(part, tuple) else part)
def test_an_option_is_in_the_id_exactly_if_it_decides_the_result(name, path):
    config = CONFIGS[name]
    if path[-1] in ("dataset", "architecture", "tokenizer", "optimizer", "dataset_options"):
        pytest.skip("decides what else applies")
    idle = idle_options(config) | {"recipe", "eval_people"}  # of 20 people all are measured
    same = run_id(changed(config, path)) == run_id(config)
    assert same == bool({path[-1], path[1] if len(path) > 1 else path[0]} & idle)


@pytest.mark.parametrize(
    "options", [{"company_city": "after"}, {"company_city": "none"}, {"variant": "multi5+permute"}]
)
def test_the_measured_order_decides_nothing_where_there_is_one_order_alone(options):
    runs = [config_of(BIOS | options | {"measured_order": order}) for order in ("employer-first", "as-trained")]
    assert runs[0] == runs[1]
    assert "measured_order" not in flat(stored(runs[1]))
    assert flat(stored(config_of(BIOS)))["measured_order"] == "employer-first"


def test_what_is_stored_makes_the_same_run_again():
    for config in CONFIGS.values():
        again = RunConfig.model_validate(yaml.safe_load(yaml.safe_dump(stored(config))))
        assert again == config == normal(config)
        assert run_id(again) == run_id(config)
        assert stored(again) == stored(config)


def test_an_id_says_what_it_is_about_and_is_a_folders_name():
    assert run_id(CONFIGS["biod"]).startswith("biod-1x16-n20-e2-")
    assert all("/" not in run_id(config) for config in CONFIGS.values())


def test_defaults_and_what_does_not_apply_are_not_stored():
    content = stored(CONFIGS["biod"])
    assert content["data"] == {"dataset": "biod", "biod": {"K": 2, "C": 2, "D": 8, "T": 8}, "people": 20}
    assert "measure" not in content
    assert "model" not in content
    assert "recipe" not in content["training"]
    assert "momentum" in content["training"]
    assert "momentum" not in stored(CONFIGS["biod, adamw, junk"])["training"]
    assert {"biod", "vocab"}.isdisjoint(stored(CONFIGS["bios"])["data"])


def test_an_option_that_a_later_version_adds_changes_no_id(monkeypatch):
    """Whatever section it comes in, as long as its default means what was before."""
    before = {name: run_id(config) for name, config in CONFIGS.items()}
    sections = {"data": DataConfig, "model": ArchitectureOptions, "training": Training, "measure": MeasureOptions}
    later = {
        section: create_model(model.__name__, __base__=model, brand_new=(int, Field(7, description="New.")))
        for section, model in sections.items()
    }
    monkeypatch.setattr(idle, "COMMON", idle.COMMON | {"brand_new"})
    for name, config in CONFIGS.items():
        parts = {section: later[section](**getattr(config, section).__dict__) for section in sections}
        defaults = {section: (later[section], later[section]()) for section in ("model", "measure")}
        required = {section: (later[section], ...) for section in ("data", "training")}
        new = create_model("RunConfig", __base__=RunConfig, **defaults, **required)
        assert run_id(new.model_construct(**{**config.__dict__, **parts})) == before[name]
        parts["training"] = parts["training"].model_copy(update={"brand_new": 8})
        assert run_id(new.model_construct(**{**config.__dict__, **parts})) != before[name]


def test_the_flat_options_are_those_that_apply_in_canonical_order():
    options = flat(stored(CONFIGS["biod"]))
    assert list(options) == [name for name in OPTIONS if name in options]
    assert options["biod.K"] == 2
    assert options["junk"] == "0"
    assert options["optimizer"] == "muon"
    assert not any(name.startswith("pools") for name in options)
    assert "pools.first_names" in flat(stored(CONFIGS["bios"]))
    assert "quantize" not in options


def test_a_training_is_the_same_whatever_is_measured_and_whatever_its_recipe_is_called():
    config = CONFIGS["biod"]
    measured = config.model_copy(update={"measure": MeasureOptions(quantize=("gptq-int4",), eval_people=5)})
    named = config.model_copy(update={"training": config.training.model_copy(update={"recipe": "paper"})})
    assert training_of(stored(measured)) == training_of(stored(named)) == training_of(stored(config))
    assert run_id(named) == run_id(config) != run_id(measured)
    other = config.model_copy(update={"exposures": 3})
    assert training_of(stored(other)) != training_of(stored(config))


@pytest.mark.parametrize("change", [{"workers": 7}, {"device": "cpu"}, {"out": "elsewhere"}, {"save_seconds": 3}])
def test_where_and_how_it_is_done_is_in_no_id(change):
    assert config_of(BIOD | change) == CONFIGS["biod"]


SECTIONS = {"data": DataConfig, "model": ArchitectureOptions, "training": Training, "measure": MeasureOptions}
OPTIONS_FILE = Path(__file__).with_name("options.json")
"""Every option with the version that brought it and the value that a run means that does not name it."""


def test_no_option_changes_its_default_or_comes_without_its_version():
    """A stored run leaves defaults out: another default would change in silence what it says. A new option names the
    version that brings it in `json_schema_extra={"since": ...}`, and its line is added to options.json.
    """
    found = {
        f"{section}.{name}": [
            since(model, name),
            None if field.is_required() else str(field.get_default(call_default_factory=True)),
        ]
        for section, model in SECTIONS.items()
        for name, field in model.model_fields.items()
    }
    assert found == json.loads(OPTIONS_FILE.read_text())
