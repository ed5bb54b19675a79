"""A plan foresees what its run reports; every mistake of every combination surfaces, before anything is spent."""

import io

import pytest
import torch
from rich.console import Console

from basis.flags import UserError
from capacity.report import plans as report
from capacity.report.plans import show_plans
from capacity.runner import estimate
from capacity.runner.estimate import SpeedEstimate
from capacity.spec import recipes
from capacity.spec.plan import make_plans
from capacity.spec.preset import Preset

TINY = {"dataset": "biod", "sizes": "1x16", "people": 20, "exposures": 2, "biod": {"K": 2, "C": 2, "D": 8, "T": 8}}


def plans_of(**changes):
    return make_plans(Preset.model_validate(TINY | changes))


def mistakes_of(**changes):
    with pytest.raises(UserError) as caught:
        plans_of(**changes)
    assert all("\n" not in line for line in caught.value.lines)
    return caught.value.lines


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"layout": "packed", "context": 16, "batch": 3},
        {"junk": "1/2", "junk_people": 5},
        {"population": "fresh"},
        {"population": "zipf", "zipf": 1.2, "layout": "packed", "context": 16},
        {"junk": "1/2", "layout": "packed", "context": 16, "domain_token": True},
        {"dataset": "bios"},
        {"dataset": "bios", "layout": "packed", "context": 64, "questions": "half"},
    ],
    ids=str,
)
def test_a_run_reports_what_was_planned(changes, plan_of, prepare, do, rows_of):
    plan, folder = plan_of(**changes), prepare(**changes)
    assert do(folder)
    (row,) = rows_of(folder)
    exact = "dataset" not in changes and "junk" not in changes
    close = pytest.approx(row["tokens"], rel=0 if exact else 0.02)
    assert plan.tokens == (row["tokens"] if exact else close)
    assert plan.steps == (row["steps"] if not changes else pytest.approx(row["steps"], rel=0.02, abs=1))
    assert plan.flops == (row["flops"] if exact else pytest.approx(row["flops"], rel=0.02))
    assert plan.parameters == row["params"] == sum(plan.params.values())
    assert {f"params_{group}": count for group, count in plan.params.items()}.items() <= row.items()
    assert plan.vocab == row["vocab"]
    assert plan.max_bits == row["max_bits"]
    assert plan.run_id == row["run_id"] == folder.path.name


@pytest.mark.parametrize("dataset", ["bios", "biod"])
def test_a_run_is_the_same_in_every_sweep(dataset):
    pools = {"first_names": 100, "middle_names": 100, "last_names": 200}
    lists = {"people": [5, 100, 3000], "seeds": [0, 1], "junk": ["0", "1/2"]}
    options = {"dataset": dataset, "pools": pools, "templates": 12, "vocab": 420, "exposures": 300}
    if dataset == "biod":
        options |= {"biod": TINY["biod"] | {"name_length": 9}}
    alone = plans_of(**options, people=100, seeds=1)
    ids = [plan.run_id for plan in plans_of(**options, **lists)]
    assert len(set(ids)) == 12
    assert alone[0].run_id in ids


def test_a_run_that_is_asked_for_twice_is_done_once():
    assert len(plans_of(people=[20, 20, 30], seeds=[1, 1])) == 2
    assert [plan.config.data.people for plan in plans_of(people=[30, 20])] == [30, 20]


def test_an_option_that_one_architecture_lacks_is_the_others():
    forms = [plan.config.model for plan in plans_of(architecture=["gpt2", "llama"], mlp=["gelu", "gated"])]
    assert [(form.architecture, form.mlp) for form in forms] == [("gpt2", None), ("gpt2", "gated"), ("llama", None)]
    both = plans_of(architecture=["gpt2", "llama"], mlp=["none"], tied=[False])
    assert [plan.config.model.options for plan in both] == [{"mlp": "none"}, {"tied": False}]
    assert plans_of(architecture="llama")[0].run_id == plans_of(architecture=["llama", "gpt2"], mlp="quarter")[0].run_id
    for architectures in ("llama", ["llama", "gpt2"]):
        (line,) = mistakes_of(architecture=architectures, architecture_options={"depth": 3})[:1]
        assert line.startswith("depth: 3 is not allowed with architecture llama; its options are tied")
    (line,) = mistakes_of(architecture="llama", mlp="gated")
    assert line.startswith("mlp: 'gated' is not allowed with architecture llama")


