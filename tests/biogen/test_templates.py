"""Properties of the text bank: each rule of `biogen.templates` over every template and question."""

import re
from itertools import combinations, permutations

import pytest

from biogen.templates import ATTRIBUTES, Bank, load_bank, split_template

STORED = 312
BANK = load_bank(STORED)
TEMPLATES = [(attribute, template) for attribute in ATTRIBUTES for template in BANK.templates[attribute]]
QUESTIONS = [(attribute, question) for attribute in ATTRIBUTES for question in BANK.questions[attribute]]
TEXTS = [text for _, text in TEMPLATES + QUESTIONS]
PRONOUNS = "he she him her his hers himself herself they them their it its i me my we us our you your"
GENDERED = (
    "man men woman women boy boys girl girls male female gentleman lady mr mrs ms sir madam "
    "son daughter brother sister father mother dad mom husband wife uncle aunt nephew niece widow widower "
    "alumnus alumna alumni alumnae freshman freshmen chairman spokesman businessman salesman bachelor"
)
TELLING = {*PRONOUNS.split(" "), *GENDERED.split(" ")}


def words(text: str) -> list[str]:
    return [word.strip(".,?") for word in text.split()]


def edit_distance(a: list[str], b: list[str]) -> int:
    row = list(range(len(b) + 1))
    for i, word in enumerate(a, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(b, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


@pytest.mark.parametrize("text", ["a b c", "a c", "a b d c", "a x c"])
def test_edit_distance_counts_single_word_changes(text: str) -> None:
    assert edit_distance(["a", "b", "c"], text.split()) == (text != "a b c")


def test_at_least_fifty_templates_and_eight_questions_an_attribute() -> None:
    assert list(BANK.templates) == list(BANK.questions) == list(ATTRIBUTES)
    assert min(len(templates) for templates in BANK.templates.values()) >= 50
    assert [len(questions) for questions in BANK.questions.values()] == [8] * 6


def test_every_line_is_its_own() -> None:
    assert len(set(TEXTS)) == len(TEXTS)


@pytest.mark.parametrize(("attribute", "template"), TEMPLATES)
def test_template_form(attribute: str, template: str) -> None:
    assert re.fullmatch(r"\{subject\} [a-z ,-]*\{value\}[., ][a-z ,-]*\.?", template)
    assert template.count(" {value}") == 1
    assert template.endswith(".")
    assert not any(slip in template for slip in ("  ", " ,", "..", ",.", ",,"))


@pytest.mark.parametrize(("attribute", "question"), QUESTIONS)
def test_question_form(attribute: str, question: str) -> None:
    assert re.fullmatch(r"[A-Z][A-Za-z ,]* \{name\}(\?| [a-z ,]+\?)", question)
    assert "  " not in question


@pytest.mark.parametrize("text", TEXTS)
def test_no_word_tells_the_gender(text: str) -> None:
    assert not TELLING & {word.lower() for word in words(text)}


@pytest.mark.parametrize(("attribute", "template"), TEMPLATES)
def test_no_article_before_the_value(attribute: str, template: str) -> None:
    before, _ = split_template(template)
    assert words(before)[-1] not in {"a", "an", "the"}


def test_the_value_is_due() -> None:
    """Where the value of one template stands, no other template goes on with a word or another attribute."""
    for (attribute, template), (other_attribute, other) in permutations(TEMPLATES, 2):
        ahead = template[: template.index("{value}")].split()
        if other.split()[: len(ahead)] == ahead:
            assert other.split()[len(ahead)].startswith("{value}"), (template, other)
            assert attribute == other_attribute, (template, other)


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_templates_of_an_attribute_differ_by_two_words_at_least(attribute: str) -> None:
    for a, b in combinations(BANK.templates[attribute], 2):
        assert edit_distance(words(a), words(b)) >= 2, (a, b)


def test_templates_are_short() -> None:
    lengths = [len(words(template)) - 2 for _, template in TEMPLATES]
    assert min(lengths) >= 2
    assert max(lengths) <= 12
    assert 5.5 <= sum(lengths) / len(lengths) <= 6.5


def test_first_question_of_birth_date() -> None:
    assert BANK.questions["birth_date"][0] == "What is the birth date of {name}?"


@pytest.mark.parametrize(("attribute", "template"), TEMPLATES)
def test_split_template_is_undone_by_joining(attribute: str, template: str) -> None:
    before, after = split_template(template)
    assert "{subject}" + before + " {value}" + after == template
    assert before.startswith(" ")


def test_split_template_leaves_the_space_to_the_value() -> None:
    assert split_template("{subject} was born on {value}.") == (" was born on", ".")
    assert split_template("{subject} moved to {value} for work.") == (" moved to", " for work.")


@pytest.mark.parametrize("templates", [6, 7, 11, 12, 199, 200, STORED])
def test_bank_has_exactly_the_templates_asked_for(templates: int) -> None:
    bank = load_bank(templates)
    counts = [len(bank.templates[attribute]) for attribute in ATTRIBUTES]
    assert sum(counts) == templates
    assert max(counts) - min(counts) <= 1
    assert counts == sorted(counts, reverse=True)
    for attribute in ATTRIBUTES:
        assert bank.templates[attribute] == BANK.templates[attribute][: len(bank.templates[attribute])]
        assert bank.questions[attribute] == BANK.questions[attribute]


def test_default_bank_has_200_templates() -> None:
    assert isinstance(load_bank(), Bank)
    assert load_bank() == load_bank(200)


@pytest.mark.parametrize("templates", [-1, 0, 5, STORED + 1])
def test_impossible_bank_is_refused(templates: int) -> None:
    with pytest.raises(ValueError, match=f"^templates: {templates} is not allowed; must be 6 to {STORED}$"):
        load_bank(templates)
