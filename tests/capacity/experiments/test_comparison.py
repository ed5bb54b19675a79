"""Comparisons: their verdicts follow from ratios over seeds, each setting at its best learning rate."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.experiments import EXPERIMENTS
from capacity.experiments.comparison import Comparison, claims, judge, matching
from capacity.laws.ratios import Ratio
from capacity.spec.identity import flat, stored
from capacity.spec.plan import make_plans
from capacity.spec.preset import Preset
from eval.quantizers.schemes import parse_scheme
from tests.capacity.records import make_row

FACTOR = Comparison(
    title="junk",
    question="Does junk cost?",
    source="arXiv",
    settings={"clean": {"junk": "0"}, "junk": {"junk": "1/2"}},
    runs=(),
    claims=claims([("clean", "junk", 1.8, 2.2, "2 times", {"exposures": 100})]),
    shared={"dataset": "biod"},
)


def runs(clean, junk, **more):
    """Runs of three learning rates; only the first has anything. clean, junk: R by seed."""
    return pd.DataFrame(
        make_row(
            f"{share}-{seed}-{lr}", junk=share, seed=seed, lr=lr, exposures=100, bits_per_param=R * (lr < 0.02), **more
        )
        for share, values in (("0", clean), ("1/2", junk))
        for seed, R in enumerate(values)
        for lr in (0.01, 0.02, 0.04)
    )


@given(st.lists(st.floats(0.1, 2), min_size=3, max_size=5), st.floats(1.85, 2.15))
def test_a_ratio_that_the_source_has_is_reproduced_whatever_the_spread_of_seeds(R, factor):
    frame = FACTOR.select(runs([factor * one for one in R], R))
    assert set(frame["lr"]) == {0.01}
    assert FACTOR.verdict(frame).status == "reproduced"


@pytest.mark.parametrize(
    ("clean", "junk", "status"),
    [
        ([1.0, 1.1, 1.2], [1.0, 1.1, 1.2], "not reproduced"),
        ([2.4, 3.6, 2.4], [1.0, 1.0, 1.2], "reproduced in part"),
        ([2.0, 2.2], [1.0, 1.1], "not enough runs"),
    ],
)
def test_other_ratios_are_not(clean, junk, status):
    assert FACTOR.verdict(FACTOR.select(runs(clean, junk))).status == status


def test_without_runs_of_a_setting_there_are_not_enough():
    frame = runs([1, 1, 1], [1, 1, 1])
    only = FACTOR.select(frame[frame["junk"] == "0"])
    assert FACTOR.verdict(only).status == "not enough runs"
    assert FACTOR.verdict(FACTOR.select(frame.iloc[:0])).status == "not enough runs"


def test_a_value_that_one_setting_alone_tried_does_not_count():
    frame = runs([1, 1, 1], [0.5, 0.5, 0.5])
    lucky = [make_row(f"lucky-{seed}", junk="0", seed=seed, lr=0.08, bits_per_param=9.0) for seed in range(3)]
    selected = FACTOR.select(pd.concat([frame, pd.DataFrame(lucky).assign(exposures=100)]))
    assert selected["bits_per_param"].max() == 1
    assert set(selected["tried"]) == {3}
    assert FACTOR.verdict(selected).status == "reproduced"


def test_the_table_says_where_the_best_value_is_the_last_that_was_tried():
    frame = runs([1, 1, 1], [0.5, 0.5, 0.5])
    frame.loc[(frame["junk"] == "0") & (frame["lr"] == 0.02), "bits_per_param"] = 2
    assert FACTOR.table(FACTOR.select(frame))["best lr"].tolist() == ["0.02", "0.01 (smallest tried)"]


@pytest.mark.parametrize(("keep", "tried"), [("lr < 0.03", 2), ("lr < 0.03 or seed < 2", 2), ("lr < 0.015", 1)])
def test_a_verdict_takes_three_values_of_what_is_tuned_with_three_seeds_each(keep, tried):
    frame = runs([1, 1, 1], [0.5, 0.5, 0.5])
    selected = FACTOR.select(frame.query(f"junk == '0' or {keep}"))
    verdict = FACTOR.verdict(selected)
    assert verdict.status == "not enough runs"
    assert verdict.evidence[1] == f"clean against junk, 100 exposures: {tried} values of lr were tried, too few."


def test_settings_with_values_of_their_own_need_as_many():
    own = replace(FACTOR, own_values=True)
    frame = runs([1, 1, 1], [0.5, 0.5, 0.5])
    frame["lr"] *= np.where(frame["junk"] == "0", 1, 0.7)
    assert own.verdict(own.select(frame)).status == "reproduced"
    fewer = own.verdict(own.select(frame.query("junk == '0' or lr < 0.02")))
    assert fewer.status == "not enough runs"
    assert fewer.evidence[1].endswith("3 and 2 values of lr were tried, which is not alike.")


def test_sizes_are_paired_and_none_outweighs_another():
    sizes = [runs([2, 2, 2], [1, 1, 1], size="1x16"), runs([0.02, 0.02, 0.02], [0.01, 0.01, 0.01], size="2x16")]
    lone = runs([9, 9, 9], [9, 9, 9], size="3x16").query("junk == '0'")
    frame = FACTOR.select(pd.concat([*sizes, lone]))
    (claim,) = FACTOR.claims
    assert FACTOR._ratio(frame, claim) == pytest.approx((2.0, 2.0, 2.0, 3))
    assert len(FACTOR.table(frame)) == 4


def test_a_table_shows_parts_of_R():
    frame = FACTOR.select(runs([2, 2, 2], [1, 1, 1], bits_name=30.0, params=60))
    assert "names" not in FACTOR.table(frame)
    assert set(replace(FACTOR, parts={"names": "bits_name"}).table(frame)["names"]) == {"0.500"}


@given(st.floats(0.1, 10), st.floats(1, 3), st.integers(1, 4))
def test_a_verdict_takes_three_seeds_and_an_interval_that_reaches(value, spread, seeds):
    status = judge(Ratio(value, value / spread, value * spread, seeds), 1.8, 2.2)
    if seeds < 3:
        assert status == "not enough runs"
    elif 1.8 <= value <= 2.2:
        assert status == ("reproduced" if value / spread > 1 else "reproduced in part")
    else:
        reaches = value / spread <= 2.2 and value * spread >= 1.8
        assert status == ("reproduced in part" if reaches else "not reproduced")


def test_options_that_no_run_names_have_their_defaults():
    frame = pd.DataFrame([make_row("a", junk_people=None), make_row("b", junk_people=8.0), make_row("b", "int8")])
    quantized = frame
    frame = matching(frame, {"quantization": "none"})
    assert len(frame) == 2
    assert matching(frame, {"junk_people": None})["run_id"].tolist() == ["a"]
    assert matching(frame, {"junk_people": 8})["run_id"].tolist() == ["b"]
    assert len(matching(frame, {"domain_token": False})) == 2
    assert len(matching(frame, {"domain_token": True})) == 0
    assert len(matching(quantized, {"quantization": ["none", "int8"]})) == 3


def test_a_claim_can_be_about_two_numbers_of_exposures():
    longer = replace(
        FACTOR, claims=claims([("clean", "clean", 1.8, 2.2, "2 times", {"exposures": 1000}, {"exposures": 100})])
    )
    frame = pd.concat([runs([1, 1.1, 1.2], [1, 1, 1]), runs([2, 2.2, 2.4], [1, 1, 1]).assign(exposures=1000)])
    verdict = longer.verdict(longer.select(frame))
    assert verdict.status == "reproduced"
    assert verdict.findings[0].what == "clean, 1,000 exposures against clean, 100 exposures"


def planned_runs(name):
    """A row for each run of an experiment's sweeps on two cores, of one seed and learning rate."""
    sweeps = [options | {"seeds": [0], "lr": 0.015, "dry_run": True} for options in EXPERIMENTS[name].sweeps("laptop")]
    plans = [plan for options in sweeps for plan in make_plans(Preset.model_validate(options))]
    return pd.DataFrame(
        make_row(plan.run_id) | flat(stored(plan.config)) | {"exposures": plan.config.exposures} for plan in plans
    )


