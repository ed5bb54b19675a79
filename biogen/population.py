"""Who is written about: each of N people once a round, new people for ever, or people of unequal frequency.

In: a `DataConfig`, a round and places in it. A round, also called an exposure, is N texts. Out: for each text the
person's index and the number of the text, which `Dataset.outlines` takes. Draws are functions of (seed, round, place).

Rounds below `EVALUATION` are for training. Those from it on are held out: no training draws their texts, which are
otherwise like those of a training.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

from biogen.config import EVALUATION, HELD_OUT, DataConfig, trained_on_questions
from biogen.rng import Stream, permute, random_words

MOST_MEASURED = 50_000
"""People who are measured, at most, unless another number is given."""
_HELD_OUT_NUMBERS = (1 << 32) - HELD_OUT


def draw(
    config: DataConfig, first: int, count: int, exposure: int
) -> tuple[Int[np.ndarray, " n"], int | Int[np.ndarray, " n"]]:
    """The people of the useful texts `first` to `first + count - 1` of a round, and the numbers of these texts.

    fixed: all people in an order of the round's own. fresh: round e is about the people e·N to (e+1)·N − 1; held-out
    rounds are about the last names of all, backwards. zipf: independent draws, with probability ∝ i^−s for the
    person of index i − 1.

    The number is one for all texts, or (zipf) one for each: a person who is drawn twice has two texts. Numbers of zipf
    come again after 2^31 texts, and those of held-out texts after 2^30.

    Raises ValueError for held-out texts about new people beyond those that are kept for it.
    """
    held_out = exposure >= EVALUATION
    turn = exposure - EVALUATION if held_out else exposure
    place = np.arange(first, first + count)
    number = HELD_OUT + turn if held_out else turn
    if config.population == "fresh":
        index = turn * config.people + place
        return (_from_the_end(config, index) if held_out else index), number
    if config.population == "zipf":
        numbers = turn * config.people + place
        numbers = HELD_OUT + numbers % _HELD_OUT_NUMBERS if held_out else numbers % EVALUATION
        return _unequal(config, place, exposure), numbers
    stream, order = (Stream.HELD_OUT, turn) if held_out else (Stream.EXPOSURE, 2 * exposure)
    return permute(place, config.people, config.seed, stream, order), number


def measured_people(config: DataConfig, people: int) -> Int[np.ndarray, " n"]:
    """Indices of the people who are asked about, `people` at most.

    They are the first ones; with zipf, where these are the most frequent, a sample of all. With fresh they are people
    of the first rounds, whom a training has read about once.
    """
    index = np.arange(min(people, config.people))
    if config.population != "zipf":
        return index
    return np.sort(permute(index, config.people, config.seed, Stream.HELD_OUT))


def asked_people(people: int, most: int = 200) -> dict[str, Int[np.ndarray, " n"]]:
    """Indices of the people to whom questions are put: `trained`, with questions in the training text, and `held_out`.

    most: people of each half, evenly spread. A half without people is left out.
    """
    border = trained_on_questions(people)
    halves = {"trained": (0, border), "held_out": (border, people)}
    return {
        half: np.unique(np.linspace(first, last - 1, min(most, last - first)).astype(np.int64))
        for half, (first, last) in halves.items()
        if first < last
    }


@lru_cache(maxsize=2)
def tails(people: int, s: float) -> Float[np.ndarray, " people"]:
    """Sums of i^−s over i from j to N, for j from N down to 1: ascending, and exact to rounding where p is smallest."""
    sums = np.arange(people, 0, -1, dtype=np.float64)
    np.log(sums, out=sums)
    with np.errstate(over="ignore", under="ignore"):  # people whom a float cannot count are never drawn
        sums *= -s
        np.exp(sums, out=sums)
    np.cumsum(sums, out=sums)
    sums.flags.writeable = False
    return sums


def _unequal(config: DataConfig, place: Int[np.ndarray, " n"], exposure: int) -> Int[np.ndarray, " n"]:
    """Independent draws by the inverse of the tails' sums; 64 random bits each, so that the rarest are drawn right."""
    sums = tails(config.people, config.zipf)
    words = random_words(config.seed, Stream.PEOPLE, place, 2, exposure).astype(np.uint64)
    uniform = ((words[:, 0] << np.uint64(32)) | words[:, 1]).astype(np.float64) * 2.0**-64
    behind = np.searchsorted(sums, uniform * sums[-1], side="right")
    return np.maximum(config.people - 1 - behind, 0)  # `uniform` may round to 1


def _from_the_end(config: DataConfig, back: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The people behind whom there are so many others in the space of names."""
    if len(back) and back[-1] >= config.held_out_people:
        raise ValueError(
            f"held-out texts: {int(back[-1]) + 1} new people are too many; allowed are {config.held_out_people}, a "
            "sixteenth of the N0 names"
        )
    return config.names - 1 - back
