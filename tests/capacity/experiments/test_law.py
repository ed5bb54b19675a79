"""The verdict on the law follows from the best R of every size, and from nothing else."""

from contextlib import suppress

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.experiments import EXPERIMENTS
from capacity.experiments.experiment import SCALES, Experiment
from capacity.experiments.law import LAW_BIOD
from capacity.spec.plan import make_plans
from capacity.spec.preset import Preset


def runs(best, *, recipe="paper", exposures=1000, bracketed=True):
    """A table in which each size has the given best R over N."""
    rows = []
    for place, R in enumerate(best):
        for N, loss in ((10, 0.1), (20, 0.0), (30, 0.1 if bracketed else -0.0)):
            drop = loss if N != 30 or bracketed else 0.5
            rows.append(
                {
                    **{"run_id": f"{recipe}-{exposures}-{place}-{N}", "dataset": "biod", "junk": "0", "seed": 0},
                    **{"recipe": recipe, "exposures": exposures, "size": f"{place + 1}x16", "people": N},
                    **{"params": 1000 * (place + 1), "quantization": "none", "bits_per_param": R - drop},
                }
            )
    return pd.DataFrame(rows)


def both(at_1000, at_100, **more):
    return pd.concat([runs(at_1000, **more), runs(at_100, exposures=100)])


@given(st.lists(st.floats(1.8, 2.3), min_size=2, max_size=4), st.lists(st.floats(0.8, 1.2), min_size=2, max_size=4))
def test_the_law_holds_where_every_best_R_lies_where_the_source_has_it(at_1000, at_100):
    assert LAW_BIOD.verdict(both(at_1000, at_100)).status == "reproduced"


@pytest.mark.parametrize(
    ("at_1000", "at_100", "status"),
    [
        ([2.0, 1.7], [1.0, 1.1], "reproduced in part"),
        ([2.0, 2.4], [1.0, 1.1], "reproduced in part"),
        ([1.0, 1.1], [1.0, 1.1], "reproduced in part"),
        ([2.0, 2.1], [0.3, 0.4], "reproduced in part"),
        ([1.0, 1.1], [0.3, 0.4], "not reproduced"),
        ([2.0], [1.0, 1.1], "not enough runs"),
    ],
)
def test_parts_that_differ_make_a_part(at_1000, at_100, status):
    assert LAW_BIOD.verdict(both(at_1000, at_100)).status == status


def test_the_verdict_rests_on_the_recipe_of_the_source_and_tells_of_the_others():
    frame = pd.concat([both([2.0, 2.1], [1.0, 1.1]), runs([2.9, 3.0], recipe="fast")])
    verdict = LAW_BIOD.verdict(frame)
    assert verdict.status == "reproduced"
    assert len(verdict.evidence) == 6  # two for each recipe and number of exposures
    assert [finding.status for finding in verdict.findings] == ["reproduced", "reproduced"]
    assert any("Recipe fast" in sentence and "2.90 to 3.00" in sentence for sentence in verdict.evidence)
    assert LAW_BIOD.verdict(runs([2.0, 2.1])).status == "not enough runs"  # nothing after 100 exposures


def test_a_best_N_at_the_edge_is_a_lower_bound_and_no_full_reproduction():
    frame = both([2.0, 2.1], [1.0, 1.1], bracketed=False)
    assert LAW_BIOD.verdict(frame).status == "reproduced"  # the third N is worse: still bracketed
    edge = frame[frame["people"] < 30]
    assert LAW_BIOD.verdict(edge).status == "reproduced in part"
    assert all(text.startswith("≥ ") for text in LAW_BIOD.table(edge)["best R"])


def test_other_data_junk_and_exposures_are_not_part_of_it():
    frame = runs([2.0, 2.1])
    others = [frame.assign(dataset="bios"), frame.assign(junk="1/2"), frame.assign(exposures=300)]
    assert len(LAW_BIOD.select(pd.concat([frame, *others]))) == len(frame)


@pytest.mark.parametrize("name", EXPERIMENTS.names)
def test_every_experiment_says_what_it_is_and_its_sweeps_are_presets(name):
    experiment = EXPERIMENTS[name]
    assert isinstance(experiment, Experiment)
    assert experiment.question.endswith("?")
    assert "arXiv" in experiment.source
    assert experiment.sweeps("laptop")
    for scale in SCALES:
        with suppress(ValueError):  # one that it does not have
            sweeps = experiment.sweeps(scale)
            assert all(list(Preset.model_validate(options).combinations()) for options in sweeps)


@pytest.mark.parametrize("name", EXPERIMENTS.names)
def test_every_experiment_has_a_scale_for_a_gpu(name):
    assert EXPERIMENTS[name].sweeps("gpu")


@pytest.mark.parametrize("name", ["temporal", "chinchilla-code"])
@pytest.mark.parametrize("scale", ["laptop", "gpu"])
def test_a_corpus_has_enough_held_out_text_at_every_scale(name, scale):
    options = EXPERIMENTS[name].sweeps(scale)[0]
    assert make_plans(Preset.model_validate(options | {"seeds": 0, "dry_run": True}))


@pytest.mark.parametrize("name", ["record", "passes", "city"])
def test_a_scale_that_an_experiment_lacks_is_refused(name):
    with pytest.raises(
        ValueError, match=r"^scale: 'paper' is not allowed for this experiment; must be one of laptop, gpu$"
    ):
        EXPERIMENTS[name].sweeps("paper")
