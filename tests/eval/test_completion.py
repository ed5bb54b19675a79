"""What a model completes in words: right where it knows, another value where it does not; questions in plain words."""

import numpy as np
import pytest

from biogen.config import DataConfig
from biogen.dataset import EVALUATION, make_dataset
from biogen.pieces import Role
from biogen.templates import ATTRIBUTES
from eval.completion import NOBODY, answer_question, complete_texts
from eval.qa import complete_sentences
from eval.source import OwnTokens

PEOPLE = np.arange(12)


class Reciter:
    """Has learned some sequences by heart, and ends the text everywhere else."""

    def __init__(self, *sequences):
        self.next = {tuple(s[:i]): s[i] for s in sequences for i in range(1, len(s))}

    def score(self, inputs, targets):
        raise AssertionError("it is only asked to go on")

    def next_tokens(self, inputs, lengths):
        prompts = [tuple(row[:length].tolist()) for row, length in zip(inputs, lengths, strict=True)]
        return np.array([self.next.get(prompt, 0) for prompt in prompts])


def knows(i, attribute):
    """Some values of some people; the pronoun always."""
    return 1.0 if attribute == "pronoun" or (i + len(attribute)) % 3 else 1e-3


def name_of(dataset, index):
    (person,) = dataset.describe(np.array([index]))
    return " ".join(person[part] for part in ("first_name", "middle_name", "last_name"))


def values_of(dataset, attribute):
    return {person[attribute] for person in dataset.describe(np.arange(dataset.names))}


@pytest.fixture(scope="module", params=["half", "half with a domain token"])
def asking(bios, request):
    changes = {"questions": "half", "domain_token": "domain" in request.param}
    return make_dataset(DataConfig(**bios.config.model_dump() | changes))


@pytest.mark.parametrize("name", ["bios", "biod"])
def test_what_is_known_is_right_and_anything_else_is_another_value(name, slot_model, request):
    dataset = request.getfixturevalue(name)
    model = slot_model(dataset, knows)
    found = complete_texts(model, dataset, PEOPLE)
    every = {attribute: values_of(dataset, attribute) for attribute in dataset.qa_roles}
    assert [text.person for text in found] == PEOPLE.tolist()
    for person, described, completed in zip(PEOPLE, dataset.describe(PEOPLE), found, strict=True):
        assert {value.attribute for value in completed.values} == set(dataset.qa_roles)
        starts = [value.start for value in completed.values]
        assert starts == sorted(starts)
        for value in completed.values:
            assert value.value == completed.text[value.start : value.end] == described[value.attribute]
            assert value.right == (knows(person, value.attribute) == 1)
            assert (value.said == value.value) == value.right
            assert value.said in every[value.attribute]


def test_right_is_what_the_evaluation_calls_right(bios, slot_model):
    model = slot_model(bios, knows)
    decoded = complete_sentences(model, OwnTokens(bios).texts(PEOPLE, EVALUATION), bios, OwnTokens.end)
    for row, completed in enumerate(complete_texts(model, bios, PEOPLE)):
        assert {value.attribute: value.right for value in completed.values} == {
            name: bool(right[row]) for name, right in decoded.items()
        }


def test_an_end_in_place_of_a_value_says_nothing(bios):
    (completed,) = complete_texts(Reciter(), bios, np.array([3]))
    assert {(value.said, value.right) for value in completed.values} == {("", False)}


def test_no_value_is_shown_with_as_many_tokens_as_the_right_one(bios):
    outlines = bios.outlines(np.array([3]), EVALUATION)
    texts = bios.pieces.splice(outlines)
    place = int(np.flatnonzero(texts.roles >= Role.VALUES)[0])
    babble = [*texts.tokens[:place].tolist(), *([texts.tokens[1]] * 50)]  # a name, again and again
    (completed,) = complete_texts(Reciter(babble), bios, np.array([3]))
    first = completed.values[0]
    wanted = texts.tokens[np.isin(texts.roles, bios.qa_roles[first.attribute])]
    assert first.said == bios.tokenizer.decode([int(texts.tokens[1])] * len(wanted))


