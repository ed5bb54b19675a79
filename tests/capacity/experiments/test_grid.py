"""The grid of Kaplan's and Chinchilla's laws: what it costs, and planted surfaces that its fits find again."""

import math

import numpy as np
import pandas as pd
import pytest

from capacity.experiments.fitted import judge
from capacity.experiments.grid import (
    BUDGETS,
    CHINCHILLA,
    CHINCHILLA_ON_CODE,
    FLOPS_A_TOKEN,
    FLOPS_A_TOKEN_OF_CODE,
    GPU_BUDGETS_ON_CODE,
    GPU_FLOPS_A_TOKEN,
    GPU_FLOPS_A_TOKEN_OF_CODE,
    KAPLAN,
)
from capacity.experiments.zipf import ZIPF
from capacity.laws.fit import Interval
from capacity.laws.zipf import predicted_exponents
from capacity.spec.plan import make_plans
from capacity.spec.preset import Preset
from train.counts import palm_flops
from train.sizes import parse_size

PARAMS = dict(zip(FLOPS_A_TOKEN, (4416, 7696, 14256, 27680, 59952, 104512, 204480), strict=True)) | {"3x32x2": 40_384}
ONLY_ZIPF = {"3x32x2": 264_384}


@pytest.mark.parametrize(("size", "flops"), [*FLOPS_A_TOKEN.items(), *GPU_FLOPS_A_TOKEN.items()])
def test_the_flops_a_token_are_those_of_the_plan(size, flops):
    options = CHINCHILLA.sweeps("laptop")[0] | {"people": 1000, "sizes": size, "tokens": 10**6, "seeds": 0}
    plan = make_plans(Preset.model_validate({**options, "dry_run": True}))[0]
    assert plan.counts.flops == flops


@pytest.mark.parametrize(("size", "flops"), [*FLOPS_A_TOKEN_OF_CODE.items(), *GPU_FLOPS_A_TOKEN_OF_CODE.items()])
def test_the_flops_a_token_of_code_are_those_of_its_bytes(size, flops):
    shape, V, context = parse_size(size), 197, 128
    layers, width = shape.layers, shape.width
    assert palm_flops(12 * layers * width**2 + V * width, layers, 1, width, context) == flops


@pytest.mark.parametrize(
    ("experiment", "scale", "flops_a_token", "budgets", "least"),
    [
        (CHINCHILLA, "laptop", FLOPS_A_TOKEN, BUDGETS, 7),
        (CHINCHILLA_ON_CODE, "laptop", FLOPS_A_TOKEN_OF_CODE, BUDGETS, 7),
        (CHINCHILLA_ON_CODE, "gpu", GPU_FLOPS_A_TOKEN_OF_CODE, GPU_BUDGETS_ON_CODE, 6),
    ],
)
def test_every_budget_has_four_sizes_at_least_over_a_factor_of_a_hundred(
    experiment, scale, flops_a_token, budgets, least
):
    runs = [
        (sweep["sizes"], tokens * flops_a_token[sweep["sizes"]])
        for sweep in experiment.sweeps(scale)
        for tokens in sweep["tokens"]
    ]
    sizes = [{size for size, flops in runs if abs(flops / budget - 1) < 1e-3} for budget in budgets]
    assert len(budgets) >= 6
    assert budgets[-1] / budgets[0] >= 100
    assert len(set.union(*sizes)) >= least
    assert min(map(len, sizes)) >= 4


def planted(s, noise=0.002):
    """Runs of a world whose loss obeys the capacity law's prediction exactly, but for a little noise."""
    law, rng, E = predicted_exponents(s), np.random.default_rng(0), 0.3
    rows = [
        {
            **{"size": size, "params": PARAMS[size], "params_non_embedding": PARAMS[size] * 0.8, "tokens": tokens},
            **{"flops": tokens * (FLOPS_A_TOKEN | ONLY_ZIPF)[size], "seed": seed, "zipf": s, "population": "zipf"},
            **{"dataset": "biod", "recipe": "fast", "quantization": "none", "heldout_entropy": E},
            **{"budget": tokens, "people": 10_000_000, "schedule": "cosine", "final_lr": 0.0},
        }
        for sweep in (*CHINCHILLA.sweeps("laptop"), *ZIPF.sweeps("laptop"))
        for size in ([sweep["sizes"]] if isinstance(sweep["sizes"], str) else sweep["sizes"])
        for tokens in map(int, map(float, sweep["tokens"]))
        for seed in range(3)
    ]
    rows = [row | {"size": str(parse_size(row["size"]))} for row in rows]
    frame = pd.DataFrame(rows)
    loss = E + 8 * frame["params"] ** -law["alpha"] + 20 * frame["tokens"] ** -law["beta"]
    return frame.assign(heldout_loss=loss * np.exp(noise * rng.standard_normal(len(frame))))


def test_a_world_that_obeys_the_prediction_is_reproduced():
    frame = CHINCHILLA.select(planted(1.35))
    verdict = CHINCHILLA.verdict(frame)
    third = {finding.what: finding for finding in verdict.findings}
    assert third["approach 3: a"].status == "reproduced"
    assert third["approach 3: E, nats a token"].status in ("reproduced", "reproduced in part")
    assert len(CHINCHILLA.table(frame)) >= 8
    assert [name for name, _ in CHINCHILLA.fitted(frame)] == list(CHINCHILLA.shown)


