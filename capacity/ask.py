"""`python -m capacity.ask RUN`: show what a trained model completes about a few people, or ask it a question.

In: the folder of a run, or of a sweep, from which one run is chosen, and optionally a question in plain words. Out:
people's texts with the model's completions, right and wrong marked; or its answer. From Python: `open_run`.
"""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from pydantic import Field, field_validator
from rich.console import Console
from rich.text import Text

from basis.files import UserPath, named_path
from basis.flags import UserError, parse, run_main
from basis.program import called_as
from basis.reading import read_json
from biogen.config import Frozen
from biogen.dataset import Dataset, make_dataset
from biogen.datasets import DATASETS
from capacity.spec.build import build_model
from capacity.spec.config import RunConfig
from capacity.spec.identity import run_id
from capacity.store.folders import RunFolder
from capacity.store.record import finite
from eval.completion import Answer, CompletedText, answer_question, complete_texts
from eval.recall import LanguageModel
from train.export import CONFIG, load_weights
from train.inference import Inference


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


@dataclass(frozen=True)
class TrainedRun:
    """A finished run with its model."""

    name: str
    """The run's id."""
    config: RunConfig
    dataset: Dataset
    model: LanguageModel
    params: int
    """P, the model's parameters."""
    accuracy: float
    """Share of all people's values that greedy decoding completes (`qa_accuracy` of result.json)."""
    chosen_from: int
    """Number of finished runs from which it was chosen as the one that completes most; 1 if it was named."""

    def sample(self, people: int, seed: int) -> Int[np.ndarray, " people"]:
        """The indices of some of the people, at random. Raises ValueError for more than there are."""
        there = self.config.data.people
        if people > there:
            raise ValueError(f"people: {people} is not allowed; must be at most {there}, all there are")
        return np.random.default_rng(seed).choice(there, people, replace=False)

    def complete(self, people: int = 3, seed: int = 0) -> list[CompletedText]:
        """Texts of `sample(people, seed)`, each value completed by the model from the right text before it."""
        return complete_texts(self.model, self.dataset, self.sample(people, seed))

    def ask(self, question: str) -> Answer:
        """The answer to a question in plain words, and what is right. Raises ValueError as `answer_question` does."""
        return answer_question(self.model, self.dataset, question)


def open_run(folder: Path | str, run: str | None = None) -> TrainedRun:
    """The model of a finished run, from the folder of the run or of its sweep.

    run: the id of a run of the sweep, or a part that no other id has. None: the one that completes the largest share of
    its people's values, and of equals the one that knows most bits.

    Raises ValueError if there is no such run, or none with its model.
    """
    found = _finished(named_path("folder", folder))
    path = _named(found, run) if run is not None else max(found, key=lambda path: _knowledge(found[path]))
    result = found[path]
    try:
        config = RunFolder(path).read_config()
    except OSError as error:
        raise ValueError(f"folder: {RunFolder(path).config} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ValueError(f"folder: {error}") from None
    if not (kind := DATASETS[config.data.dataset]).known_bits:
        raise ValueError(f"folder: {path} is a run on a {kind.title}, about which nothing is asked")
    try:
        if (named := run_id(config)) != result["run_id"]:
            raise ValueError(f"its config.yaml is that of run {named}, its result.json that of {result['run_id']}")
        dataset = make_dataset(config.data)
        model = build_model(config, dataset.tokenizer.vocab)
        load_weights(model, RunFolder(path).model)
        if changed := RunFolder(path).changed(result, "model/"):
            raise ValueError(f"{changed[0]} is not the file that was measured")
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"folder: {path} cannot be read ({' '.join(str(error).split())[:200]})") from None
    reader = Inference(model.eval(), torch.device("cpu"))
    accuracy, _ = _knowledge(result)
    params, chosen_from = _params(result), len(found) if run is None else 1
    return TrainedRun(path.name, config, dataset, reader, params, accuracy, chosen_from)


