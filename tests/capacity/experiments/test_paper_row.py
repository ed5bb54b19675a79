"""Rows of the paper's table: each is judged by its own R max."""

import pandas as pd
import pytest

from capacity.experiments.paper_row import PAPER_ROW
from tests.capacity.records import make_row


def runs(R, r_max, dataset="biod", **more):
    """Runs of one row. R: by seed."""
    options = {"layout": "packed", "optimizer": "adamw", "context": 512, "people": 10_000, "size": "2-2"} | more
    own = {"templates": 200, "pools.last_names": 1000, "variant": "fresh"} if dataset == "bios" else {}
    return pd.DataFrame(
        make_row(
            f"{dataset}-{one}-{seed}", bits_per_param=one, max_bits_per_param=r_max, seed=seed, dataset=dataset,
            **options, **own,
        )
        for seed, one in enumerate(R)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("R", "r_max", "status"),
    [
        ([1.9, 2.0, 2.2], 2.5, "reproduced"),
        ([1.5, 1.6, 1.7], 2.5, "not reproduced"),
        ([1.5, 1.6, 1.9], 2.5, "reproduced in part"),
        ([2.4, 2.4, 2.4], 2.5, "not reproduced"),
        ([0.65, 0.66, 0.67], 0.7, "reproduced"),  # nearly all that there is to learn
        ([0.3, 0.3, 0.3], 0.7, "not reproduced"),
        ([2.0, 2.0], 2.5, "not enough runs"),
    ],
)
def test_a_row_is_judged_by_what_there_is_to_learn(R, r_max, status):
    frame = PAPER_ROW.select(runs(R, r_max))
    assert PAPER_ROW.verdict(frame).status == status
    assert PAPER_ROW.table(frame)["seeds"].tolist() == [str(len(R))]


def test_rows_that_differ_make_a_part():
    frame = PAPER_ROW.select(pd.concat([runs([2.0] * 3, 2.5), runs([0.3] * 3, 0.7, "bios")]))
    assert PAPER_ROW.verdict(frame).status == "reproduced in part"
    assert PAPER_ROW.table(frame)["data set"].tolist() == ["biod", "bios"]


@pytest.mark.parametrize(
    "other",
    [{"layout": "rows"}, {"recipe": "fast"}, {"people": 5000}, {"exposures": 100}, {"junk": "1/2"}],
    ids=lambda other: next(iter(other)),
)
def test_other_protocols_are_not_part_of_it(other):
    assert PAPER_ROW.select(runs([2.0] * 3, 2.5, **other)).empty
    few = runs([0.7] * 3, 0.7, "bios").assign(templates=6)
    assert PAPER_ROW.select(few).empty


def test_without_runs_there_are_not_enough():
    frame = PAPER_ROW.select(runs([2.0] * 3, 2.5).iloc[:0])
    assert PAPER_ROW.verdict(frame).status == "not enough runs"
    assert PAPER_ROW.table(frame).empty
