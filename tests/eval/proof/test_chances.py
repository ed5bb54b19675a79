"""Probabilities of the coder: those of a softmax, from integers alone."""

import math

import numpy as np

from eval.proof.chances import GRID, ambiguous, probabilities, rounded, weights
from eval.proof.record import names_as_set


def test_weights_are_exponentials():
    steps = -np.concatenate([np.arange(3000), np.arange(3000, 200_000, 97)])[None]
    exact = np.exp2(31) * np.exp(steps / GRID)
    found = weights(steps)
    assert found[0, 0] == 1 << 31
    assert (np.abs(found - exact) <= 2 + 1e-9 * exact).all()
    assert found[0, -1] == 0


def test_probabilities_are_those_of_a_softmax():
    logits = np.random.default_rng(0).normal(0, 4, (50, 70))
    exact = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = probabilities(rounded(logits))
    np.testing.assert_allclose(found, exact, rtol=4e-4, atol=1e-8)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-15)
    np.testing.assert_array_equal(found, probabilities(rounded(logits) + 12_345))


def test_logits_between_two_steps_are_counted_where_they_matter():
    logits = np.array([[0.0, 1 + 0.5 / GRID, 1 + 0.4999 / GRID], [0.5 / GRID + 1e-14, -3.0, -60 + 0.5 / GRID]])
    assert ambiguous(logits) == 2


def test_names_known_for_certain_are_a_set_known_for_certain():
    """Each with 1/N of all probability: the code has log2 N a name, and nothing of the set is left to be said."""
    for N, N0 in ((30, 336), (1000, 64**3), (5000, 10**14)):
        found = names_as_set(N, N0, round(N * math.log2(N)), np.full(N, math.log2(N)))
        assert math.isclose(found["set_bits_again"], N * math.log2(N) - found["set_bits_order"], rel_tol=1e-9)
        assert math.isclose(found["set_bits_known"], found["set_bits"], abs_tol=1.5)
        least = N * math.log2(N0 / N)
        assert found["set_bits"] > least
        assert math.isclose(found["set_bits"] - least, N * math.log2(math.e), rel_tol=0.15 if N < 100 else 0.02)


def test_of_names_that_are_all_alike_nothing_is_known():
    found = names_as_set(1000, 64**3, 18_000, np.full(1000, 18.0))
    assert found["set_bits_known"] < 0.001 * found["set_bits"]
