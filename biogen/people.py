"""People: names and attributes as functions of (seed, index).

In: a seed and an array of indices. Out: arrays of numbers into the pools. The draws of a
small number of people are kept to save time; nothing else is.
"""

from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from jaxtyping import Int

from biogen.pools import Pools, PoolSizes
from biogen.rng import Stream, below, permute, random_words

MOST_KEPT = 1 << 16
"""Largest number of useful people whose draws are kept, as every exposure needs them again."""


@dataclass(frozen=True)
class Attributes:
    """One array a column, one element a person, each a number into its pool."""

    pronoun: Int[np.ndarray, " n"]
    month: Int[np.ndarray, " n"]
    day: Int[np.ndarray, " n"]
    year: Int[np.ndarray, " n"]
    birth_city: Int[np.ndarray, " n"]
    university: Int[np.ndarray, " n"]
    major: Int[np.ndarray, " n"]
    employer: Int[np.ndarray, " n"]
    """Also decides the company city."""

    def take(self, index: Int[np.ndarray, " n"]) -> "Attributes":
        """The attributes of some of these people, by their places in the arrays."""
        return Attributes(*(getattr(self, column.name).take(index) for column in fields(self)))


def draw_names(seed: int, sizes: PoolSizes, index: Int[np.ndarray, " n"]) -> Int[np.ndarray, "n 3"]:
    """First, middle and last name of each person: the element `index` of a permutation of all N0 names.

    Raises ValueError for an index of N0 or more.
    """
    name = permute(index, sizes.names, seed, Stream.NAMES)
    name, last = np.divmod(name, sizes.last_names)
    first, middle = np.divmod(name, sizes.middle_names)
    return np.stack([first, middle, last], axis=1)


def find_names(seed: int, sizes: PoolSizes, names: Int[np.ndarray, "n 3"]) -> Int[np.ndarray, " n"]:
    """The index of the person of each name: the inverse of `draw_names`.

    It is N or more for a name that none of N people has. Raises ValueError for a name that the pools cannot make.
    """
    shape = sizes.first_names, sizes.middle_names, sizes.last_names
    return permute(np.ravel_multi_index(tuple(names.T), shape), sizes.names, seed, Stream.NAMES, inverse=True)


def draw_attributes(seed: int, sizes: PoolSizes, index: Int[np.ndarray, " n"]) -> Attributes:
    """The attributes of each person, uniform and independent."""
    bounds = [
        2,
        sizes.months,
        sizes.days,
        sizes.years,
        sizes.birth_cities,
        sizes.universities,
        sizes.majors,
        sizes.employers,
    ]
    words = random_words(seed, Stream.ATTRIBUTES, index, len(bounds))
    return Attributes(*(below(words[:, column], bound) for column, bound in enumerate(bounds)))


def are_kept(index: Int[np.ndarray, " n"], people: int) -> bool:
    """Whether these are useful people, 0 to people - 1, whose draws are kept."""
    return people <= MOST_KEPT and len(index) > 0 and int(index.min()) >= 0 and int(index.max()) < people


@lru_cache(maxsize=2)
def draw_kept(seed: int, sizes: PoolSizes, people: int) -> tuple[Int[np.ndarray, "n 3"], Attributes]:
    """Names and attributes of all useful people, which are kept."""
    index = np.arange(people)
    return draw_names(seed, sizes, index), draw_attributes(seed, sizes, index)


@dataclass(frozen=True)
class Person:
    """One person in words."""

    first_name: str
    middle_name: str
    last_name: str
    pronoun: str
    birth_date: str
    birth_city: str
    university: str
    major: str
    employer: str
    company_city: str

    @property
    def name(self) -> str:
        """The full name."""
        return f"{self.first_name} {self.middle_name} {self.last_name}"


def describe(seed: int, sizes: PoolSizes, pools: Pools, index: Int[np.ndarray, " n"]) -> list[Person]:
    """The people in words."""
    names = draw_names(seed, sizes, index)
    drawn = draw_attributes(seed, sizes, index)
    return [
        Person(
            pools.first_names[first],
            pools.middle_names[middle],
            pools.last_names[last],
            pools.pronouns[drawn.pronoun[i]],
            f"{pools.months[drawn.month[i]]} {pools.days[drawn.day[i]]}, {pools.years[drawn.year[i]]}",
            pools.birth_cities[drawn.birth_city[i]],
            pools.universities[drawn.university[i]],
            pools.majors[drawn.major[i]],
            pools.employers[drawn.employer[i]],
            pools.company_cities[drawn.employer[i]],
        )
        for i, (first, middle, last) in enumerate(names)
    ]
