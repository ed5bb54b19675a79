"""Questions in plain words: whose full name is in them, and what they ask for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biogen.questions import find_attribute, find_name
from biogen.templates import load_bank

POOLS = [("Anna", "Anna Maria", "Jo"), ("Maria", "Lee", "St. John"), ("Smith", "de la Cruz", "O'Hara", "Lee")]
PHRASES = {
    "birth_date": ["birth date", "When was born?", "What is the birthday of?"],
    "birth_city": ["birth city", "Where was born?"],
    "major": ["major", "What did study?"],
}


@given(
    places=st.tuples(*(st.integers(0, len(pool) - 1) for pool in POOLS)),
    before=st.sampled_from(["", "Where was ", "Is Jo the one? "]),
    after=st.sampled_from(["", "?", "'s birthday?", ", born"]),
    upper=st.booleans(),
)
def test_a_name_is_found_wherever_it_stands(places: tuple[int, ...], before: str, after: str, upper: bool):
    name = " ".join(pool[place] for pool, place in zip(POOLS, places, strict=True))
    found = find_name(before + (name.upper() if upper else name) + after, POOLS)
    assert found is not None
    assert " ".join(pool[place] for pool, place in zip(POOLS, found[0], strict=True)) == name
    assert found[1].split() == f"{before} {after}".casefold().split()


@pytest.mark.parametrize(
    "question", ["", "Anna Smith", "Anna Lee", "Hanna Lee Smith", "Anna Lee Smithson", "Anna-Lee-Lee"]
)
def test_a_part_of_a_name_is_none(question: str):
    assert find_name(question, POOLS) is None


@pytest.mark.parametrize("attribute", load_bank().questions)
def test_every_question_of_the_bank_asks_for_its_attribute(attribute: str):
    bank = load_bank()
    phrases = {name: [question.format(name="") for question in own] for name, own in bank.questions.items()}
    for question in bank.questions[attribute]:
        assert find_attribute(question.format(name=""), phrases) == attribute


@pytest.mark.parametrize(
    ("question", "attribute"),
    [
        ("BIRTHDAY!", "birth_date"),
        ("tell me the date of birth", "birth_date"),
        ("in which city was the birth?", "birth_city"),
        ("Where exactly was he or she born", "birth_city"),
        ("what is studied?", "birth_date"),
        ("birth?", None),
        ("shoe size?", None),
        ("who?", None),
        ("", None),
    ],
)
def test_the_rarer_words_decide(question: str, attribute: str | None):
    assert find_attribute(question, PHRASES) == attribute
