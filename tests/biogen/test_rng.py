"""Philox against its published vectors; permutations are bijections; streams do not repeat."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biogen.rng import Stream, below, permute, philox, random_order, random_words

FULL = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # the known-answer vectors published with Random123
        ([0] * 4, 0, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([FULL] * 4, (FULL << 32) | FULL, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            (0x299F31D0 << 32) | 0xA4093822,
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_the_published_vectors(counter: list[int], key: int, expected: list[int]):
    assert philox(key, np.array([counter], dtype=np.uint64)).tolist() == [expected]


@given(size=st.integers(1, 3000), seed=st.integers(0, 2**64 - 1), turn=st.integers(0, 100))
def test_permute_is_a_bijection(size: int, seed: int, turn: int):
    image = permute(np.arange(size), size, seed, Stream.NAMES, turn)
    assert sorted(image) == list(range(size))
    # Of many values the network's rounds are looked up, of few they are computed.
    few = np.array([0, size // 2, size - 1])
    assert (permute(few, size, seed, Stream.NAMES, turn) == image[few]).all()
    assert permute(image, size, seed, Stream.NAMES, turn, inverse=True).tolist() == list(range(size))
    assert permute(image[few], size, seed, Stream.NAMES, turn, inverse=True).tolist() == few.tolist()


@given(index=st.lists(st.integers(0, 160_000_000 - 1), min_size=1, max_size=50), seed=st.integers(0, 1000))
def test_permute_needs_no_neighbors(index: list[int], seed: int):
    together = permute(np.array(index), 160_000_000, seed, Stream.NAMES)
    alone = [permute(np.array([i]), 160_000_000, seed, Stream.NAMES)[0] for i in index]
    assert together.tolist() == alone


def test_permute_refuses_an_index_outside():
    with pytest.raises(ValueError, match="outside the 10 elements"):
        permute(np.array([10]), 10, 0, Stream.NAMES)


def test_permute_looks_random():
    size = 100_000
    image = permute(np.arange(size), size, 7, Stream.NAMES)
    correlation = np.corrcoef(np.arange(size), image)[0, 1]
    assert abs(correlation) < 5 / np.sqrt(size)
    steps = np.diff(image) % size  # a random permutation rarely keeps neighbors at one distance
    assert np.unique(steps, return_counts=True)[1].max() < 12


@given(seed=st.integers(0, 2**64 - 1), index=st.integers(0, 2**40), words=st.integers(1, 9))
def test_words_depend_on_seed_stream_index_and_draw_alone(seed: int, index: int, words: int):
    many = random_words(seed, Stream.CHUNKS, np.array([index, index + 1]), words)
    one = random_words(seed, Stream.CHUNKS, np.array([index]), words)
    assert (many[0] == one[0]).all()
    others = [
        random_words(seed + 1 & (2**64 - 1), Stream.CHUNKS, np.array([index]), 4),
        random_words(seed, Stream.ORDER, np.array([index]), 4),
        random_words(seed, Stream.CHUNKS, np.array([index]), 4, turn=1),
        random_words(seed, Stream.CHUNKS, np.array([index + 1]), 4),
    ]
    base = random_words(seed, Stream.CHUNKS, np.array([index]), 4)
    assert all((base != other).any() for other in others)


@pytest.mark.parametrize("bound", [2, 7, 200, 67_200])
def test_below_is_uniform(bound: int):
    n = 400_000
    drawn = below(random_words(3, Stream.ATTRIBUTES, np.arange(n), 1)[:, 0], bound)
    counts = np.bincount(drawn, minlength=bound)
    assert len(counts) == bound
    chi_square = ((counts - n / bound) ** 2 / (n / bound)).sum()
    assert abs(chi_square - (bound - 1)) < 5 * np.sqrt(2 * (bound - 1) + 1)


def test_every_order_is_equally_likely():
    n = 60_000
    order = random_order(random_words(1, Stream.ORDER, np.arange(n), 3))
    counts = np.unique(order, axis=0, return_counts=True)[1]
    assert len(counts) == 6
    assert np.abs(counts - n / 6).max() < 5 * np.sqrt(n / 6)
