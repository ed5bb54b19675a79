"""A model's completions in words: the values in people's texts, and answers to questions in plain words.

In: a `LanguageModel` that reads the data set's own tokens, and the data set. Out: each value as greedy decoding
completes it, with the right one.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int

from biogen.config import EVALUATION
from biogen.dataset import Dataset, special_tokens
from biogen.pieces import Pieces
from eval.qa import decode
from eval.recall import LanguageModel
from eval.source import OwnTokens, Tokens

NOBODY = "nobody of this name is in the data: the model guesses"
_TEXTS = 64
"""Number of a person's texts that are searched for one with few tokens before the value."""


@dataclass(frozen=True)
class Completion:
    """A value in a text, as a model completes it from the text before."""

    attribute: str
    start: int
    """The first character of the value in the text."""
    end: int
    """The character after the value."""
    said: str
    """What the model says; empty if it ends the text."""
    value: str
    """The right value."""
    right: bool
    """Whether decoding gives every token of the value."""


@dataclass(frozen=True)
class CompletedText:
    """A text about a person, with a model's completions of its values."""

    person: int
    """The person's index."""
    text: str
    """The text with the right values, as the data set writes it."""
    values: tuple[Completion, ...]
    """In the order of the text."""


@dataclass(frozen=True)
class Answer:
    """What a model answers to a question in plain words."""

    prompt: str
    """What the model was given: the question, or the beginning of a text about the person."""
    asked: bool
    """Whether it was given the question."""
    attribute: str | None
    """The attribute that the question asks for; None if it is unknown."""
    said: str
    """What the model says; empty if it ends the text."""
    value: str | None
    """The right value; None if it is unknown."""
    right: bool | None
    """Whether decoding gives every token of the value; None if the right value is unknown."""
    unjudged: str | None = None
    """Why the right value is unknown, in one line; None if it is known."""


def complete_texts(
    model: LanguageModel, dataset: Dataset, index: Int[np.ndarray, " people"], exposure: int = EVALUATION
) -> list[CompletedText]:
    """The texts of people at an exposure, each value completed from the right text before it."""
    outlines = dataset.outlines(index, exposure)
    prompts = [
        (row, name, _value_prompt(dataset, outline, name))
        for row, outline in enumerate(outlines)
        for name in dataset.qa_roles
    ]
    values: list[list[Completion]] = [[] for _ in outlines]
    said = _complete(model, dataset, [prompt for _, _, prompt in prompts])
    for (row, name, prompt), completed in zip(prompts, said, strict=True):
        values[row].append(Completion(name, prompt.start, prompt.start + len(prompt.value), *completed))
    return [
        CompletedText(person, dataset.pieces.render(outline)[0], tuple(sorted(row, key=lambda value: value.start)))
        for person, outline, row in zip(index.tolist(), outlines, values, strict=True)
    ]


def answer_question(model: LanguageModel, dataset: Dataset, question: str) -> Answer:
    """What a model answers to a question in plain words.

    A model trained with questions is given the question. Any other is given the beginning of a text about the person
    whom the question names, up to the value that it asks for.

    Raises ValueError for a question that the data set cannot read, or that has words which the model never saw.
    """
    question = question.strip()
    if dataset.config.questions == "half":
        return _ask(model, dataset, question)
    person, attribute = dataset.read_question(question)
    outline = _early_text(dataset, person, attribute)
    prompt = _value_prompt(dataset, outline, attribute)
    beginning = dataset.pieces.render(outline)[0][: prompt.start].rstrip()
    return _judge(dataset, Answer(beginning, False, attribute, *_complete(model, dataset, [prompt])[0]), person)


@dataclass(frozen=True)
class _Prompt:
    """The beginning of a text, and the right continuation."""

    tokens: Tokens
    """The text before the value."""
    wanted: Tokens
    """The right tokens after it; empty if they are unknown."""
    value: str
    """The right value in words."""
    roles: tuple[int, ...]
    """The roles of the value's tokens."""
    pieces: int
    """Largest number of pieces of such a value."""
    start: int = 0
    """The first character of the value in its text."""


def _value_prompt(dataset: Dataset, outline: Int[np.ndarray, " slots"], attribute: str) -> _Prompt:
    """The prompt for a value: the text of an outline before it."""
    roles, pieces = dataset.qa_roles[attribute], dataset.pieces
    spliced, (text, spans) = pieces.splice(outline[None]), pieces.render(outline)
    inside = np.flatnonzero(np.isin(spliced.roles, roles))
    own = [span for span in spans if span.role in roles]
    value = text[own[0].start : own[-1].end].lstrip(" ")
    prompt, wanted = spliced.tokens[: inside[0]], spliced.tokens[inside]
    return _Prompt(prompt, wanted, value, roles, _count(dataset, outline, roles), own[-1].end - len(value))


