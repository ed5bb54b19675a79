"""Question answering by real greedy decoding: sentences to complete, and questions in a form of their own.

In: a `LanguageModel`, a corpus, people. Out: accuracies (exact match of the whole value), per attribute and in
total.

Greedy decoding gives a value exactly when the teacher-forced likeliest token is right at each of its tokens, so
`eval.recall` scores every person in one pass; `completion_agreement` checks that on a sample by decoding.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from biogen.bios import BioS
from biogen.config import trained_on_questions
from biogen.corpus import Corpus, draw_texts
from biogen.pieces import Texts
from biogen.templates import ATTRIBUTES
from eval.recall import LanguageModel, recall_texts

_ROWS = 256
_END = 0


def decode(
    model: LanguageModel, prompts: list[Int[np.ndarray, " _"]], lengths: Int[np.ndarray, " prompts"]
) -> list[Int[np.ndarray, " _"]]:
    """Greedily continue each prompt by its number of tokens, or up to and without an end token."""
    answers: list[list[int]] = [[] for _ in prompts]
    active = [row for row in range(len(prompts)) if lengths[row]]
    while active:
        still = []
        for first in range(0, len(active), _ROWS):
            rows = active[first : first + _ROWS]
            sequences = [np.concatenate([prompts[row], answers[row]]).astype(np.int64) for row in rows]
            sizes = np.array([len(sequence) for sequence in sequences])
            inputs = np.full((len(rows), sizes.max()), _END, dtype=np.int64)
            for row, sequence in zip(inputs, sequences, strict=True):
                row[: len(sequence)] = sequence
            for row, token in zip(rows, model.next_tokens(inputs, sizes), strict=True):
                if token == _END:
                    continue
                answers[row].append(int(token))
                if len(answers[row]) < lengths[row]:
                    still.append(row)
        active = still
    return [np.array(answer, dtype=np.int64) for answer in answers]


def complete_sentences(
    model: LanguageModel, texts: Texts, corpus: Corpus
) -> dict[str, Bool[np.ndarray, " people"]]:
    """For each attribute: does decoding from the text before the value give the value exactly?"""
    bios = corpus.config.dataset == "bios"
    result = {}
    for name, role in corpus.qa_roles.items():
        prompts, values = [], []
        for row in range(len(texts)):
            start, end = texts.offsets[row], texts.offsets[row + 1]
            roles = texts.roles[start:end]
            places = np.flatnonzero((roles == role) | ((roles == role + 1) & (not bios)))
            prompts.append(texts.tokens[start : start + places[0]])
            values.append(texts.tokens[start + places])
        result[name] = _exact(model, prompts, values)
    return result


def completion_agreement(
    model: LanguageModel, corpus: Corpus, index: Int[np.ndarray, " people"], exposure: int
) -> dict[str, Any]:
    """Accuracy of completing sentences by real decoding, and how often it agrees with the teacher-forced one."""
    texts = draw_texts(corpus, index, exposure)
    forced = recall_texts(model, texts, corpus).completed
    decoded = complete_sentences(model, texts, corpus)
    same = [decoded[name] == forced[name] for name in decoded]
    return {
        "qa_greedy_accuracy": float(np.mean(list(decoded.values()))),
        "qa_greedy_agreement": float(np.mean(same)),
        "qa_greedy_people": len(index),
    }


def answer_questions(
    model: LanguageModel, corpus: BioS, index: Int[np.ndarray, " people"], exposure: int
) -> dict[str, float]:
    """Ask every attribute of every person once and decode; the share of exact answers, by attribute."""
    accuracy = {}
    slots = corpus.question_answer_slots()
    for number, name in enumerate(ATTRIBUTES):
        plan = corpus.question_plan(index, exposure, number)
        asked = corpus.pieces.splice(plan[:, : slots.start])
        wanted = corpus.pieces.splice(plan[:, slots.start :])  # with the full stop, which ends the value
        prompts = np.split(asked.tokens, asked.offsets[1:-1])
        accuracy[name] = float(_exact(model, prompts, np.split(wanted.tokens, wanted.offsets[1:-1])).mean())
    return accuracy


def question_record(model: LanguageModel, corpus: BioS, exposure: int, sample: int = 200) -> dict[str, float]:
    """Accuracy on people whose questions stood in the training text, and on those of whom none ever did.

    sample: people of each half that are asked, evenly spread.
    """
    people, border = corpus.config.people, trained_on_questions(corpus.config.people)
    record = {}
    for half, first, last in (("trained", 0, border), ("held_out", border, people)):
        if first == last:
            continue
        index = np.unique(np.linspace(first, last - 1, min(sample, last - first)).astype(np.int64))
        accuracy = answer_questions(model, corpus, index, exposure)
        record[f"question_accuracy_{half}"] = float(np.mean(list(accuracy.values())))
        record |= {f"question_accuracy_{half}_{name}": value for name, value in accuracy.items()}
    return record


def _exact(model: LanguageModel, prompts: list[np.ndarray], values: list[np.ndarray]) -> np.ndarray:
    answers = decode(model, prompts, np.array([len(value) for value in values]))
    return np.array([np.array_equal(answer, value) for answer, value in zip(answers, values, strict=True)])
