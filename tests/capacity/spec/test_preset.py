"""A preset is a sweep: every option that decides a result is an axis; presets, files and flags in their order."""

from fractions import Fraction
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from basis.flags import UserError, parse
from capacity.spec.config import MeasureOptions, RunOptions, TrainingOptions
from capacity.spec.identity import OPTIONS
from capacity.spec.plan import make_plans
from capacity.spec.preset import PLURAL, Preset, SweepOptions

TINY = {"dataset": "biod", "sizes": ["1x16"], "people": 20, "exposures": 2, "biod": {"K": 2, "C": 2, "D": 8, "T": 8}}


def test_every_option_that_decides_a_result_is_an_axis():
    axes = Preset().axes()
    assert {PLURAL.get(name, name) for name in OPTIONS} == axes.keys() - {
        "eval_people",
        "heldout_tokens",
        "heldout_points",
    }
    assert all(len(values) == 1 for values in axes.values())
    assert axes.keys().isdisjoint(SweepOptions.model_fields)


def test_combinations_are_every_one_in_order():
    lists = {"sizes": ["1x16", "1-1"], "people": [7, 9], "exposures": [1, 2], "junk": ["0", "1/2"], "seeds": [3, 4]}
    preset = Preset.model_validate(TINY | lists)
    made = [preset.options(one) for one in preset.combinations()]
    found = [(one.size, one.people, one.exposures, str(one.junk), one.seed) for one in made]
    assert len(found) == 2**5
    assert found[:3] == [("1x16", 7, 1, "0", 3), ("1x16", 7, 1, "0", 4), ("1x16", 7, 1, "1/2", 3)]
    assert found[-1] == ("1-1", 9, 2, "1/2", 4)
    assert len(set(found)) == len(found)
    assert all(one.biod.D == 8 for one in made)


def test_any_options_may_vary_together():
    lists = {"optimizer": ["adamw", "muon"], "lr": [0.003, None], "biod": {"K": [2, 3]}, "domain_token": [True, False]}
    preset = Preset.model_validate(TINY | lists)
    assert preset.varied() == ["optimizer", "lr", "biod.K", "domain_token"]
    found = [preset.options(one) for one in preset.combinations()]
    assert len({(one.optimizer, one.lr, one.biod.K, one.domain_token) for one in found}) == len(found) == 16


@given(
    sizes=st.lists(st.sampled_from(["1x16", "2x32", "1-1"]), min_size=1, max_size=3),
    lr=st.lists(st.sampled_from([0.5, 0.25, None]), min_size=1, max_size=3),
    seeds=st.lists(st.integers(0, 3), min_size=1, max_size=4),
)
def test_a_value_given_twice_counts_once(sizes, lr, seeds):
    preset = Preset(sizes=sizes, lr=lr, seeds=seeds)
    assert len(list(preset.combinations())) == len(set(sizes)) * len(set(lr)) * len(set(seeds))


@pytest.mark.parametrize("text", ["0.003 0.01 none", "0.003,0.01,none", "0.003, 0.01 none"])
def test_lists_take_spaces_or_commas(text):
    assert read(["--lr", *text.split()]).lr == (0.003, 0.01, None)


def test_lists_in_yaml_may_be_lists_or_texts(tmp_path):
    file = tmp_path / "preset.yaml"
    file.write_text("{lr: [0.003, 0.01], people: '5, 6', sizes: 1x16, pools: {years: [9, 10]}, r_max: [0, 9]}")
    found = read([], file)
    assert (found.lr, found.people, found.sizes) == ((0.003, 0.01), (5, 6), ("1x16",))
    assert found.pools.years == (9, 10)
    assert found.r_max == (0, 9)


def test_none_is_a_value_where_an_option_has_it():
    assert read(["--mlp", "none", "gated", "--lr", "none"]).mlp == ("none", "gated")


def test_switches_may_be_lists_too():
    assert read(["--domain-token"]).domain_token == (True,)
    assert read(["--no-domain-token"]).domain_token == (False,)
    assert read(["--domain-token", "true", "false"]).domain_token == (True, False)


def test_a_mapping_of_lists_is_a_list_of_mappings():
    own = {"dataset": "my:Own", "dataset_options": {"sides": [6, 8], "name": "x"}}
    assert Preset(**own).dataset_options == ({"sides": 6, "name": "x"}, {"sides": 8, "name": "x"})


@pytest.mark.parametrize("text", ["gain=0.5,1 name=a,b", "{gain: [0.5, 1], name: [a, b]}"])
def test_values_of_a_mapping_are_numbers_however_they_are_listed(text):
    found = Preset(architecture="my:Own", architecture_options=text).architecture_options
    assert found == tuple({"gain": gain, "name": name} for gain in (0.5, 1) for name in "ab")


def test_a_value_of_a_mapping_that_is_no_yaml_is_a_text():
    assert Preset(architecture_options="name=[").architecture_options == ({"name": "["},)


def test_one_value_stands_for_a_list_of_one():
    preset = Preset(sizes="1x16", people=5, exposures=3, junk="7/8", seeds=1, quantize="gptq-int4")
    assert (preset.sizes, preset.people, preset.exposures) == (("1x16",), (5,), (3,))
    assert (preset.junk, preset.seeds, preset.quantize) == ((Fraction(7, 8),), (1,), ("gptq-int4",))