@pytest.mark.parametrize("name", ["city", "templates", "junk", "text-variety"])
def test_every_run_of_its_sweeps_belongs_to_one_setting(name):
    experiment, rows = EXPERIMENTS[name], planned_runs(name)
    selected = experiment.select(rows)
    assert sorted(selected["run_id"]) == sorted(rows["run_id"])
    assert set(selected["setting"]) == set(experiment.settings)
    assert {side for claim in experiment.claims for side in (claim.base, claim.other)} <= set(experiment.settings)


def test_runs_of_an_experiment_next_door_are_not_taken_for_its_own():
    """Both are published in one folder."""
    assert len(EXPERIMENTS["junk"].select(planned_runs("junk-shares"))) == 0


def test_every_scheme_of_the_quantization_experiment_is_measured_and_shown():
    experiment = EXPERIMENTS["quantization"]
    (options,) = experiment.sweeps("laptop")
    measured = {str(parse_scheme(text)) for text in options["quantize"]}
    assert measured == {setting["quantization"] for setting in experiment.settings.values()} - {"none"}
    for method in ("gptq", "gptq_least"):  # the same format and so the same bits, with scales of two kinds
        assert {f"{method}-int4", f"{method}-int4+temperature", f"{method}-int4-g16"} <= measured


def test_a_best_N_at_the_end_of_what_was_tried_is_no_full_verdict():
    best = replace(FACTOR, best_people=True)
    several = [runs([2 * R] * 3, [R] * 3, people=people) for people, R in ((100, 0.9), (200, 1.0), (400, 0.8))]
    inside, at_end = (best.verdict(best.select(pd.concat(some))) for some in (several, several[:2]))
    assert inside.status == "reproduced"
    assert at_end.status == "reproduced in part"
    assert "the best N is the last that was tried." in at_end.evidence[1]


