"""Shares of junk: R falls at once or step by step, and larger models bear more or do not."""

import pandas as pd
import pytest

from capacity.experiments.junk_shares import JUNK_SHARES, SHARES
from capacity.spec.identity import flat, stored
from capacity.spec.plan import make_plans
from capacity.spec.preset import Preset
from tests.capacity.records import make_row

SIZES = {"2x16x2": 7_696, "2x32": 27_680, "2x48x2": 59_952}
SHARED = {"people": 150, "exposures": 300, "recipe": "fast", "layout": "rows", "optimizer": "muon", "dataset": "biod"}
SHARED |= {"biod.name_length": 5, "biod.K": 4, "biod.C": 4}
EARLY, LATE, SLOW = [1, 0.9, 0.05, 0, 0], [1, 0.9, 0.8, 0.7, 0.01], [1, 0.7, 0.4, 0.2, 0.05]


def runs(*kept, seeds=3):
    """Runs of the three sizes that keep so much of their R at each share of junk, the best of three learning rates."""
    return pd.DataFrame(
        make_row(
            f"{size}-{share}-{lr}-{seed}", size=size, params=SIZES[size], junk=share, lr=lr, seed=seed, **SHARED,
            bits_per_param=R * (1.0 + 0.1 * seed) * (1 - abs(lr - 0.0075)),
        )
        for size, of_size in zip(SIZES, kept, strict=False)
        for share, R in zip(SHARES, of_size, strict=True)
        for lr in (0.00375, 0.0075, 0.015)
        for seed in range(seeds)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kept", "seeds", "status"),
    [
        ((EARLY, LATE, LATE), 3, "reproduced"),
        ((EARLY, LATE, LATE), 2, "not enough runs"),
        ((EARLY, EARLY, EARLY), 3, "reproduced in part"),  # at once, but at every size alike
        ((LATE, EARLY, EARLY), 3, "reproduced in part"),  # at once, but small models bear more
        ((SLOW, SLOW, EARLY), 3, "reproduced in part"),
        (([1] * 5, LATE, LATE), 3, "not enough runs"),  # too little junk to see it fall
    ],
)
def test_the_verdict_follows_from_where_R_falls(kept, seeds, status):
    selected = JUNK_SHARES.select(runs(*kept, seeds=seeds))
    assert set(selected.loc[selected["bits_per_param"] > 0, "lr"]) == {0.0075}
    assert JUNK_SHARES.verdict(selected).status == status


def test_findings_name_each_size_and_the_border():
    findings = JUNK_SHARES.verdict(JUNK_SHARES.select(runs(EARLY, LATE, SLOW))).findings
    assert [finding.status for finding in findings] == ["reproduced", "reproduced", "not reproduced", "not reproduced"]
    assert findings[0].here == "90% with 1/2 junk, 5% with 3/4 junk, 0% with 7/8 junk, 0% with 15/16 junk"
    assert findings[-1].here == "1/2 (2x16x2), 7/8 (2x32), 1/2 (2x48x2)"


@pytest.mark.parametrize("scale", ["laptop", "gpu"])
def test_every_run_of_its_sweeps_belongs_to_one_share(scale):
    sweeps = [options | {"seeds": [0], "lr": 0.0075, "dry_run": True} for options in JUNK_SHARES.sweeps(scale)]
    plans = [plan for options in sweeps for plan in make_plans(Preset.model_validate(options))]
    rows = [make_row(plan.run_id) | flat(stored(plan.config)) | {"exposures": plan.config.exposures} for plan in plans]
    selected = JUNK_SHARES.select(pd.DataFrame(rows))
    assert sorted(selected["run_id"]) == sorted(plan.run_id for plan in plans)
    assert len(plans) == 3 * len(SHARES)
