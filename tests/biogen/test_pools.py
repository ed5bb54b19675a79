"""Properties of the stored value lists, of smaller pools, and of names made with Faker."""

import math
import re
from dataclasses import fields
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from biogen.pools import Pools, PoolSizes, load_pools

POOLS = load_pools(PoolSizes())
STORED = ("first_names", "middle_names", "last_names", "birth_cities", "universities", "majors", "employers")
NAMES = STORED[:3]
VALUES = STORED[3:]
STATES = (
    "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND "
    "OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY"
)


def prefix_free(strings: tuple[str, ...]) -> bool:
    """Whether no string begins another; in sorted order a string's extensions come right after it."""
    ordered = sorted(strings)
    return not any(b.startswith(a) for a, b in pairwise(ordered))


def as_dict(pools: Pools) -> dict[str, tuple[str, ...]]:
    return {field.name: getattr(pools, field.name) for field in fields(pools)}


def test_default_sizes_are_the_papers() -> None:
    """N0 = 1.6e8 names, and log2 S0 = 47.59 bits of attributes."""
    sizes = PoolSizes()
    assert sizes.names == 160_000_000
    assert list(sizes.values) == ["pronoun", "birth_date", "birth_city", "university", "major", "employer"]
    assert math.prod(sizes.values.values()) == 2 * (12 * 28 * 200) * 200 * 300 * 100 * 263
    assert math.log2(math.prod(sizes.values.values())) == pytest.approx(47.59, abs=0.005)


def test_pools_have_the_sizes_asked_for() -> None:
    for name, size in PoolSizes().model_dump().items():
        assert len(getattr(POOLS, name)) == size, name


@pytest.mark.parametrize("pool", STORED)
def test_values_are_unique_and_clean(pool: str) -> None:
    values = getattr(POOLS, pool)
    assert len(set(values)) == len(values)
    for value in values:
        assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9, -]*[A-Za-z0-9])?", value), value
        assert "  " not in value


@pytest.mark.parametrize("pool", ["last_names", *VALUES])
def test_no_value_begins_another(pool: str) -> None:
    assert prefix_free(getattr(POOLS, pool))


@pytest.mark.parametrize("pool", NAMES)
def test_names_are_letters_only(pool: str) -> None:
    assert all(name.isascii() and name.isalpha() for name in getattr(POOLS, pool))


def test_first_and_middle_names_share_none() -> None:
    assert not set(POOLS.first_names) & set(POOLS.middle_names)


def test_cities_name_their_state() -> None:
    for city in (*POOLS.birth_cities, *POOLS.company_cities):
        name, state = city.split(", ")
        assert re.fullmatch(r"[A-Z][A-Za-z -]+", name), city
        assert state in {*STATES.split(" "), "DC"}, city


def test_birth_cities_are_in_every_state() -> None:
    assert {city[-2:] for city in POOLS.birth_cities} == set(STATES.split(" "))


def test_fourteen_percent_of_employers_are_in_new_york() -> None:
    assert len(POOLS.company_cities) == len(POOLS.employers)
    assert POOLS.company_cities.count("New York, NY") == 37
    assert round(100 * 37 / len(POOLS.employers)) == 14


def test_some_headquarters() -> None:
    city = dict(zip(POOLS.employers, POOLS.company_cities, strict=True))
    assert city["Meta Platforms"] == "Menlo Park, CA"
    assert city["Walmart"] == "Bentonville, AR"
    assert city["Microsoft"] == "Redmond, WA"


def test_dates() -> None:
    assert (POOLS.months[0], POOLS.months[-1]) == ("January", "December")
    assert (POOLS.days[0], POOLS.days[-1]) == ("1", "28")
    assert (POOLS.years[0], POOLS.years[-1]) == ("1900", "2099")


def test_loading_twice_gives_the_same() -> None:
    assert load_pools(PoolSizes()) == POOLS
    sizes = PoolSizes(first_names=410, middle_names=420, last_names=1100)
    assert load_pools(sizes) == load_pools(sizes)


@given(share=st.floats(0, 1))
def test_smaller_pools_begin_the_larger(share: float) -> None:
    sizes = PoolSizes(**{name: max(1, int(share * size)) for name, size in PoolSizes().model_dump().items()})
    for name, pool in as_dict(load_pools(sizes)).items():
        assert pool == getattr(POOLS, name)[: len(pool)]