def test_sizes_and_schemes_have_one_spelling():
    preset = Preset(sizes=["2x128", "2x128x2", "2-2", "2x128x8"], quantize=["int4-g32", "rtn-int8"])
    assert preset.sizes == ("2x128", "2-2", "2-2", "2x128")
    assert preset.quantize == ("rtn-int4-g32+embedding", "rtn-int8")


@pytest.mark.parametrize("field", ["sizes", "people", "exposures", "junk", "seeds", "lr", "optimizer"])
def test_a_sweep_of_nothing_is_refused(field):
    with pytest.raises(ValidationError, match="at least 1 item"):
        Preset.model_validate({field: []})


SAMPLES = {
    **{"architecture": "my:Own", "architecture_options": {"depth": 3}, "dataset_options": {"sides": 6}},
    **{"mlp": "gated", "tied": True, "company_city": "none", "measured_order": "as-trained", "bank": "my_bank"},
    **{"dataset": "biod", "variant": "multi5+permute", "templates": 48, "locale": "de_DE", "tokenizer": "word"},
    **{"vocab": 900, "junk_people": 77, "domain_token": True, "questions": "half", "recipe": "paper", "batch": 6},
    **{"layout": "packed", "context": 99, "optimizer": "adamw", "initialization": "gpt2", "lr": 0.5, "clip": 2.5},
    **{"embedding_lr": 0.25, "weight_decay": 0.125, "beta1": 0.5, "beta2": 0.75, "eps": 1e-3, "momentum": 0.5},
    **{"warmup_steps": 3, "final_lr": 0.5, "precision": "bf16", "compile": "off", "quantize": ("gptq-int4", "rtn-fp8")},
    **{
        "kernels": "pytorch",
        "corpus": "src/**/*.py",
        "eval_people": 12,
        "heldout_tokens": 500,
        "heldout_points": 3,
        "population": "zipf",
        "zipf": 1.5,
        "schedule": "wsd",
        "decay_share": 0.5,
        "tokens": (5000, 6000),
        "sizes": ("1x16", "2x32"),
        "people": (5, 6),
        "workers": 3,
        "engine": "ray",
        "ray_address": "head:6379",
        "processes": 2,
        "gpus": 0.25,
        "save_seconds": 7.0,
        "retry_failed": True,
        "log": "tensorboard",
        "report": False,
    },
    **{
        "exposures": (1, 2),
        "junk": (Fraction(1, 2), Fraction(7, 8)),
        "seeds": (8, 9),
        "r_max": (0.5, 2.0),
        "bracket": True,
    },
    **{"device": "cpu", "out": Path("there"), "dry_run": True},
}
NESTED = {"pools": {"years": 100, "first_names": 3}, "biod": {"K": 2, "name_length": 4}}


def flags_of(name, value):
    flag = "--" + name.replace("_", "-")
    if isinstance(value, dict):
        return [flag, *(f"{key}={one}" for key, one in value.items())]
    if isinstance(value, bool):
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
    axes = {PLURAL.get(name, name) for name in RunOptions.model_fields} - {"quantize"}
    for name, value in SAMPLES.items():
        expected = (value,) if name in axes and not isinstance(value, tuple) else value
        assert getattr(found, name) == expected != getattr(Preset(), name), name
    for name, fields in NESTED.items():
        assert {inner: getattr(getattr(found, name), inner) for inner in fields} == {k: (v,) for k, v in fields.items()}


def test_flags_win_over_the_file_and_the_file_over_defaults(tmp_path):
    file = tmp_path / "preset.yaml"
    file.write_text(yaml.safe_dump({"people": [5, 6], "lr": 0.5, "pools": {"years": 50}, "domain_token": True}))
    assert read([], file).people == (5, 6)
    assert read(["--people", "9"], file).people == (9,)
    both = read(["--lr", "0.25", "--pools.days", "3", "--no-domain-token"], file)
    assert (both.lr, both.people, both.domain_token) == ((0.25,), (5, 6), (False,))
    assert (both.pools.years, both.pools.days, both.pools.months) == ((50,), (3,), (12,))
    assert read(["--lr", "none"], file).lr == (None,)
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


def test_options_of_a_run_fall_into_parts():
    preset = Preset(lr=0.5, quantize="gptq-int4")
    (options,) = map(preset.options, preset.combinations())
    assert TrainingOptions(**options.part(TrainingOptions)).lr == 0.5
    assert MeasureOptions(**options.part(MeasureOptions)).quantize == ("gptq-int4",)


@pytest.mark.parametrize("file", sorted((Path(__file__).parents[3] / "configs").rglob("*.yaml")), ids=lambda f: f.stem)
def test_every_preset_that_comes_along_can_be_run(file):
    preset = read([], file)
    if preset.tokenizer == ("gpt2",):  # not on this machine, perhaps
        preset = preset.model_copy(update={"tokenizer": ("word",)})
    plans = make_plans(preset)
    assert plans
    assert all(plan.max_bits > 0 or plan.config.data.dataset == "corpus" for plan in plans)
