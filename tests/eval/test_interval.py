"""The interval of the bits covers them as often as it says, and respects their floors."""

import math

import numpy as np
import pytest
from scipy import stats

from biogen.information import biod_bits, bios_bits
from eval import interval
from eval.interval import bootstrap_interval


def biod_total(p1, p2, p3):
    return biod_bits(1000, 10**6, 4, 4, 64, 3, 64, p1, p2, p3).total


def draw_losses(people, seed=0):
    rng = np.random.default_rng(seed)
    name = rng.exponential(8.0, people)
    return name, 0.5 * name + rng.exponential(3.0, people), rng.exponential(1.0, people)


@pytest.mark.parametrize("most_bootstrapped", [1000, 10])
def test_interval_is_that_of_the_mean(monkeypatch, most_bootstrapped):
    monkeypatch.setattr(interval, "MAX_BOOTSTRAP_PEOPLE", most_bootstrapped)
    nll = draw_losses(1000)
    low, high = bootstrap_interval(*nll, biod_total)
    # no floor is active, so the bits are linear in the losses: 1.96 standard errors each way
    ones, unit = np.ones(3), np.eye(3)
    slopes = [biod_total(*(ones + unit[i])) - biod_total(*ones) for i in range(3)]
    error = np.std(sum(s * x for s, x in zip(slopes, nll, strict=True))) / math.sqrt(1000)
    center = biod_total(*(x.mean() for x in nll))
    assert low == pytest.approx(center - 1.96 * error, abs=0.2 * error)
    assert high == pytest.approx(center + 1.96 * error, abs=0.2 * error)
    assert (low, high) == bootstrap_interval(*nll, biod_total)


def test_interval_covers_the_truth():
    def linear(p1, p2, p3):
        return 100.0 - p1 - 2 * p2 - 3 * p3

    truth = linear(8.0, 7.0, 1.0)
    intervals = [bootstrap_interval(*draw_losses(100, seed), linear) for seed in range(60)]
    assert sum(low <= truth <= high for low, high in intervals) >= 51  # 57 expected, give or take 1.7


@pytest.mark.parametrize("most_bootstrapped", [1000, 10])
def test_interval_of_equal_people_is_a_point(monkeypatch, most_bootstrapped):
    monkeypatch.setattr(interval, "MAX_BOOTSTRAP_PEOPLE", most_bootstrapped)
    same = np.full(50, 2.0)
    expected = bios_bits(50, 10**6, 47.6, 2.0, 2.0).total
    found = bootstrap_interval(same, same, None, lambda p1, p2, p3: bios_bits(50, 10**6, 47.6, p1, p2).total)
    assert found == pytest.approx((expected, expected))


def test_interval_respects_the_floors():
    nll = np.full(50, 1e3)
    assert bootstrap_interval(nll, nll, nll, biod_total) == (0, 0)


def test_interval_refuses_impossible_losses():
    fine = np.ones(5)
    with pytest.raises(ValueError, match="nll_value has a loss of -2"):
        bootstrap_interval(fine, np.array([1.0, -2, 1, 1, 1]), None, biod_total)
    with pytest.raises(ValueError, match="nll_name has a loss of nan"):
        bootstrap_interval(np.array([1, math.nan, 1, 1, 1.0]), fine, None, biod_total)
    with pytest.raises(ValueError, match="nll_name has 1 people"):
        bootstrap_interval(fine[:1], fine[:1], None, biod_total)


@pytest.mark.parametrize("people", [2, 7, 300, 5000, 40_000])
def test_the_interval_is_that_of_scipys_bootstrap_to_the_last_bit(people):
    rng = np.random.default_rng(people)
    losses = [rng.gamma(2, size=people) for _ in range(3)]

    def bits(p1, p2, p3):
        return 100 - 3 * p1 - p2 - 0.1 * p3

    def statistic(*resampled, axis):
        return bits(*(nll.mean(axis=axis) for nll in resampled))

    batch = max(1, interval._BATCH_BYTES // (people * 32))
    options = {"paired": True, "vectorized": True, "method": "percentile", "n_resamples": interval.RESAMPLES}
    found = stats.bootstrap(losses, statistic, batch=batch, rng=np.random.default_rng(0), **options)
    assert interval.bootstrap_interval(*losses, bits) == tuple(found.confidence_interval)