def _count(dataset: Dataset, outline: Int[np.ndarray, " slots"], roles: tuple[int, ...]) -> int:
    """The number of pieces of an outline with one of the roles."""
    return sum(dataset.pieces.roles[piece] in roles for piece in outline)


def _early_text(dataset: Dataset, person: int, attribute: str) -> Int[np.ndarray, " slots"]:
    """A text about a person with as few tokens as possible before a value, as other values may give it away.

    It is not drawn for training. The texts for measuring would have the employer before its city.
    """
    outlines = [dataset.outlines(np.array([person]), EVALUATION - 1 - text)[0] for text in range(_TEXTS)]
    return min(outlines, key=lambda outline: len(_value_prompt(dataset, outline, attribute).tokens))


def _ask(model: LanguageModel, dataset: Dataset, question: str) -> Answer:
    """The answer of a model that was trained with questions."""
    if strange := dataset.tokenizer.unknown_words(question):
        example = dataset.example_question(0)
        raise ValueError(
            f"question: the model never saw {', '.join(map(repr, strange))}; must be in words of its training texts"
            + (f", as in {example!r}" if example else "")
        )
    head = range(len(special_tokens(dataset.config)))
    tokens = np.array([*head, *dataset.tokenizer.encode(question)])
    try:
        person, attribute = dataset.read_question(question)
    except ValueError as error:
        every = tuple(role for roles in dataset.qa_roles.values() for role in roles)
        ((said, _, _),) = _complete(model, dataset, [_Prompt(tokens, tokens[:0], "", every, len(every))])
        reason = f"nobody can say what is right: the question {str(error).removeprefix('question: ')}"
        return Answer(question, True, None, said, None, None, reason)
    outline = dataset.question_outlines(np.array([person]), EVALUATION, dataset.questions.index(attribute))[0]
    slots, roles = dataset.question_answer_slots(), dataset.qa_roles[attribute]
    wanted, value = dataset.pieces.splice(outline[None, slots.start :]).tokens, dataset.pieces.render(outline[slots])[0]
    prompt = _Prompt(tokens, wanted, value.strip(), roles, _count(dataset, outline, roles))
    return _judge(dataset, Answer(question, True, attribute, *_complete(model, dataset, [prompt])[0]), person)


def _judge(dataset: Dataset, answer: Answer, person: int) -> Answer:
    """The answer; without a right value if the question is about none of the people."""
    if person < dataset.config.people:
        return answer
    return replace(answer, value=None, right=None, unjudged=NOBODY)


def _complete(model: LanguageModel, dataset: Dataset, prompts: list[_Prompt]) -> list[tuple[str, str, bool]]:
    """For each prompt the model's value, the right one, and whether they are equal."""
    values = {roles: _Values(dataset.pieces, roles) for roles in {prompt.roles for prompt in prompts}}
    lengths = [max(len(prompt.wanted), prompt.pieces * values[prompt.roles].longest) for prompt in prompts]
    answers = decode(model, [prompt.tokens for prompt in prompts], np.array(lengths), OwnTokens.end)
    completed = []
    for prompt, answer in zip(prompts, answers, strict=True):
        right = len(prompt.wanted) > 0 and np.array_equal(answer[: len(prompt.wanted)], prompt.wanted)
        said = answer[: values[prompt.roles].end(answer, prompt.pieces, len(prompt.wanted)) or None]
        completed.append((prompt.value if right else dataset.tokenizer.decode(said.tolist()), prompt.value, right))
    return completed


class _Values:
    """The values that tokens of some roles can make, as runs of pieces."""

    def __init__(self, pieces: Pieces, roles: tuple[int, ...]) -> None:
        own = np.flatnonzero(np.isin(pieces.roles, roles))
        texts = pieces.splice(own[:, None])
        self._known = {tuple(tokens.tolist()) for tokens in np.split(texts.tokens, texts.offsets[1:-1])}
        self.longest = int(texts.lengths.max())

    def end(self, answer: Tokens, pieces: int, otherwise: int) -> int:
        """The end of the value that begins an answer; at least `otherwise` if it has too few pieces."""
        end = 0
        for _ in range(pieces):
            lengths = range(self.longest, 0, -1)
            found = next((n for n in lengths if tuple(answer[end : end + n].tolist()) in self._known), 0)
            if not found:
                return max(end, otherwise)
            end += found
        return end
