"""The best R over N, with planted values."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.laws.capacity import best_over_people, over_seeds
from tests.capacity.records import make_row


@given(st.permutations([0.5, 1.25, 2.0, 1.5]), st.integers(0, 3))
def test_the_capacity_of_a_size_is_its_best_mean_over_people(R, seeds):
    """Planted: the largest R, moved up and down by seeds whose mean is nought."""
    people = [100, 200, 300, 400]
    away = [seed - seeds / 2 for seed in range(seeds + 1)]
    rows = [
        make_row(f"{N}-{change}", scheme, people=N, bits_per_param=R_here * share + change / 100)
        for N, R_here in zip(people, R, strict=True)
        for change in away
        for scheme, share in (("none", 1.0), ("int4", 0.5))
    ]
    best = best_over_people(pd.DataFrame(rows), [])
    assert best["quantization"].tolist() == ["none", "int4"]
    at = R.index(2.0)
    assert best["people"].tolist() == [people[at]] * 2
    assert best["R"].tolist() == pytest.approx([2.0, 1.0])
    assert (best["high"] - best["low"]).tolist() == pytest.approx([seeds / 100] * 2)
    assert best["seeds"].tolist() == [seeds + 1] * 2
    assert best["bracketed"].tolist() == [0 < at < 3] * 2


def test_copies_of_some_seeds_are_not_compared_with_the_mean_of_all():
    rows = [make_row(f"{seed}", seed=seed, bits_per_param=1 + seed) for seed in range(3)]
    rows += [make_row(f"{seed}", "int8", seed=seed, bits_per_param=1 + seed) for seed in range(3)]
    rows += [make_row("0", "int4", bits_per_param=0.1)]
    best = best_over_people(pd.DataFrame(rows), [])
    assert dict(zip(best["quantization"], best["R"], strict=True)) == {"int8": 2, "none": 2}


def test_kinds_are_never_averaged_and_keep_their_own_best():
    """Two optimizers whose mean is best at an N where neither is."""
    R = {("adamw", 100): 0.9, ("adamw", 200): 0.8, ("adamw", 300): 0.1}
    R |= {("muon", 100): 0.1, ("muon", 200): 0.8, ("muon", 300): 0.9}
    rows = [make_row(f"{o}-{N}", people=N, optimizer=o, bits_per_param=value) for (o, N), value in R.items()]
    best = best_over_people(pd.DataFrame(rows), ["optimizer"])
    assert best[["optimizer", "people", "R"]].to_numpy().tolist() == [["adamw", 100, 0.9], ["muon", 300, 0.9]]


def test_of_equally_good_N_the_smallest_is_taken():
    rows = [make_row(str(N), people=N) for N in (300, 100, 200)]
    assert best_over_people(pd.DataFrame(rows), [])["people"].tolist() == [100]


def test_seeds_whose_vocabulary_differs_by_a_token_are_one_size():
    rows = [make_row(str(seed), seed=seed, params=1000 + 16 * seed, people=N) for seed, N in ((0, 7), (1, 7), (2, 9))]
    means = over_seeds(pd.DataFrame(rows), [])
    assert means[["people", "params", "seeds"]].to_numpy().tolist() == [[7, 1008, 2], [9, 1032, 1]]
    assert best_over_people(pd.DataFrame(rows), [])["params"].tolist() == [1020]
