"""What a dry run prints."""

import dataclasses
import io
import os

import pytest
from rich.console import Console

from capacity.report import plans
from capacity.report.plans import show_plans
from capacity.runner import estimate
from capacity.spec.plan import make_plans
from capacity.spec.preset import Preset

BIOD = {"dataset": "biod", "biod": {"K": 2, "C": 2, "D": 8, "L": 1, "T": 8}, "sizes": ["1x16", "2x32"], "people": 40}


@pytest.fixture(autouse=True)
def same_speed(monkeypatch):
    """No test here times anything."""
    monkeypatch.setattr(plans.SpeedEstimate, "seconds", lambda self, plan: 59.0)


def printed(**changes):
    made = make_plans(Preset.model_validate(BIOD | {"device": "cpu", "quantize": [], "dry_run": True} | changes))
    text = io.StringIO()
    show_plans(made, 2, Console(file=text, width=80))
    return text.getvalue()


def test_it_fits_into_80_columns():
    text = printed(junk=["0", "7/8"], junk_people=9, optimizer=["adamw", "muon"], exposures=1000, people=[40, 500])
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert text.startswith("16 runs, 2 side by side")


def test_a_run_is_named_by_what_differs():
    text = printed(sizes="1x16", optimizer=["adamw", "muon"], seeds=[0, 1])
    for name in ("adamw, seed 0", "adamw, seed 1", "muon, seed 0", "muon, seed 1"):
        assert f"N=40 ×100 {name}" in text


def test_a_model_has_one_line_whatever_is_done_with_it():
    text = printed(optimizer=["adamw", "muon"], seeds=[0, 1])
    runs, models = text.split("Models")
    models, counts = models.split("FLOPs to train on a token")
    assert runs.count("2x32 ") == 4
    assert models.count("2x32 ") == 1
    assert counts.count("2x32 ") == 1


def test_what_three_papers_count_stands_side_by_side():
    """2 layers of 32 features, windows of 64 tokens, as many tokens in use as the plan says."""
    text = printed(sizes="2x32", layout="packed", context=64)
    vocab = int(text.split("Models")[1].splitlines()[3].split()[-2])
    N = 24 * 32**2
    ours = 6 * (N + 32 * vocab) + 12 * 2 * 32 * 64
    chinchilla = ours + 6 * 32 * vocab + 9 * 2 * 2 * 64
    line = text.split("FLOPs to train on a token")[1].splitlines()[3]
    assert line.split() == ["2x32", *(f"{count / 1e3:.3g}K" for count in (N, 6 * N, ours, chinchilla))]


def test_memory_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(estimate, "memory_here", lambda: 2 * 10**9)
    monkeypatch.setattr(estimate, "instruction_set", lambda: "avx2")
    monkeypatch.setattr(estimate.torch.cuda, "is_available", lambda: False)
    long = {"sizes": "2x32", "layout": "packed", "batch": 1, "people": [40, 50]}
    text = " ".join(printed(context=16_384, **long).split())
    # Two layers of two heads, and one gradient, of 16,384² numbers; the model is small.
    told = "The largest run needs at least 5.37 GB of memory, 2 side by side 10.7 GB; this machine has 2 GB."
    assert told in text
    assert "memory" not in printed(context=16_384, kernels="pytorch", **long)
    assert "memory" not in printed(context=512, **long)
    monkeypatch.setattr(estimate.torch.cuda, "is_available", lambda: True)
    assert "memory" not in printed(context=16_384, **long)


def test_the_memory_here_is_what_a_container_leaves(monkeypatch, tmp_path):
    all_of_it = estimate.memory_here()
    assert 10**8 < all_of_it <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    monkeypatch.setattr(estimate, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    assert estimate.memory_here() >= all_of_it
    (tmp_path / "memory.max").write_text("1234\n")
    assert estimate.memory_here() == 1234


def test_one_run_and_next_to_no_gpu_hours_are_said_plainly():
    text = " ".join(printed(sizes="1x16").split())
    assert text.startswith("1 run, 2 side by side")
    assert "or less than 0.01 hours of an H100" in text
    assert "All runs: about 59 s here" in text


def test_groups_of_an_architectures_own_have_columns():
    made = make_plans(Preset.model_validate(BIOD | {"device": "cpu", "quantize": [], "dry_run": True}))
    own = [dataclasses.replace(plan, params=plan.params | {"experts": 12_345}) for plan in made]
    text = io.StringIO()
    show_plans(own, 2, Console(file=text, width=100))
    assert "experts" in text.getvalue()
    assert "12.3K" in text.getvalue()
    assert "experts" not in printed()


def test_worlds_without_end_tell_their_least_loss():
    biod = BIOD | {"sizes": "1x16", "biod": BIOD["biod"] | {"name_length": 4}}
    text = printed(**biod, population=["fresh", "zipf"], zipf=[1.2, 1.6], seeds=[0, 1], exposures=3)
    assert max(map(len, text.splitlines())) <= 80
    lines = [line.split() for line in text.splitlines()]
    fresh = [["first", "chunks", "4.159", "2.0", "2.079"], ["later", "chunks", "4.159", "2.0", "2.079"]]
    assert all(line in lines for line in fresh)
    assert ["bioD,", "new", "people", "name", "8.318", "4.0", "2.079"] in lines
    assert [line[:3] for line in lines if line[:1] == ["bioD,"]] == [
        *[["bioD,", "new", "people"], ["bioD,", "N=40,", "s=1.2"], ["bioD,", "N=40,", "s=1.6"]],
    ]
    assert next(line for line in lines if line[:1] == ["all"]) == ["all", "17.329", "11.0", "1.575"]
    assert "Least loss" not in printed()