def test_our_own_guesses_do_not_count():
    guess = claims([("clean", "junk", 0.9, 1.1, "no difference", {"exposures": 100})], ours=True)
    frame = runs([2, 2, 2], [1, 1, 1])
    verdict = replace(FACTOR, claims=FACTOR.claims + guess).verdict(FACTOR.select(frame))
    assert verdict.status == "reproduced"
    assert [finding.source for finding in verdict.findings] == ["2 times", "our guess: no difference"]
    assert replace(FACTOR, claims=guess).verdict(FACTOR.select(frame)).status == "not reproduced"


def test_no_difference_takes_an_interval_that_has_none():
    assert judge(Ratio(1.0, 0.95, 1.05, 3), 0.9, 1.1) == "reproduced"
    assert judge(Ratio(1.0, 0.5, 2.0, 3), 0.9, 1.1) == "reproduced in part"


def test_runs_of_other_experiments_do_not_count():
    frame = pd.concat(
        [runs([2, 2, 2], [1, 1, 1]).assign(optimizer="muon"), runs([9] * 3, [9] * 3).assign(optimizer="soap")]
    )
    assert set(FACTOR.select(frame)["optimizer"]) == {"muon"}


@pytest.mark.parametrize("name", ["junk", "text-variety", "architectures", "experts"])
def test_runs_by_the_papers_protocol_belong_to_its_settings(name):
    experiment = EXPERIMENTS[name]
    protocol = {"recipe": "paper", "optimizer": "adamw", "layout": "packed", "context": 512, "people": 50_000}
    protocol |= {"dataset": "bios", "templates": 200, "questions": "none", "size": "2-2", "exposures": 1000}
    shared = {name: value for name, value in experiment.shared.items() if name in ("architecture", "mlp", "junk")}
    rows = []
    for setting, options in experiment.settings.items():
        if options.get("dataset") is None:
            of_it = {name: value[-1] if isinstance(value, list) else value for name, value in options.items()}
            rows.append(make_row(setting) | {"domain_token": False} | protocol | shared | experiment.paper | of_it)
    frame = pd.DataFrame(rows)
    for setting in frame["run_id"]:
        assert experiment._fitting(frame, experiment.settings[setting])["run_id"].tolist() == [setting]
