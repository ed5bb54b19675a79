"""A run is its config: each option changes its id, and nothing else does; presets, files and flags in their order."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from basis.flags import UserError, parse
from capacity.spec.config import MeasureOptions, Preset, RunConfig, TrainingOptions
from capacity.spec.plan import make_plans

TINY = {"dataset": "biod", "sizes": ["1x16"], "people": 20, "exposures": 2, "biod": {"K": 2, "C": 2, "D": 8, "T": 8}}


def config():
    (plan,) = make_plans(Preset.model_validate(TINY))
    return plan.config


def leaves(content, path=()):
    """Every path to a value in nested mappings."""
    for key, value in content.items():
        yield from leaves(value, (*path, key)) if isinstance(value, dict) else [(*path, key)]


OTHER = {
    **{"size": "1x32", "dataset": "bios", "variant": "single", "locale": "de_DE", "tokenizer": "word", "junk": "1/2"},
    **{"junk_people": 5, "recipe": "paper", "layout": "packed", "optimizer": "adamw", "initialization": "gpt2"},
    **{"precision": "bf16", "compile": "on", "kernels": "pytorch", "quantize": ["int4"]},
    **{"architecture": "my:Own", "architecture_options": {"depth": 3}, "mlp": "gated", "tied": False},
}
"""Another value of each field that is no number."""


def changed(content, path):
    """The config with one value changed."""
    content = json.loads(json.dumps(content))
    place = content
    for key in path[:-1]:
        place = place[key]
    value = place[path[-1]]
    if path[-1] in OTHER:
        place[path[-1]] = OTHER[path[-1]]
        if path[-1] == "variant":
            place["dataset"] = "bios"
    elif path[-1] == "questions":
        place |= {"questions": "half", "dataset": "bios"}
    elif isinstance(value, bool):
        place[path[-1]] = not value
    elif path[-1] in ("months", "days", "years", "birth_cities", "universities", "majors", "employers", "D"):
        place[path[-1]] = value - 1  # these are at their largest
    elif isinstance(value, int):
        place[path[-1]] = value + 1
    else:
        place[path[-1]] = value / 2 + 0.001
    return RunConfig.model_validate(content)


CONTENT = config().model_dump(mode="json")


@pytest.mark.parametrize("path", list(leaves(CONTENT)), ids=".".join)
def test_every_option_of_a_run_is_in_its_id(path):
    other = changed(CONTENT, path)
    same_data_set = CONTENT | {"data": CONTENT["data"] | {"dataset": other.data.dataset}}
    assert other.run_id != RunConfig.model_validate(CONTENT if path[-1] == "dataset" else same_data_set).run_id


def test_an_id_is_that_of_the_content():
    one = RunConfig.model_validate(CONTENT)
    again = RunConfig.model_validate(yaml.safe_load(yaml.safe_dump(one.model_dump(mode="json"))))
    assert again == one
    assert again.run_id == one.run_id
    assert one.run_id.startswith("biod-1x16-n20-e2-")
    assert "/" not in one.run_id


@pytest.mark.parametrize("change", [{"workers": 7}, {"device": "cpu"}, {"out": Path("elsewhere")}, {"dry_run": True}])
def test_where_and_how_it_is_done_is_in_no_id(change):
    (plan,) = make_plans(Preset.model_validate(TINY | change))
    assert plan.config == config()


def test_combinations_are_every_one_in_order():
    lists = {"sizes": ["1x16", "1-1"], "people": [7, 9], "exposures": [1, 2], "junk": ["0", "1/2"], "seeds": [3, 4]}
    preset = Preset.model_validate(TINY | lists)
    found = [
        (size, data.people, exposures, str(data.junk), data.seed) for size, exposures, data in preset.combinations()
    ]
    assert len(found) == 2**5
    assert found[:3] == [("1x16", 7, 1, "0", 3), ("1x16", 7, 1, "0", 4), ("1x16", 7, 1, "1/2", 3)]
    assert found[-1] == ("1-1", 9, 2, "1/2", 4)
    assert len(set(found)) == len(found)
    assert all(data.biod.D == 8 for _, _, data in preset.combinations())


def test_one_value_stands_for_a_list_of_one():
    preset = Preset(sizes="1x16", people=5, exposures=3, junk="7/8", seeds=1, quantize="int4")
    assert (preset.sizes, preset.people, preset.exposures) == (("1x16",), (5,), (3,))
    assert (preset.junk, preset.seeds, preset.quantize) == ((Fraction(7, 8),), (1,), ("rtn-int4+embedding",))


def test_sizes_and_schemes_have_one_spelling():
    preset = Preset(sizes=["2x128", "2x128x2", "2-2", "2x128x8"], quantize=["int4-g32", "bf16"])
    assert preset.sizes == ("2x128", "2-2", "2-2", "2x128")
    assert preset.quantize == ("rtn-int4-g32+embedding", "rtn-bf16+embedding")


@pytest.mark.parametrize("field", ["sizes", "people", "exposures", "junk", "seeds"])
def test_a_sweep_of_nothing_is_refused(field):
    with pytest.raises(ValidationError, match="at least 1 item"):
        Preset.model_validate({field: []})


SAMPLES = {
    "dataset_options": {"flips": 16, "sides": 2},
    **{"dataset": "biod", "variant": "multi5+permute", "templates": 48, "locale": "de_DE", "tokenizer": "word"},
    **{"vocab": 900, "junk_people": 77, "domain_token": True, "questions": "half", "recipe": "paper", "batch": 6},
    **{"layout": "packed", "context": 99, "optimizer": "adamw", "initialization": "gpt2", "lr": 0.5, "clip": 2.5},
    **{"embedding_lr": 0.25, "weight_decay": 0.125, "beta1": 0.5, "beta2": 0.75, "eps": 1e-3, "momentum": 0.5},
    **{"warmup_steps": 3, "final_lr": 0.5, "precision": "bf16", "compile": "off", "quantize": ("gptq-int4", "rtn-fp8")},
    **{
        "kernels": "pytorch",
        "eval_people": 12,
        "sizes": ("1x16", "2x32"),
        "people": (5, 6),
        "workers": 3,
        "engine": "ray",
        "ray_address": "head:6379",
        "processes": 2,
        "gpus": 0.25,
        "save_seconds": 7.0,
        "retry_failed": True,
    },
    **{
        "exposures": (1, 2),
        "junk": (Fraction(1, 2), Fraction(7, 8)),
        "seeds": (8, 9),
        "r_max": (0.5, 2.0),
        "bracket": True,
    },
    **{"architecture": "my:Own", "architecture_options": {"depth": 3}, "mlp": "none", "tied": False},
    **{"device": "cpu", "out": Path("there"), "dry_run": True},
}
NESTED = {"pools": {"years": 100, "first_names": 3}, "biod": {"K": 2, "name_length": 4}}


def flags_of(name, value):
    flag = "--" + name.replace("_", "-")
    if name in Preset.model_fields and Preset.model_fields[name].annotation is bool:
        return [flag if value else flag.replace("--", "--no-")]
    return [flag, *map(str, value if isinstance(value, tuple) else (value,))]


def read(arguments, file=None):
    return parse(Preset, arguments, program="test", description="", default_file=file)


def test_no_folder_is_not_this_one():
    with pytest.raises(ValidationError, match="must name a folder"):
        Preset(out="")


def test_every_key_of_a_preset_is_a_flag():
    assert SAMPLES.keys() | NESTED.keys() == Preset.model_fields.keys()
    arguments = [text for name, value in SAMPLES.items() for text in flags_of(name, value)]
    for name, fields in NESTED.items():
        arguments += [text for inner, value in fields.items() for text in flags_of(f"{name}.{inner}", value)]
    found = read(arguments)
    for name, value in SAMPLES.items():
        assert getattr(found, name) == value != getattr(Preset(), name), name
    for name, fields in NESTED.items():
        assert {inner: getattr(getattr(found, name), inner) for inner in fields} == fields


def test_flags_win_over_the_file_and_the_file_over_defaults(tmp_path):
    file = tmp_path / "preset.yaml"
    file.write_text(yaml.safe_dump({"people": [5, 6], "lr": 0.5, "pools": {"years": 50}, "domain_token": True}))
    assert read([], file).people == (5, 6)
    assert read(["--people", "9"], file).people == (9,)
    both = read(["--lr", "0.25", "--pools.days", "3", "--no-domain-token"], file)
    assert (both.lr, both.people, both.domain_token) == (0.25, (5, 6), False)
    assert (both.pools.years, both.pools.days, both.pools.months) == (50, 3, 12)
    assert read(["--lr", "none"], file).lr is None
    other = tmp_path / "other.yaml"
    other.write_text("people: 3")
    assert read(["--config", str(other)], file).people == (3,)


def test_all_mistakes_of_a_file_and_flags_are_told_together(tmp_path):
    file = tmp_path / "preset.yaml"
    file.write_text("{peple: 4, lr: big, pools: {years: 300}}")
    with pytest.raises(UserError) as caught:
        read(["--people", "0", "--batch", "-1", "--nonsense", "1"], file)
    fields = {line.partition(":")[0] for line in caught.value.lines}
    assert fields == {"peple", "lr", "pools.years", "people", "batch", "--nonsense"}


def test_a_part_of_a_preset_is_what_it_shares():
    preset = Preset(lr=0.5, quantize="int4")
    assert TrainingOptions(**preset.part(TrainingOptions)).lr == 0.5
    assert MeasureOptions(**preset.part(MeasureOptions)).quantize == ("rtn-int4+embedding",)


@pytest.mark.parametrize("file", sorted((Path(__file__).parents[3] / "configs").rglob("*.yaml")), ids=lambda f: f.stem)
def test_every_preset_that_comes_along_can_be_run(file):
    preset = read([], file)
    if preset.tokenizer == "gpt2":  # not on this machine, perhaps
        preset = preset.model_copy(update={"tokenizer": "word"})
    plans = make_plans(preset)
    assert plans
    assert all(plan.max_bits > 0 for plan in plans)
