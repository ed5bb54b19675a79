"""People are functions of (seed, index); names never repeat; values are uniform and independent."""

from dataclasses import asdict, astuple, fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biogen.people import Attributes, describe, draw_attributes, draw_names, find_names
from biogen.pools import PoolSizes, load_pools

PAPER = PoolSizes()
SMALL = PoolSizes(first_names=7, middle_names=5, last_names=11, birth_cities=4, universities=3, majors=2, employers=9)
POOL_OF = {"pronoun": 2, "month": 12, "day": 28, "year": 200, "birth_city": 200, "university": 300, "major": 100}
POOL_OF["employer"] = 263
seeds, indices = st.integers(0, 2**63 - 1), st.integers(0, PAPER.names - 1)


def chi_square_in_range(counts: np.ndarray) -> bool:
    """Whether counts look uniform: within 5 standard deviations of chi-square's mean."""
    expected = counts.sum() / counts.size
    degrees = counts.size - 1
    return abs(((counts - expected) ** 2 / expected).sum() - degrees) < 5 * np.sqrt(2 * degrees)


@given(seed=seeds)
def test_every_name_of_the_space_is_used_once(seed: int):
    names = draw_names(seed, SMALL, np.arange(SMALL.names))
    assert len({tuple(name) for name in names.tolist()}) == SMALL.names
    assert (names >= 0).all()
    assert (names.max(axis=0) == [6, 4, 10]).all()


@given(seed=seeds, index=st.lists(indices, min_size=1, max_size=20))
def test_a_person_is_found_by_name(seed: int, index: list[int]):
    assert find_names(seed, PAPER, draw_names(seed, PAPER, np.array(index))).tolist() == index


def test_a_name_that_the_pools_cannot_make_is_refused():
    with pytest.raises(ValueError, match="invalid entry"):
        find_names(0, SMALL, np.array([[0, 5, 0]]))


def test_names_of_many_people_are_unique():
    index = np.concatenate([np.arange(200_000), np.arange(PAPER.names - 200_000, PAPER.names)])
    first, middle, last = draw_names(3, PAPER, index).T
    assert len(np.unique((first * PAPER.middle_names + middle) * PAPER.last_names + last)) == len(index)


def test_there_are_no_more_people_than_names():
    with pytest.raises(ValueError, match="385 elements"):
        draw_names(0, SMALL, np.array([SMALL.names]))


@given(seed=seeds, index=st.lists(indices, min_size=1, max_size=20))
def test_a_person_depends_on_seed_and_index_alone(seed: int, index: list[int]):
    together = np.array(index)
    names, attributes = draw_names(seed, PAPER, together), draw_attributes(seed, PAPER, together)
    for place, person in enumerate(index):
        alone = np.array([person])
        assert (draw_names(seed, PAPER, alone)[0] == names[place]).all()
        one = draw_attributes(seed, PAPER, alone)
        assert all(getattr(one, f.name)[0] == getattr(attributes, f.name)[place] for f in fields(Attributes))


def test_seeds_make_other_people():
    pools = load_pools(PAPER)
    here, there = (describe(seed, PAPER, pools, np.arange(100)) for seed in (0, 1))
    assert not {astuple(person) for person in here} & {astuple(person) for person in there}
    assert not {person.name for person in here} & {person.name for person in there}


@pytest.fixture(scope="module")
def many() -> Attributes:
    return draw_attributes(5, PAPER, np.arange(400_000))


@pytest.mark.parametrize(("attribute", "size"), POOL_OF.items())
def test_values_are_uniform(many: Attributes, attribute: str, size: int):
    counts = np.bincount(getattr(many, attribute), minlength=size)
    assert len(counts) == size
    assert chi_square_in_range(counts)


@pytest.mark.parametrize(
    ("one", "other"),
    [("pronoun", "major"), ("month", "day"), ("birth_city", "university"), ("major", "employer"), ("day", "pronoun")],
)
def test_values_are_independent(many: Attributes, one: str, other: str):
    cells = getattr(many, one) * POOL_OF[other] + getattr(many, other)
    assert chi_square_in_range(np.bincount(cells, minlength=POOL_OF[one] * POOL_OF[other]))


def test_values_tell_nothing_about_the_name(many: Attributes):
    last = draw_names(5, PAPER, np.arange(len(many.major)))[:, 2]
    assert chi_square_in_range(np.bincount(last * 100 + many.major, minlength=100_000))


def test_one_persons_values_tell_nothing_about_the_next(many: Attributes):
    assert chi_square_in_range(np.bincount(many.major[:-1] * 100 + many.major[1:], minlength=10_000))


@settings(max_examples=20)
@given(seed=seeds, start=st.integers(0, 300))
def test_words_are_the_pools_entries(seed: int, start: int):
    pools = load_pools(SMALL)
    headquarters = dict(zip(pools.employers, pools.company_cities, strict=True))
    index = np.arange(start, start + 20)
    for person, name in zip(describe(seed, SMALL, pools, index), draw_names(seed, SMALL, index), strict=True):
        assert person.name == " ".join(
            pool[i] for pool, i in zip((pools.first_names, pools.middle_names, pools.last_names), name, strict=True)
        )
        assert person.company_city == headquarters[person.employer]
        month, day, year = person.birth_date.replace(",", "").split()
        assert month in pools.months
        assert day in pools.days
        assert year in pools.years
        values = asdict(person)
        assert values["birth_city"] in pools.birth_cities
        assert values["university"] in pools.universities
        assert values["major"] in pools.majors
        assert values["pronoun"] in ("He", "She")
