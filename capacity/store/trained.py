"""A finished run with its trained model: what it completes about people, and what it answers.

In: the folder of a run, or of a sweep, from which one run is chosen. Out: a `TrainedRun`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from basis.files import named_path
from basis.reading import read_json
from biogen.dataset import Dataset, make_dataset
from biogen.datasets import DATASETS
from capacity.spec.build import build_model
from capacity.spec.config import RunConfig
from capacity.spec.identity import run_id
from capacity.store.folders import WEIGHTS, RunFolder
from capacity.store.record import finite
from eval.completion import Answer, CompletedText, answer_question, complete_texts
from eval.recall import LanguageModel
from train.export import CONFIG, load_weights
from train.inference import Inference


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


def seen(config: RunConfig) -> str:
    """What a model was trained on, in words."""
    data, exposures = config.data, config.exposures
    if data.population == "fixed" and exposures is not None:
        return f"each of {data.people:,} people {exposures:,} times"
    amount = f"{config.budget:,} tokens" if exposures is None else f"{data.people * exposures:,} texts"
    people = {"fixed": f"{data.people:,} people", "zipf": f"{data.people:,} people of unequal frequency"}
    return f"{amount} about {people.get(data.population, 'new people')}"


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
        load_weights(model, model_folder(path))
        if changed := RunFolder(path).changed(result, "" if model_folder(path) == path else "model/"):
            raise ValueError(f"{changed[0]} is not the file that was measured")
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"folder: {path} cannot be read ({' '.join(str(error).split())[:200]})") from None
    reader = Inference(model.eval(), torch.device("cpu"))
    accuracy, _ = _knowledge(result)
    params, chosen_from = _params(result), len(found) if run is None else 1
    return TrainedRun(path.name, config, dataset, reader, params, accuracy, chosen_from)


def model_folder(run: Path) -> Path:
    """Where the model of a run lies: in its folder `model`, or beside its result in a copy that was shared."""
    inner = RunFolder(run).model
    return run if not inner.exists() and (run / CONFIG).is_file() else inner


def result_files(folder: Path) -> list[Path]:
    """The results of the runs in a folder that may have models: a sweep's, and those whose weights are kept."""
    own, kept = sorted(folder.glob("*/result.json")), sorted(folder.glob(f"{WEIGHTS}/*/result.json"))
    return list({file.parent.name: file for file in (*kept, *own)}.values())


def _finished(folder: Path) -> dict[Path, dict[str, Any]]:
    """The finished runs of a folder that have their models, and their results. Raises ValueError if there are none."""
    must = "must be the folder of a run or of a sweep"
    if not folder.is_dir():
        raise ValueError(f"folder: {folder} is not there; {must}")
    files = [folder / "result.json"] if (folder / "result.json").exists() else result_files(folder)
    if not files:
        raise ValueError(f"folder: {folder} has no finished run (no result.json); {must}")
    files = [file for file in files if (model_folder(file.parent) / CONFIG).is_file()]
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