def test_r_max_leaves_combinations_out():
    plans = plans_of(people=[5, 50, 500], biod=TINY["biod"] | {"name_length": 9})
    ratios = [plan.max_bits / plan.parameters for plan in plans]
    assert ratios == sorted(ratios)
    kept = plans_of(people=[5, 50, 500], biod=TINY["biod"] | {"name_length": 9}, r_max=(ratios[0] + 0.01, ratios[1]))
    assert [plan.config.data.people for plan in kept] == [50]
    (line,) = mistakes_of(r_max=(90, 91))
    assert line.startswith("r_max: (90.0, 91.0) leaves no run, as R max is ")


def test_mistakes_of_all_combinations_are_told_together():
    lines = mistakes_of(
        people=[20, 600, 700], junk=["0", "7/8"], quantize=["int4-g32"], sizes=["1x16", "1x32"], exposures=9
    )
    assert "people: 600 people need as many names; allowed is at most N0 = 512" in lines
    assert "people: 700 people need as many names; allowed is at most N0 = 512" in lines
    assert "quantize: rtn-int4-g32+embedding is not allowed at size 1x16; groups must divide its width" in lines
    assert any(line.startswith("junk: 7/8 for 9 exposures of 20 people") for line in lines)
    assert len(lines) == len(set(lines)) == 4


def test_junk_must_find_fresh_names():
    assert plans_of(junk="1/2", junk_people=100)
    (line,) = mistakes_of(junk="1/2", people=300)
    assert line.startswith("junk: 1/2 for 2 exposures of 300 people")


def test_kernels_must_be_on_this_machine(monkeypatch):
    monkeypatch.setattr(recipes, "instruction_set", lambda bf16=False: None)
    (line,) = mistakes_of(kernels="native", people=[5, 6])
    assert line.startswith("kernels: native needs")
    assert plans_of(kernels="native", dry_run=True)
    assert plans_of(kernels="auto")


def test_a_text_must_fit_its_row():
    assert plans_of(context=10, layout="rows")
    (line,) = mistakes_of(context=9, layout="rows")
    assert line.startswith("context: 9 is too short")
    assert plans_of(context=9, layout="packed")


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"templates": 5000}, "templates"),
        ({"vocab": 20}, "vocab: 20 is too small"),
        ({"tokenizer": "/none/such"}, "tokenizer: '/none/such' cannot be loaded"),
        ({"locale": "xx_XX"}, "locale"),
    ],
)
def test_data_that_cannot_be_made_is_told_once(changes, start):
    lines = mistakes_of(dataset="bios", pools={"first_names": 9}, people=[20, 30], **changes)
    assert len(lines) == 1
    assert lines[0].startswith(start)


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert mistakes_of(device=device) == [f"device: {device!r} is not on this machine; must be one of auto, cpu"]
    assert len(plans_of(device=device, dry_run=True)) == 1  # a plan may be for another machine


def test_the_table_of_plans_tells_what_is_promised():
    plans = plans_of(sizes=["1x16", "12-12"], people=[20, 400])
    printed = io.StringIO()
    show_plans(plans, 2, Console(file=printed, width=160))
    text = printed.getvalue()
    groups = ("embedding", "attention", "MLP", "norms")
    for heading in ("P", "R max", *groups, "Kaplan's N", "V", "tokens", "steps", "FLOPs"):
        assert heading in text
    for plan in plans:
        assert f"{plan.max_bits / plan.parameters:.2f}" in text
    assert "84.9M" in text  # 12·12·768² weights of a GPT-2 small
    assert "4 runs, 2 side by side" in text
    assert f"{sum(plan.flops for plan in plans):.1e} FLOPs" in text


def test_the_estimate_of_time_follows_the_tokens_and_leaves_the_threads_alone(monkeypatch):
    tried = []
    time_step = estimate._time_step
    monkeypatch.setattr(estimate, "_time_step", lambda *args: tried.append(args) or time_step(*args))
    threads = torch.get_num_threads()
    few, many, large = plans_of(exposures=[10, 1000]) + plans_of(sizes="12-12", batch=500)
    speed = SpeedEstimate()
    assert speed.seconds(many) == pytest.approx(100 * speed.seconds(few))
    assert len(tried) == 1
    assert speed.seconds(large) > 0
    assert len(tried) == 1  # too large to try
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("seconds", "workers", "expected"),
    [([3.0, 1.0, 2.0], 1, 6.0), ([3.0, 1.0, 2.0], 2, 3.0), ([3.0, 1.0, 2.0], 9, 3.0), ([], 2, 0.0)],
)
def test_all_runs_end_with_the_last_worker(seconds, workers, expected):
    assert report._makespan(seconds, workers) == expected