def _finished(folder: Path) -> dict[Path, dict[str, Any]]:
    """The finished runs of a folder that have their models, and their results. Raises ValueError if there are none."""
    must = "must be the folder of a run or of a sweep"
    if not folder.is_dir():
        raise ValueError(f"folder: {folder} is not there; {must}")
    files = [folder / "result.json"] if (folder / "result.json").exists() else sorted(folder.glob("*/result.json"))
    if not files:
        raise ValueError(f"folder: {folder} has no finished run (no result.json); {must}")
    files = [file for file in files if (RunFolder(file.parent).model / CONFIG).is_file()]
    if not files:
        raise ValueError(f"folder: {folder} has results, but no model (no folder model); {must} with its models")
    return {file.parent.resolve(): _read(file) for file in files}


def _read(file: Path) -> dict[str, Any]:
    try:
        result: dict[str, Any] = read_json(file)
        _knowledge(result), _params(result)
    except (OSError, ValueError, LookupError, TypeError):
        raise ValueError(f"folder: {file} is not the result of a run") from None
    return result


def _knowledge(result: dict[str, Any]) -> tuple[float, float]:
    """The share of values completed, and bits; less than nothing of a run without people."""
    accuracy, bits = (result["rows"][0][name] for name in ("qa_accuracy", "bits"))
    return (-1.0, -1.0) if accuracy is None and bits is None else (finite(accuracy), finite(bits))


def _params(result: dict[str, Any]) -> int:
    return int(finite(result["rows"][0]["params"]))


def _named(found: dict[Path, dict[str, Any]], run: str) -> Path:
    fitting = [path for path in found if run in path.name]
    if len(exact := [path for path in fitting if path.name == run] or fitting) == 1:
        return exact[0]
    names = [path.name for path in fitting or found]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} others" if len(names) > 5 else "")
    raise ValueError(f"run: {run!r} is {'in several ids' if fitting else 'in no id'}; must be in one of {shown}")


def show_people(run: TrainedRun, completed: list[CompletedText], console: Console) -> None:
    """Print texts with the values as completed, and how many of them are right."""
    console.print("In brackets: what the model completes from the text before (✓ right, ✗ wrong).\n", highlight=False)
    for text in completed:
        console.print(_marked(text), end="\n\n")
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
    console.print(Text(f"{answer.prompt} ").append_text(_mark(answer.said, answer.right)), end="\n\n")
    verdict = "This is right." if answer.right else f"This is wrong; right is {answer.value}."
    console.print(verdict if answer.unjudged is None else _sentence(answer.unjudged), highlight=False)


def _marked(completed: CompletedText) -> Text:
    shown, done = Text(), 0
    for value in completed.values:
        shown.append(completed.text[done : value.start])
        shown.append_text(_mark(value.said, value.right, value.value))
        done = value.end
    return shown.append(completed.text[done:])


def _mark(said: str, right: bool | None, value: str | None = None) -> Text:
    """What the model says in brackets, with its mark, and with the right value where it is wrong."""
    sign, style = {True: ("✓", "green"), False: ("✗", "red"), None: ("?", "yellow")}[right]
    correction = f" should be {value}" if value is not None and right is False else ""
    return Text.assemble("[", (f"{said or '(nothing)'} {sign}", style), f"{correction}]")


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
    return f"Run {run.name}{chosen}:\na model of {run.params:,} parameters that saw {_seen(run.config)}.\n"


def _seen(config: RunConfig) -> str:
    """What a model was trained on, in words."""
    people, exposures = config.data.people, config.exposures
    if config.data.population == "fixed" and exposures is not None:
        return f"each of {people:,} people {exposures:,} times"
    amount = f"{config.budget:,} tokens" if exposures is None else f"{people * exposures:,} texts"
    kinds = {"fixed": f"{people:,} people", "zipf": f"{people:,} people of unequal frequency", "fresh": "new people"}
    return f"{amount} about {kinds[config.data.population]}"


if __name__ == "__main__":
    run_main(main)
