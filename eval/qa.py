"""Question answering by real greedy decoding: sentences to complete, and questions in a form of their own.

In: a `LanguageModel`, a data set, people. Out: accuracies (exact match of the whole value), per attribute and in
total.

Greedy decoding gives a value exactly when the teacher-forced likeliest token is right at each of its tokens, so
`eval.recall` scores every person in one pass; `completion_agreement` checks that on a sample by decoding.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from biogen.dataset import Dataset
from biogen.pieces import Texts
from biogen.population import asked_people
from eval.recall import LanguageModel, mean_accuracy, recall_texts
from eval.source import Source, Tokens

_ROWS = 256


def decode(
    model: LanguageModel, prompts: list[Tokens], lengths: Int[np.ndarray, " prompts"], end: int, *, stop: bool = True
) -> list[Tokens]:
    """Greedily continue each prompt by its number of tokens, or (stop) up to and without an end token."""
    answers: list[list[int]] = [[] for _ in prompts]
    active = [row for row in range(len(prompts)) if lengths[row]]
    while active:
        still = []
        for first in range(0, len(active), _ROWS):
            rows = active[first : first + _ROWS]
            sequences = [np.concatenate([prompts[row], answers[row]]).astype(np.int64) for row in rows]
            sizes = np.array([len(sequence) for sequence in sequences])
            inputs = np.full((len(rows), sizes.max()), end, dtype=np.int64)
            for row, sequence in zip(inputs, sequences, strict=True):
                row[: len(sequence)] = sequence
            for row, token in zip(rows, model.next_tokens(inputs, sizes), strict=True):
                if stop and token == end:
                    continue
                answers[row].append(int(token))
                if len(answers[row]) < lengths[row]:
                    still.append(row)
        active = still
    return [np.array(answer, dtype=np.int64) for answer in answers]


def complete_sentences(
    model: LanguageModel, texts: Texts, dataset: Dataset, end: int
) -> dict[str, Bool[np.ndarray, " people"]]:
    """For each attribute: does decoding from the text before the value give the value exactly?"""
    result = {}
    for name, value_roles in dataset.qa_roles.items():
        prompts, values = [], []
        for row in range(len(texts)):
            start = texts.offsets[row]
            roles = texts.roles[start : texts.offsets[row + 1]]
            places = np.flatnonzero(np.isin(roles, value_roles))
            prompts.append(texts.tokens[start : start + places[0]])
            values.append(texts.tokens[start + places])
        result[name] = _exact(model, prompts, values, end)
    return result


def completion_agreement(
    model: LanguageModel, source: Source, index: Int[np.ndarray, " people"], exposure: int
) -> dict[str, Any]:
    """Accuracy of completing sentences by real decoding, and how often it agrees with the teacher-forced one."""
    texts = source.texts(index, exposure)
    forced = recall_texts(model, texts, source.dataset).completed
    decoded = complete_sentences(model, texts, source.dataset, source.end)
    same = [decoded[name] == forced[name] for name in decoded]
    return {
        "qa_greedy_accuracy": mean_accuracy(decoded, source.dataset),
        "qa_greedy_agreement": float(np.mean(same)),
        "qa_greedy_people": len(index),
    }


def answer_questions(
    model: LanguageModel, source: Source, index: Int[np.ndarray, " people"], exposure: int
) -> dict[str, float]:
    """Ask every attribute of every person once and decode; the share of exact answers, by attribute."""
    accuracy = {}
    for number, name in enumerate(source.dataset.questions):
        prompts, wanted = source.ask(index, exposure, number)  # the full stop ends the value
        accuracy[name] = float(_exact(model, prompts, wanted, source.end).mean())
    return accuracy


def question_record(model: LanguageModel, source: Source, exposure: int, sample: int = 200) -> dict[str, float]:
    """Accuracy on people with questions in the training text, and on people without.

    sample: people of each half that are asked, evenly spread.
    """
    record = {}
    for half, index in asked_people(source.dataset.config.people, sample).items():
        accuracy = answer_questions(model, source, index, exposure)
        record[f"question_accuracy_{half}"] = float(np.mean(list(accuracy.values())))
        record |= {f"question_accuracy_{half}_{name}": value for name, value in accuracy.items()}
    return record


def _exact(
    model: LanguageModel, prompts: list[np.ndarray], values: list[np.ndarray], end: int
) -> Bool[np.ndarray, " prompts"]:
    lengths = np.array([len(value) for value in values])
    answers = decode(model, prompts, lengths, end, stop=False)  # a value may hold the end token, such as a comma
    return np.array([np.array_equal(answer, value) for answer, value in zip(answers, values, strict=True)])
