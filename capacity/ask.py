"""`python -m capacity.ask RUN`: show what a trained model completes about a few people, or ask it a question.

In: the folder of a run, or of a sweep, from which one run is chosen, and optionally a question in plain words. Out:
people's texts with the model's completions, right and wrong marked; or its answer. From Python: `open_run`.
"""

import shlex
import sys

from pydantic import Field, field_validator
from rich.console import Console
from rich.text import Text

from basis.files import UserPath
from basis.flags import UserError, parse, run_main
from basis.program import called_as
from biogen.config import Frozen
from capacity.report.marked import mark, marked_text
from capacity.store.trained import TrainedRun, open_run, seen
from eval.completion import Answer, CompletedText

__all__ = ["Options", "TrainedRun", "main", "open_run", "show_answer", "show_people"]


class Options(Frozen):
    """The model, and the question for it."""

    folder: UserPath
    """Folder of a run or of a sweep; may also be given first, without the flag."""
    question: str | None = None
    """A question in plain words (default: show people); may also be given after the folder, without the flag."""
    run: str | None = None
    """A run of the sweep: its id or a part of it (default: the run that completes most of its people's values)."""
    people: int = Field(3, ge=1)
    """People shown."""
    seed: int = Field(0, ge=0)
    """Decides who is shown."""

    @field_validator("question")
    @classmethod
    def _asks(cls, question: str | None) -> str | None:
        if question is not None and not question.strip():
            raise ValueError("must be a question in plain words, or left out")
        return question


def show_people(run: TrainedRun, completed: list[CompletedText], console: Console) -> None:
    """Print texts with the values as completed, and how many of them are right."""
    console.print("In brackets: what the model completes from the text before (✓ right, ✗ wrong).\n", highlight=False)
    for text in completed:
        console.print(marked_text(text), end="\n\n")
    counted = [value for text in completed for value in text.values if value.attribute in run.dataset.value_roles]
    given = [_words(name) for name in run.dataset.qa_roles if name not in run.dataset.value_roles]
    apart = f", not counting the {' and '.join(given)}, which other values give away" if given else ""
    score = f"{sum(value.right for value in counted)} of {len(counted)} values right{apart}"
    console.print(f"{score} (of all people: {run.accuracy:.0%}).", highlight=False)


def show_answer(answer: Answer, console: Console) -> None:
    """Print what the model answers, and whether it is right."""
    if not answer.asked:
        asked_for = _words(str(answer.attribute))
        console.print(f"It never saw a question, so it completes a sentence about the {asked_for}:\n", highlight=False)
    console.print(Text(f"{answer.prompt} ").append_text(mark(answer.said, answer.right)), end="\n\n")
    verdict = "This is right." if answer.right else f"This is wrong; right is {answer.value}."
    console.print(verdict if answer.unjudged is None else _sentence(answer.unjudged), highlight=False)


def _words(attribute: str) -> str:
    return attribute.replace("_", " ")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def main(arguments: list[str] | None = None) -> int:
    """Show people or answer a question. Raises UserError for mistakes."""
    options = parse(
        Options,
        _with_flags(list(sys.argv[1:] if arguments is None else arguments)),
        program=f"{called_as('capacity.ask')} RUN [QUESTION]",
        description="Show what a trained model completes about a few people, or ask it a question.",
    )
    console = Console()
    try:
        run = open_run(options.folder, options.run)
        answer = run.ask(options.question) if options.question is not None else None
        completed = run.complete(options.people, options.seed) if answer is None else []
    except ValueError as error:
        raise UserError([" ".join(str(error).split())]) from None
    console.print(_introduction(run), highlight=False, soft_wrap=True)
    if answer is not None:
        show_answer(answer, console)
        return 0
    show_people(run, completed, console)
    if example := run.dataset.example_question(completed[0].person):
        command = f"{called_as('capacity.ask')} {shlex.quote(str(options.folder))}"
        chosen = f" --run {run.name}" if options.run is not None else ""
        console.print(f'Ask it: {command} "{example}"{chosen}', highlight=False, soft_wrap=True)
    return 0


def _with_flags(words: list[str]) -> list[str]:
    """The words before the first flag as values of flags: the folder, then a question, in quotes or not."""
    plain = next((place for place, word in enumerate(words) if word.startswith("-")), len(words))
    folder, question = words[:1] if plain else [], words[1:plain]
    given = [f"--folder={folder[0]}"] if folder else []
    return given + ([f"--question={' '.join(question)}"] if question else []) + words[plain:]


def _introduction(run: TrainedRun) -> str:
    chosen = f", the most accurate of {run.chosen_from} finished runs" if run.chosen_from > 1 else ""
    return f"Run {run.name}{chosen}:\na model of {run.params:,} parameters that saw {seen(run.config)}.\n"


if __name__ == "__main__":
    run_main(main)
