"""Passes against size: the verdict follows from where 90 % are known."""

import pandas as pd

from capacity.experiments.passes import PASSES
from tests.capacity.records import make_row

TRIED = (1, 2, 5, 10, 50, 100, 200, 500, 1000, 2000)


def runs(passes, seeds=3):
    """Models that know everything from some passes on. passes: by parameters a bit."""
    return pd.DataFrame(
        make_row(
            f"{x}-{number}-{seed}", size=f"{place + 1}x16", params=round(x * 1000), max_bits=1000.0, exposures=number,
            bits=1000.0 if number >= needed else 100.0, people=250, seed=seed,
        )
        for place, (x, needed) in enumerate(passes.items())
        for number in TRIED
        for seed in range(seeds)
    )  # fmt: skip


def test_the_lectures_numbers_are_reproduced():
    assert PASSES.verdict(runs({0.5: 1000, 1.0: 100, 10.0: 1})).status == "reproduced"


def test_others_are_not():
    assert PASSES.verdict(runs({0.5: 100, 1.0: 500, 10.0: 50})).status == "not reproduced"
    assert PASSES.verdict(runs({0.5: 1000, 1.0: 100, 10.0: 50})).status == "reproduced in part"
    assert PASSES.verdict(runs({0.5: 1000, 1.0: 100, 3.0: 1})).status == "not enough runs"
    assert PASSES.verdict(runs({0.5: 1000, 1.0: 100, 10.0: 1}, seeds=2)).status == "not enough runs"


def test_the_table_has_a_line_a_size_and_the_fewest_passes():
    table = PASSES.table(runs({0.5: 1000, 10.0: 1}))
    assert table["P / k"].tolist() == ["0.50", "10.00"]
    assert table["2,000"].tolist() == ["1.00", "1.00"]
    assert table["1"].tolist() == ["0.10", "1.00"]
    assert table["passes for 99%"].tolist()[1] == "1"
