"""Counts for rows of earlier versions: the ones that a run would write today, or none."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.store.counted import with_counts
from capacity.store.records import load
from tests.capacity.records import make_config, make_row, write_store
from tests.train.architectures.conftest import EVERY_FORM, new
from train.counts import counts_of

ROOT = Path(__file__).parents[3]
NEW = ("params_non_embedding", "flops_kaplan", "flops_chinchilla")


def row_and_options(form, context=37, tokens=1001):
    """A row of an earlier version, its options, and what it lacks."""
    model, (architecture, options) = new(form, "2x48", 29), EVERY_FORM[form]
    counts, params = counts_of(model, context), sum(model.parameter_counts().values())
    row = {"size": "2x48", "vocab": 29, "params": params, "tokens": tokens, "flops": counts.flops * tokens}
    own = {name if name in ("mlp", "tied") else f"architecture_options.{name}": v for name, v in options.items()}
    lacking = [counts.kaplan_parameters, counts.kaplan_flops * tokens, counts.chinchilla_flops * tokens]
    return row, {"architecture": architecture, **own}, lacking


@given(st.sampled_from(list(EVERY_FORM)), st.integers(1, 4096), st.integers(1, 10**12))
def test_counts_are_those_that_a_run_writes_today(form, context, tokens):
    row, options, lacking = row_and_options(form, context, tokens)
    counted = with_counts(row, options)
    assert [counted[name] for name in NEW] == lacking
    assert with_counts(counted, options) == counted


@pytest.mark.parametrize(
    "changed",
    [
        {"flops": 10**9},
        {"params": 1},
        {"tokens": 0},
        {"tokens": None},
        {"vocab": "many"},
        {"size": "2x7"},
        {"architecture": "my_models:Gated"},
        {"architecture": "llama"},
    ],
)
def test_what_does_not_follow_stays_missing(changed):
    row, options, _ = row_and_options("gpt2")
    options |= {name: value for name, value in changed.items() if name in options}
    row |= {name: value for name, value in changed.items() if name in row}
    assert with_counts(row, options) == row


def test_tables_have_the_counts_of_earlier_runs(tmp_path):
    row, _, lacking = row_and_options("gpt2")
    write_store(tmp_path, [make_row("a", **row)], a={"config": make_config(make_row("a", **row))})
    assert load(tmp_path)[[*NEW]].to_numpy().tolist() == [lacking]


def test_all_published_runs_of_built_in_architectures_are_counted():
    frame = load(ROOT / "results" / "laptop", ROOT / "results" / "experts")
    assert len(frame)
    assert not frame[[*NEW]].isna().to_numpy().any()
    assert (frame["flops_kaplan"] < frame["flops"]).all()
    assert (frame["flops"] < frame["flops_chinchilla"]).all()