@pytest.mark.parametrize("attribute", ATTRIBUTES)
@pytest.mark.parametrize("known", [1.0, 0.0])
def test_a_model_without_questions_completes_a_sentence_about_the_person(bios, slot_model, attribute, known):
    question = bios.bank.questions[attribute][1].format(name=name_of(bios, 5))
    answer = answer_question(slot_model(bios, lambda i, a: known), bios, f" {question}\n")
    (person,) = bios.describe(np.array([5]))
    assert (answer.asked, answer.attribute, answer.value) == (False, attribute, person[attribute])
    assert (answer.right, answer.unjudged) == (known == 1, None)
    assert (answer.said == answer.value) == (known == 1)
    assert answer.said in values_of(bios, attribute)
    assert answer.prompt.startswith(name_of(bios, 5) + " ")
    assert not any(person[other] in answer.prompt for other in ATTRIBUTES)  # nothing gives it away


def test_fixed_texts_are_given_as_they_were_learned(bios):
    fixed = make_dataset(DataConfig(**bios.config.model_dump() | {"variant": "single"}))
    (text,) = (fixed.pieces.render(row)[0] for row in fixed.outlines(np.array([5]), 0))
    answer = answer_question(Reciter(), fixed, f"Who employed {name_of(fixed, 5)}?")
    assert text.startswith(answer.prompt)
    assert text[len(answer.prompt) :].lstrip().startswith(str(answer.value))


def test_nobody_of_a_name_has_no_right_value(bios, asking, read_gpt):
    question = f"What is the major of {name_of(bios, bios.config.people)}?"
    for dataset in (bios, asking):
        answer = answer_question(read_gpt(dataset), dataset, question)
        assert (answer.value, answer.right, answer.unjudged) == (None, None, NOBODY)
        assert answer.attribute == "major"
        assert answer.said


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_a_model_with_questions_is_asked(asking, attribute):
    question = asking.bank.questions[attribute][2].format(name=name_of(asking, 5))
    (person,) = asking.describe(np.array([5]))
    head = [0, 1] if asking.config.domain_token else [0]
    learned = [*head, *asking.tokenizer.encode(f"{question} {person[attribute]}."), 0]
    for model, right in ((Reciter(learned), True), (Reciter(learned[:-2]), False)):  # without its full stop
        answer = answer_question(model, asking, question)
        assert (answer.prompt, answer.asked, answer.attribute) == (question, True, attribute)
        assert (answer.said, answer.value, answer.right) == (person[attribute], person[attribute], right)


def test_a_wrong_answer_ends_where_its_value_does(asking):
    question = f"What is the birth city of {name_of(asking, 5)}?"
    (person,) = asking.describe(np.array([5]))
    head = [0, 1] if asking.config.domain_token else [0]
    for other in values_of(asking, "birth_city") - {person["birth_city"]}:
        learned = [*head, *asking.tokenizer.encode(f"{question} {other}. {other}. {other}.")]
        answer = answer_question(Reciter(learned), asking, question)
        assert (answer.said, answer.value, answer.right) == (other, person["birth_city"], False)


def test_a_question_about_nothing_is_put_to_the_model_all_the_same(asking):
    head = [0, 1] if asking.config.domain_token else [0]
    city = min(values_of(asking, "birth_city"))
    model = Reciter([*head, *asking.tokenizer.encode(f"Where was born? {city}. {city}.")])
    answer = answer_question(model, asking, "Where was born?")
    assert (answer.said, answer.value, answer.right, answer.attribute) == (city, None, None, None)
    assert str(answer.unjudged).startswith("nobody can say what is right: the question 'Where was born?' has no full")


def test_what_cannot_be_asked_is_refused_with_the_reason(bios, biod, asking, read_gpt):
    someone = name_of(bios, 5)
    for dataset, question, reason in (
        (
            bios,
            "When was Bob born?",
            r"'When was Bob born\?' has no full name of this data; must have .* as in 'What is",
        ),
        (bios, f"How tall is {someone}?", "does not tell what it asks for; must be one of birth date, birth city"),
        (biod, "What is a0 of s1 s2 s3?", "bioD has no questions in plain words"),
        (asking, f"What is the Ωmega of {someone}?", "the model never saw 'Ωmega'; must be .* as in 'What is the"),
    ):
        with pytest.raises(ValueError, match=f"^question: .*{reason}"):
            answer_question(read_gpt(dataset), dataset, question)
