"""Ratios over seeds, against planted ones and Student's interval by scipy."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from capacity.laws.ratios import LEAST_R, best_setting, ratio_over_seeds
from tests.capacity.records import make_row

R = st.floats(0.01, 3)


@given(st.lists(st.tuples(R, R), min_size=2, max_size=6))
def test_the_interval_is_students_over_the_logarithms_of_pairs(pairs):
    base, other = ({seed: pair[side] for seed, pair in enumerate(pairs)} for side in (0, 1))
    found = ratio_over_seeds(base, other)
    logs = np.log([a / b for a, b in pairs])
    assert found.value == pytest.approx(math.exp(logs.mean()))
    assert found.seeds == len(pairs)
    if logs.std() > 1e-9:
        expected = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
        assert [math.log(found.low), math.log(found.high)] == pytest.approx([expected.low, expected.high])


@given(st.dictionaries(st.integers(0, 5), R, min_size=2), st.floats(0.2, 20))
def test_a_planted_ratio_is_found_exactly(base, factor):
    found = ratio_over_seeds({seed: R * factor for seed, R in base.items()}, base)
    assert [found.value, found.low, found.high] == pytest.approx([factor] * 3)


def test_only_seeds_of_both_count_and_one_seed_has_no_interval():
    found = ratio_over_seeds({0: 1.0, 1: 9.0}, {0: 0.5, 2: 0.1})
    assert found == pytest.approx((2.0, 0.0, math.inf, 1))
    with pytest.raises(ValueError, match=r"^seeds: no seed has both settings$"):
        ratio_over_seeds({0: 1.0}, {1: 1.0})


def test_what_is_next_to_nothing_counts_as_the_least():
    assert ratio_over_seeds({0: 1.0}, {0: -0.1}).value == pytest.approx(1 / LEAST_R)


def test_the_best_learning_rate_is_chosen_by_its_mean_for_each_setting():
    R = {("a", 0.1): (1, 1, 1), ("a", 0.2): (2, 0.9, 0.7), ("b", 0.1): (0.3, 0.2, 0.1), ("b", 0.2): (0.1, 0.2, 0.2)}
    rows = [
        make_row(f"{setting}-{lr}-{seed}", setting=setting, lr=lr, seed=seed, bits_per_param=value)
        for (setting, lr), values in R.items()
        for seed, value in enumerate(values)
    ]
    rows.append(make_row("lucky", setting="b", lr=0.3, seed=0, bits_per_param=3.0))  # one seed, where others have three
    best = best_setting(pd.DataFrame(rows), ["setting"], ["lr"])
    assert best.groupby("setting")["lr"].unique().map(list).to_dict() == {"a": [0.2], "b": [0.1]}
    assert best.groupby("setting").size().to_dict() == {"a": 3, "b": 3}
