"""Random numbers and permutations as functions of (seed, stream, index): nothing is remembered, any element
can be asked for on its own, and no two streams share a number.

In: a seed, one of the `Stream` numbers, arrays of indices. Out: 32-bit words, or permuted indices.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from functools import lru_cache

import numpy as np
from jaxtyping import Int, Shaped, UInt32, UInt64


def _constant(value: int) -> np.ndarray:
    """A number as an array: with short arrays numpy is faster so than with a scalar of its own."""
    return np.array(value, dtype=np.uint64)


# Philox4x32-10: J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3.
_MULTIPLIER_0, _MULTIPLIER_1 = _constant(0xD2511F53), _constant(0xCD9E8D57)
_WEYL_0, _WEYL_1 = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10
_LOW = _constant(0xFFFFFFFF)
_SHIFT = _constant(32)

_FEISTEL_ROUNDS = 8
_TURNS_AT_ONCE = 64
"""Permutations whose keys are made together: of few elements, a call of `philox` costs more than its arithmetic."""


class Stream(IntEnum):
    """What a random number is for; every use has a stream of its own."""

    NAMES = 1
    ATTRIBUTES = 2
    SENTENCES = 3
    ORDER = 4
    CHUNK_STRINGS = 5
    CHUNKS = 6
    EXPOSURE = 7
    QUESTIONS = 8
    BATCHES = 9
    PEOPLE = 10
    HELD_OUT = 11


_WHO = frozenset({Stream.NAMES, Stream.ATTRIBUTES, Stream.CHUNK_STRINGS, Stream.CHUNKS})
_hidden: set[Stream] = set()


@contextmanager
def hidden_people() -> Iterator[None]:
    """No name and no value can be drawn in this process meanwhile: what asks for one gets a RuntimeError."""
    _round_keys.cache_clear()
    _hidden.update(_WHO)
    try:
        yield
    finally:
        _hidden.clear()


def philox(key: int, counter: Shaped[np.ndarray, "n 4"]) -> UInt32[np.ndarray, "n 4"]:
    """Philox4x32-10 of each counter (four 32-bit words, least significant first) under a 64-bit key."""
    c0, c1, c2, c3 = (np.array(counter[:, word], dtype=np.uint64) for word in range(4))
    key_0, key_1 = key & 0xFFFFFFFF, (key >> 32) & 0xFFFFFFFF
    for _ in range(_ROUNDS):  # in place, which takes half the time
        c0 *= _MULTIPLIER_0
        c2 *= _MULTIPLIER_1
        c1 ^= _constant(key_0)
        c3 ^= _constant(key_1)
        c1 ^= c2 >> _SHIFT
        c3 ^= c0 >> _SHIFT
        c2 &= _LOW
        c0 &= _LOW
        c0, c1, c2, c3 = c1, c2, c3, c0
        key_0, key_1 = (key_0 + _WEYL_0) & 0xFFFFFFFF, (key_1 + _WEYL_1) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


def random_words(
    seed: int, stream: Stream, index: Int[np.ndarray, " n"], words: int, turn: int | np.ndarray = 0
) -> UInt32[np.ndarray, "n words"]:
    """`words` random 32-bit words for each index; `turn` (below 2^32) tells repeated draws for one index apart.

    turn: one for all, or one for each index.
    """
    if stream in _hidden:
        raise RuntimeError(f"{stream.name} are hidden from this process")
    blocks = -(-words // 4)
    n = len(index)
    counter = np.empty((n, blocks, 4), dtype=np.uint64)
    unsigned = index.astype(np.uint64)
    counter[:, :, 0] = (unsigned & _LOW)[:, None]
    counter[:, :, 1] = (unsigned >> _SHIFT)[:, None]
    counter[:, :, 2] = np.reshape(turn, (-1, 1))
    counter[:, :, 3] = (int(stream) << 24) + np.arange(blocks, dtype=np.uint64)
    return philox(seed, counter.reshape(-1, 4)).reshape(n, blocks * 4)[:, :words]


def below(words: UInt32[np.ndarray, "*shape"], bound: int) -> Int[np.ndarray, "*shape"]:
    """Each word as a number in [0, bound), uniform up to bound / 2^32 (2e-5 for the largest pool, the dates)."""
    assert 0 < bound <= 1 << 32
    return ((words.astype(np.uint64) * _constant(bound)) >> _SHIFT).astype(np.int64)


def random_order(words: UInt32[np.ndarray, "n k"]) -> Int[np.ndarray, "n k"]:
    """One permutation of range(k) for each row of words."""
    return np.argsort(words, axis=1, kind="stable")


def permute(
    index: Int[np.ndarray, " n"], size: int, seed: int, stream: Stream, turn: int = 0, *, inverse: bool = False
) -> Int[np.ndarray, " n"]:
    """A pseudo-random permutation of range(size), evaluated at `index` alone.

    An alternating Feistel network over the smallest power of two that holds `size`; values that fall outside
    walk on along their cycle until they are inside (J. Black and P. Rogaway, "Ciphers with arbitrary finite
    domains", CT-RSA 2002), so that it is a bijection for every size up to 2^62.
    inverse: the same rounds backwards, which give the index that the permutation takes to `index`.

    Raises ValueError if an index is outside [0, size).
    """
    if len(index) and (index.min() < 0 or index.max() >= size):
        raise ValueError(f"index: {int(index.max())} is outside the {size} elements to permute")
    bits = max(2, (size - 1).bit_length())
    low_bits, high_bits = bits // 2, bits - bits // 2
    keys = _round_keys(seed, stream, turn // _TURNS_AT_ONCE)[turn % _TURNS_AT_ONCE]
    # Where there are more values than values of a half, rounds are looked up.
    table = _mix(np.arange(1 << high_bits, dtype=np.uint64) ^ keys[:, None]) if len(index) > 1 << high_bits else None
    rounds = range(_FEISTEL_ROUNDS)[:: -1 if inverse else 1]
    value = index.astype(np.uint64)
    walking = np.arange(len(value))
    while len(walking):
        value[walking] = _feistel(value[walking], low_bits, high_bits, keys, table, rounds)
        walking = walking[value[walking] >= size]
    return value.astype(np.int64)


@lru_cache(maxsize=256)
def _round_keys(seed: int, stream: Stream, block: int) -> UInt64[np.ndarray, "turns rounds"]:
    """The round keys of a block of consecutive turns."""
    turns, rounds = np.arange(_TURNS_AT_ONCE), np.arange(_FEISTEL_ROUNDS)
    first = block * _TURNS_AT_ONCE
    index, turn = np.tile(rounds, len(turns)), np.repeat(first + turns, len(rounds))
    words = random_words(seed, stream, index, 2, turn).astype(np.uint64)
    return ((words[:, 0] << _SHIFT) | words[:, 1]).reshape(len(turns), len(rounds))


def _feistel(
    value: np.ndarray,
    low_bits: int,
    high_bits: int,
    keys: UInt64[np.ndarray, " rounds"],
    table: np.ndarray | None,
    rounds: range,
) -> np.ndarray:
    low_mask, high_mask = _constant((1 << low_bits) - 1), _constant((1 << high_bits) - 1)
    low, high = value & low_mask, value >> _constant(low_bits)
    for number in rounds:
        other = low if number % 2 else high
        mixed = _mix(other ^ keys[number]) if table is None else table[number].take(other.view(np.int64))
        if number % 2:
            high ^= mixed & high_mask
        else:
            low ^= mixed & low_mask
    return (high << _constant(low_bits)) | low


def _mix(value: np.ndarray) -> np.ndarray:
    """A 64-bit avalanche: G. Steele et al., "Fast splittable pseudorandom number generators", OOPSLA 2014."""
    value = (value ^ (value >> _constant(30))) * _constant(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> _constant(27))) * _constant(0x94D049BB133111EB)
    return value ^ (value >> _constant(31))
