"""Texts about a person: the faithful ones pass with the places of their facts, and each lie has its reason."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biogen.config import DataConfig
from biogen.dataset import make_dataset
from biogen.facts import FactChecker, Rejected, facts_of
from biogen.people import Person
from biogen.pools import Pools, PoolSizes, load_pools
from biogen.rng import Stream, random_words
from tests.biogen.rewriters import faithful

POOLS = Pools(
    first_names=("Ada", "Mark"),
    middle_names=("May", "Lou"),
    last_names=("Long", "Best"),
    birth_cities=("Rome, NY", "Bath, ME", "New York, NY"),
    universities=("Rome College", "the College of Music"),
    majors=("Music", "Art"),
    employers=("Ford", "Ford Motor", "Long Bank"),
    company_cities=("New York, NY", "Bath, ME", "Bath, ME"),
    months=("May", "June"),
    days=("1", "2", "12"),
    years=("1990", "1991"),
)
CHECKER = FactChecker(POOLS)
ADA = Person(
    *("Ada", "May", "Long", "She", "May 12, 1990", "Rome, NY", "the College of Music", "Music", "Ford", "New York, NY")
)
GOOD = (
    "Ada May Long, born on May 12, 1990, is from Rome, NY. She took Music at the College of Music and worked for Ford "
    "in New York, NY."
)


def reason(text: str, person: Person = ADA) -> str:
    with pytest.raises(Rejected) as caught:
        CHECKER.check(person, text)
    return str(caught.value)


def test_the_places_are_those_of_the_facts():
    marked = CHECKER.check(ADA, GOOD)
    found = {attribute: GOOD[start:end] for attribute, (start, end) in marked.places.items()}
    assert found == facts_of(ADA)
    assert [start for start, _ in marked.places.values()] == sorted(start for start, _ in marked.places.values())
    assert marked.fit_to_measure


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("Rome, NY", "Rome", "lacks the birth city"),
        ("Ford", "Ford Motor", "has another employer"),
        ("Ford", "ford", "lacks the employer"),
        ("Ford", "Fords", "lacks the employer"),
        ("Ford in", "Ford, at Ford in", "repeats the employer"),
        ("Ford in", "FORD, or Ford in", "repeats the employer"),
        ("took Music", "took music", "lacks the major"),
        ("took Music", "loved music, took Music", "repeats the major"),
        ("took Music", "took Music and Art", "has another major"),
        ("Rome, NY", "Bath, ME", "has another city"),
        ("May 12", "June 12", "has another month"),
        ("is from", "is 12 and from", "has another day"),
        ("is from", "is, since 1991, from", "has another year"),
        ("She took", "Ada took", "repeats the name"),
        ("She took", "She, Mark said, took", "has another first name"),
        ("She took", "He took", "has the other pronoun"),
        ("She took", "Of his time, she took", "has the other pronoun"),
        ("Ada May Long, born on May 12, 1990,", "Born on May 12, 1990, Ada May Long", "states a value before the name"),
        ("She took", "<b>She took", "has markup"),
        ("She took", "She <|endoftext|> took", "has markup"),
        ("She took", "She\u200b took", "is not printable text with single spaces"),
        ("She took", "She  took", "is not printable text with single spaces"),
        (GOOD, "", "is empty"),
        ("She took", "She " + "x" * 2000 + " took", "has more than 2,000 characters"),
    ],
)
def test_a_lie_has_its_reason(old: str, new: str, told: str):
    assert old in GOOD
    assert reason(GOOD.replace(old, new)) == told


@pytest.mark.parametrize(
    ("text", "fit"),
    [
        (GOOD, True),
        (GOOD.replace("worked for Ford in New York, NY", "worked in New York, NY for Ford"), False),
        (GOOD.replace("She took", "A college took her; she took"), False),
        (GOOD.replace("She took", "A NY bus took her; she took"), False),
        (GOOD.replace("She took", "In her ny years she took"), True),
        (GOOD.replace(" in New York, NY.", " in New York, NY, not far from that college."), True),
    ],
)
def test_what_is_measured_gives_no_value_away(text: str, fit: bool):
    assert CHECKER.check(ADA, text).fit_to_measure == fit


def test_of_two_equal_cities_the_first_is_that_of_birth():
    person = Person(*("Ada", "May", "Long", "She", "May 12, 1990", "New York, NY"), *facts(ADA)[-4:-1], "New York, NY")
    text = GOOD.replace("Rome, NY", "New York, NY")
    marked = CHECKER.check(person, text)
    assert marked.places["birth_city"] < marked.places["employer"] < marked.places["company_city"]
    assert marked.fit_to_measure
    late = "Ada May Long, born on May 12, 1990, took Music at the College of Music, then Ford, in {0}, not {0}."
    assert not CHECKER.check(person, late.format("New York, NY")).fit_to_measure
    assert reason(GOOD.replace("Rome, NY", "Rome"), person) == "lacks the company city"


def facts(person: Person) -> list[str]:
    return list(facts_of(person).values())


SMALL = PoolSizes(first_names=40, middle_names=40, last_names=90, universities=60, employers=70)
BIOS = make_dataset(DataConfig(people=300, pools=SMALL, tokenizer="word"))
OURS = FactChecker(load_pools(SMALL))


@given(st.integers(0, 299), st.integers(0, 1000))
def test_biographies_of_bios_pass_with_the_same_places(person: int, exposure: int):
    index = np.array([person])
    (row,) = BIOS.outlines(index, exposure)
    text, spans = BIOS.pieces.render(row)
    described = BIOS.describe(index)[0]
    marked = OURS.check(Person(**described), text)
    found = {BIOS.role_names[span.role]: text[span.start : span.end].strip() for span in spans}
    assert {attribute: text[start:end] for attribute, (start, end) in marked.places.items()} == {
        attribute: value for attribute, value in found.items() if attribute != "pronoun"
    }
    assert [end for _, end in marked.places.values()] == [s.end for s in spans if BIOS.role_names[s.role] != "pronoun"]


@given(st.integers(0, 299), st.integers(0, 10_000))
def test_what_stands_for_another_person_is_never_taken(person: int, number: int):
    other = (person + 1 + int(random_words(0, Stream.NAMES, np.array([number]), 1)[0, 0]) % 299) % 300
    one, two = (Person(**row) for row in BIOS.describe(np.array([person, other])))
    called = {"city of birth": "birth_city", "city of work": "company_city"}
    names = ("name", "birth date", "city of birth", "university", "major", "employer", "city of work")
    values = {name: facts_of(two)[called.get(name, name.replace(" ", "_"))] for name in names}
    text = " ".join(faithful(values, number).split())
    assert OURS.check(two, text).places
    with pytest.raises(Rejected):
        OURS.check(one, text)