def test_exponents_are_found_where_one_thing_alone_limits_the_loss():
    """Zipf's world as its derivation has it: the loss is what parameters or tokens leave, whichever is more."""
    frame, law = planted(1.35, noise=0.0005), predicted_exponents(1.35)
    left = np.maximum(8 * frame["params"] ** -law["alpha"], 20 * frame["tokens"] ** -law["beta"])
    left *= np.exp(0.001 * np.random.default_rng(0).standard_normal(len(frame)))
    verdict = ZIPF.verdict(ZIPF.select(frame.assign(heldout_loss=frame["heldout_entropy"] + left)))
    findings = verdict.findings
    found = {finding.what: finding.status for finding in findings}
    assert found["s = 1.35, most tokens: −α, exponent of parameters"] == "reproduced"
    assert found["s = 1.35, largest model: −β, exponent of tokens"] == "reproduced"
    assert found["s = 1.35, surface: E, the irreducible loss in nats a token"] == "not reproduced"  # a sum, no maximum
    assert found["s = 1.2, most tokens: −α, exponent of parameters"] == "not enough runs"


def test_one_seed_gives_no_verdict():
    frame = planted(1.35)
    one = KAPLAN.select(frame[frame["seed"] == 0])
    assert {finding.status for finding in KAPLAN.verdict(one).findings} == {"not enough runs"}


def test_runs_of_other_worlds_do_not_count():
    frame = planted(1.35)
    assert CHINCHILLA.select(frame.assign(population="fixed")).empty
    assert CHINCHILLA.select(frame.drop(columns="heldout_loss")).empty
    assert len(ZIPF.select(frame)) == (5 * 5 + 4) * 3
    assert len(CHINCHILLA.select(frame)) == len(frame) - (5 * 5 + 4) * 3
    assert len(KAPLAN.select(frame)) == len(frame) - 4 * 3


@pytest.mark.parametrize("change", [{"schedule": "constant"}, {"final_lr": 0.1}, {"people": 1000}, {"budget": 123}])
def test_runs_of_other_experiments_in_the_folder_do_not_count(change):
    frame = planted(1.35)
    both = pd.concat([frame, frame.assign(**change)])
    for experiment in (CHINCHILLA, KAPLAN, ZIPF):
        assert len(experiment.select(both)) == len(experiment.select(frame))


def test_kaplans_laws_are_found_in_a_world_that_obeys_them():
    verdict = KAPLAN.verdict(KAPLAN.select(planted(1.35, noise=0.0005)))
    found = {finding.what: finding.status for finding in verdict.findings}
    for what in ("L(N), equal tokens: exponent of N", "L(D), largest model: exponent of D"):
        assert found[what].startswith("reproduced"), verdict.findings


@pytest.mark.parametrize(
    ("value", "low", "high", "status"),
    [
        (0.35, 0.33, 0.37, "reproduced"),
        (0.36, 0.2, 0.5, "reproduced in part"),
        (0.37, 0.36, 0.38, "reproduced in part"),
        (0.5, 0.45, 0.55, "not reproduced"),
        (-0.35, -0.37, -0.33, "not reproduced"),
        (0.36, -5.0, 9.0, "not enough runs"),
        (0.36, math.nan, math.nan, "not enough runs"),
    ],
)
def test_a_fitted_number_is_judged_by_its_interval(value, low, high, status):
    assert judge(value, Interval(low, high), 0.35) == status
    if status == "reproduced":
        assert judge(value, Interval(low, high), 0.35, sure=False) == "reproduced in part"


@pytest.mark.parametrize("s", [1.2, 1.35, 1.6])
def test_the_predicted_exponents_fit_each_other(s):
    law = predicted_exponents(s)
    assert law["a"] == pytest.approx(law["beta"] / (law["alpha"] + law["beta"]))


def test_frequencies_that_do_not_fall_fast_enough_have_no_exponents():
    with pytest.raises(ValueError, match=r"^s: 1.0 is not allowed; must be above 1"):
        predicted_exponents(1.0)


def test_the_grid_on_code_needs_no_known_entropy():
    frame = planted(1.35).assign(dataset="corpus", corpus="stdlib", layout="packed", context=128, population="fixed")
    sweeps = CHINCHILLA_ON_CODE.sweeps("laptop")
    first = [frame[(frame["size"] == str(parse_size(one["sizes"])))].iloc[0] for one in sweeps]
    rows = pd.DataFrame(
        dict(row) | {"tokens": tokens, "budget": tokens, "people": 60_000, "seed": seed}
        for row, one in zip(first, sweeps, strict=True)
        for tokens in one["tokens"]
        for seed in range(3)
    )
    assert len(CHINCHILLA_ON_CODE.select(rows.assign(heldout_entropy=np.nan))) == len(rows)
    assert CHINCHILLA_ON_CODE.select(rows.assign(corpus="stdlib/*.py")).empty
    assert CHINCHILLA.select(rows).empty
