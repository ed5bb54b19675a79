"""Decoding: it agrees with teacher forcing, it stops where it must, and questions are scored as they are answered."""

import numpy as np
import pytest

from biogen.config import DataConfig, trained_on_questions
from biogen.dataset import EVALUATION, make_dataset
from biogen.templates import ATTRIBUTES
from eval import qa
from eval.qa import answer_questions, complete_sentences, completion_agreement, decode, question_record
from eval.source import OwnTokens

PEOPLE = np.arange(30)


class Table:
    """A model that has learned some sequences by heart, and says `end` everywhere else."""

    def __init__(self, sequences, end):
        self.end, self.next, self.asked = end, {}, []
        for sequence in sequences:
            for i in range(1, len(sequence)):
                self.next[tuple(sequence[:i])] = sequence[i]

    def score(self, inputs, targets):
        raise AssertionError("questions are decoded")

    def next_tokens(self, inputs, lengths):
        prompts = [tuple(row[:length].tolist()) for row, length in zip(inputs, lengths, strict=True)]
        self.asked += prompts
        return np.array([self.next.get(prompt, self.end) for prompt in prompts])


@pytest.fixture(scope="module")
def asking(bios):
    """BioS with questions."""
    return make_dataset(DataConfig(**bios.config.model_dump() | {"questions": "half", "people": 31}))


def knows_questions(dataset, knows):
    """Has read the questions and answers, at the evaluation's draw, of attributes and people that `knows` names."""
    sequences = []
    for number, attribute in enumerate(ATTRIBUTES):
        for person, row in enumerate(dataset.question_outlines(np.arange(dataset.config.people), EVALUATION, number)):
            if knows(person, attribute):
                sequences.append([0, *dataset.tokenizer.encode(dataset.pieces.render(row)[0])])
    return Table(sequences, end=0)


def test_a_value_may_hold_the_end_token():
    model = Table([[5, 0, 7]], end=9)
    found = [decode(model, [np.array([5])], np.array([2]), end=0, stop=stop)[0].tolist() for stop in (True, False)]
    assert found == [[], [0, 7]]


def test_decoding_continues_each_prompt_by_its_own_length():
    model = Table([[5, 1, 2, 3, 4, 0, 9], [6, 7, 8]], end=0)
    prompts = [np.array(prompt) for prompt in ([5, 1], [6], [5, 1, 2, 3], [7], [5], [6])]
    found = decode(model, prompts, np.array([2, 5, 3, 4, 0, 2]), end=0)
    assert [answer.tolist() for answer in found] == [[2, 3], [7, 8], [4], [], [], [7, 8]]


def test_decoding_reads_nothing_behind_an_end():
    model = Table([[5, 1, 0, 9]], end=0)
    decode(model, [np.array([5])], np.array([9]), end=0)
    assert model.asked == [(5,), (5, 1)]


def test_decoding_many_prompts_is_decoding_each(monkeypatch):
    monkeypatch.setattr(qa, "_ROWS", 3)
    sequences = [list(range(i, i + 6)) for i in range(1, 20)]
    model = Table(sequences, end=0)
    prompts = [np.array(sequence[: 1 + i % 3]) for i, sequence in enumerate(sequences)]
    found = decode(model, prompts, np.full(len(prompts), 2), end=0)
    for sequence, prompt, answer in zip(sequences, prompts, found, strict=True):
        assert answer.tolist() == sequence[len(prompt) : len(prompt) + 2]


@pytest.mark.parametrize("which", ["bios", "biod"])
def test_greedy_decoding_agrees_with_teacher_forcing(which, request, read_gpt):
    dataset = request.getfixturevalue(which)
    record = completion_agreement(read_gpt(dataset), OwnTokens(dataset), PEOPLE, EVALUATION)
    assert record["qa_greedy_agreement"] == 1
    assert record["qa_greedy_people"] == 30


def test_greedy_decoding_agrees_where_some_values_are_known(biod_run, rows_of):
    row = rows_of(biod_run)[0]
    assert row["qa_greedy_agreement"] == 1
    assert row["qa_greedy_people"] == row["people"] == 30
    assert 0 < row["qa_greedy_accuracy"] == row["qa_accuracy"] < 1


@pytest.mark.parametrize("which", ["bios", "biod"])
def test_a_known_model_completes_what_it_knows(which, request, slot_model):
    dataset = request.getfixturevalue(which)
    first = next(iter(dataset.value_roles)) if which == "biod" else "birth_date"
    model = slot_model(dataset, lambda i, attribute: 1.0 if i % 2 or attribute == first else 1e-9)
    texts = OwnTokens(dataset).texts(PEOPLE, EVALUATION)
    for name, right in complete_sentences(model, texts, dataset, end=0).items():
        np.testing.assert_array_equal(right, (PEOPLE % 2 == 1) | (name == first))


def test_all_questions_answered(asking):
    model = knows_questions(asking, lambda person, attribute: True)
    accuracy = answer_questions(model, OwnTokens(asking), PEOPLE, EVALUATION)
    assert accuracy == dict.fromkeys(ATTRIBUTES, 1.0)


def test_half_of_the_questions_answered(asking):
    model = knows_questions(asking, lambda person, attribute: person % 2 == 0)
    accuracy = answer_questions(model, OwnTokens(asking), np.arange(10), EVALUATION)
    assert accuracy == dict.fromkeys(ATTRIBUTES, 0.5)


def test_an_answer_must_end_where_the_value_ends(asking):
    model = knows_questions(asking, lambda person, attribute: True)
    stop = asking.tokenizer.encode("a.")[-1]
    model.next = {prompt: (77 if token == stop else token) for prompt, token in model.next.items()}
    accuracy = answer_questions(model, OwnTokens(asking), PEOPLE, EVALUATION)
    assert accuracy == dict.fromkeys(ATTRIBUTES, 0.0)


def test_the_halves_are_scored_apart(asking):
    border = trained_on_questions(31)
    known = {"birth_date", "university", "employer"}
    model = knows_questions(asking, lambda person, attribute: person < border or attribute in known)
    record = question_record(model, OwnTokens(asking), EVALUATION)
    assert record["question_accuracy_trained"] == 1
    assert record["question_accuracy_held_out"] == 0.5
    for attribute in ATTRIBUTES:
        assert record[f"question_accuracy_trained_{attribute}"] == 1
        assert record[f"question_accuracy_held_out_{attribute}"] == (attribute in known)


@pytest.mark.parametrize("sample", [1, 4, 200])
def test_the_halves_share_nobody_and_leave_nobody_out(asking, sample):
    asked = {"half": []}

    class Spy(OwnTokens):
        def ask(self, index, exposure, attribute):
            if attribute == 0:
                asked["half"].append(index)
            return super().ask(index, exposure, attribute)

    question_record(Table([], end=0), Spy(asking), EVALUATION, sample=sample)
    trained, held_out = asked["half"]
    assert trained.max() < trained_on_questions(31) <= held_out.min()
    assert len(trained) == min(sample, 15)
    assert len(held_out) == min(sample, 16)
    assert len(np.unique(np.concatenate([trained, held_out]))) == len(trained) + len(held_out)


def test_one_person_has_no_trained_half(asking):
    dataset = make_dataset(asking.config.model_copy(update={"people": 1}))
    record = question_record(knows_questions(dataset, lambda person, attribute: True), OwnTokens(dataset), EVALUATION)
    assert record["question_accuracy_held_out"] == 1
    assert "question_accuracy_trained" not in record
