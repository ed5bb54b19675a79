"""The record: an entry counts by the mean over its seeds, and every entry can be run at a small scale."""

import pandas as pd
import pytest

from capacity.experiments.experiment import preset_options
from capacity.experiments.record import LEVELS, RECORD, SIZES, entries, entry_runs, quickest
from capacity.run import run
from capacity.runner.launch import make_preset
from capacity.spec.plan import make_plans
from tests.capacity.records import make_row


def runs(name, exposures, R):
    """A run for each R, a seed each."""
    return [
        make_row(f"{name}-{seed}", setting=name, exposures=exposures, seed=seed, bits_per_param=one, seconds=60.0)
        for seed, one in enumerate(R)
    ]


def test_the_fewest_exposures_whose_mean_reaches_a_level_count():
    frame = pd.DataFrame(
        runs("slow", 300, [1.9, 1.8, 1.9]) + runs("quick", 100, [1.8, 1.9, 1.7]) + runs("lucky", 50, [1.9, 1.9])
    )
    assert quickest(frame, 1.8) == (100, "quick")
    assert quickest(frame, 1.85) == (300, "slow")
    assert quickest(frame, 2.0) is None


@pytest.mark.parametrize(("R", "status"), [(1.8, "reproduced"), (1.79, "not reproduced")])
def test_the_aim_is_reached_or_not(R, status):
    frame = pd.DataFrame(runs("quick", 150, [R] * 3))
    verdict = RECORD.verdict(frame)
    assert verdict.status == status
    assert len(verdict.findings) == 2 * len(LEVELS)
    assert [finding.status for finding in verdict.findings[2:]] == ["not enough runs"] * 2  # none of bioS


@pytest.mark.parametrize("name", entries())
def test_an_entry_is_of_its_size_with_three_seeds_and_says_what_it_changed(name):
    options = preset_options(f"record/{name}")
    plans = make_plans(make_preset(options))
    assert {str(plan.config.size) for plan in plans} == {str(make_preset({"sizes": SIZES[name[:4]]}).sizes[0])}
    assert len({plan.config.data.seed for plan in plans}) == len(plans) == len(entry_runs(name)) >= 3
    assert name.startswith(f"{plans[0].config.data.dataset}-{plans[0].config.exposures}-")
    assert len(entries()[name]) > 10


@pytest.mark.parametrize("dataset", SIZES)
def test_an_entry_trains_at_a_small_scale(dataset, tmp_path):
    name = max(name for name in entries() if name.startswith(dataset))
    small = {"sizes": "1x16", "people": 50, "exposures": 2, "seeds": 0, "out": tmp_path / "out"}
    assert len(run(preset_options(f"record/{name}") | small)) == 1