@pytest.mark.parametrize("pool", STORED)
def test_stored_order_is_not_the_alphabets(pool: str) -> None:
    """A third of the stored entries has its share of the first half of the alphabet, within four sigma."""
    values = getattr(POOLS, pool)
    sample, half = values[: len(values) // 3], sorted(values)[len(values) // 2]
    below = sum(value < half for value in sample)
    assert abs(below - len(sample) / 2) < 4 * math.sqrt(len(sample) * 2 / 3) / 2


def test_larger_name_pools_go_on_where_the_stored_end() -> None:
    pools = load_pools(PoolSizes(first_names=500, middle_names=600, last_names=1200))
    for name in NAMES:
        larger, stored = getattr(pools, name), getattr(POOLS, name)
        assert larger[: len(stored)] == stored
        assert len(set(larger)) == len(larger) > len(stored)
        assert all(entry.isascii() and entry.isalpha() for entry in larger)
    assert not set(pools.first_names) & set(pools.middle_names)
    assert prefix_free(pools.last_names)


def test_one_name_pool_does_not_depend_on_the_size_of_another() -> None:
    large = load_pools(PoolSizes(first_names=500, middle_names=600))
    assert load_pools(PoolSizes(first_names=500)).first_names == large.first_names
    assert load_pools(PoolSizes(middle_names=600)).middle_names == large.middle_names


@pytest.mark.parametrize("locale", ["de_DE", "fr_FR", "ru_RU", "zh_CN"])
def test_names_of_another_locale(locale: str) -> None:
    sizes = PoolSizes(first_names=20, middle_names=15, last_names=30)
    pools = load_pools(sizes, locale)
    assert [len(getattr(pools, name)) for name in NAMES] == [20, 15, 30]
    for name in NAMES:
        assert len(set(getattr(pools, name))) == len(getattr(pools, name))
        assert all(entry.isalpha() for entry in getattr(pools, name))
    assert not set(pools.first_names) & set(pools.middle_names)
    assert prefix_free(pools.last_names)
    smaller = load_pools(PoolSizes(first_names=5, middle_names=5, last_names=5), locale)
    for name in NAMES:
        assert getattr(smaller, name) == getattr(pools, name)[:5]
    assert pools.birth_cities == POOLS.birth_cities


@pytest.mark.parametrize("pool", VALUES)
def test_value_pool_beyond_the_stored_is_refused(pool: str) -> None:
    most = len(getattr(POOLS, pool))
    with pytest.raises(ValueError, match=rf"^pools\.{pool}: {most + 1} is not allowed; must be at most {most},"):
        load_pools(PoolSizes(**{pool: most + 1}))


def test_all_pools_beyond_the_stored_are_named() -> None:
    with pytest.raises(ValueError, match="is not allowed") as raised:
        load_pools(PoolSizes(majors=9999, employers=9999))
    assert [line.partition(" is not allowed")[0] for line in str(raised.value).splitlines()] == [
        "pools.majors: 9999",
        "pools.employers: 9999",
    ]


@pytest.mark.parametrize("pool", ["first_names", "middle_names"])
def test_more_first_names_than_faker_has_are_refused(pool: str) -> None:
    with pytest.raises(ValueError, match=rf"{pool}.* is not allowed; must be at most \d+ together.*English lists"):
        load_pools(PoolSizes(**{pool: 100_000}))


def test_more_last_names_than_faker_has_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^pools\.last_names: 100000 is not allowed; must be at most \d+,.*English lists"
    ):
        load_pools(PoolSizes(last_names=100_000))


def test_locale_with_too_few_names_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^pools\.last_names: 1000 is not allowed; must be at most \d+,.*locale 'ja_JP'"
    ):
        load_pools(PoolSizes(first_names=10, middle_names=10), "ja_JP")


def test_unknown_locale_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^locale: 'xx_XX' is not allowed; must be one of Faker's locales .*de_DE"):
        load_pools(PoolSizes(), "xx_XX")


@pytest.mark.parametrize("mistake", [{"months": 13}, {"days": 29}, {"years": 201}, {"majors": 0}, {"cities": 3}])
def test_impossible_sizes_are_refused(mistake: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        PoolSizes(**mistake)


def test_sizes_are_frozen_and_described() -> None:
    with pytest.raises(ValidationError):
        PoolSizes().majors = 3  # type: ignore[misc]
    assert all(field.description for field in PoolSizes.model_fields.values())
