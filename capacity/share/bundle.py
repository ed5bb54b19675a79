"""Folders to share, of runs and of their data sets: everything that their cards promise.

In: finished runs. Out, in a folder: for each run a folder of its id, which `from_pretrained` loads and `capacity ask`
reads, and for each of their data sets a folder as `biogen` writes it.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from basis.files import replace_file
from basis.folders import hash_files, refuse_links
from basis.reading import read_json
from biogen.config import DataConfig
from biogen.folder import write_dataset
from biogen.lm_eval import beginning
from capacity.report.figures.runs import draw_all
from capacity.report.figures.style import Print, printed
from capacity.share.card import TOKENS, Example, model_card, prompt_of
from capacity.share.shared_run import SharedRun
from capacity.store.records import load
from eval.quiet import no_progress_bars, quiet

CARD, FIGURE = "README.md", "learning_curves.png"
_MOST_ROWS = 20_000
_MOST_OF_ONE = 100
"""Texts of a data set that is shared, at most, and of each person, but at least one a person."""
_MOST_PEOPLE = 200_000
"""People of a data set that is shared, or their fixed texts; of more, config.yaml alone makes the texts."""


@dataclass(frozen=True)
class Places:
    """What things are called where they are shared."""

    model: Callable[[str], str]
    """What `from_pretrained` takes, by the id of a run."""
    data: Callable[[str], str | None]
    """The name of a data set on the hub; None if it isn't there."""
    link: Callable[[str], str]
    """Where the card of a data set is."""


IN_FOLDER = Places(model=str, data=lambda name: None, link=lambda name: f"../{name}/{CARD}")
"""Side by side in a folder; the models are loaded from the folder that holds them."""


@dataclass(frozen=True)
class Made:
    """A folder that was made."""

    name: str
    folder: Path
    kind: Literal["model", "dataset"]


def make_folders(runs: Sequence[SharedRun], home: Path, places: Places = IN_FOLDER) -> list[Made]:
    """Make the folders of runs and of their data sets in `home`; those of an earlier call are replaced.

    Raises ValueError for links in `home` that lead out of it, and for a folder there that holds anything else.
    """
    names = {data_name(run.config.data): None for run in runs if _is_small(run)} | {run.name: None for run in runs}
    for run in runs:
        if home.resolve().is_relative_to(run.folder.path.resolve()):
            raise ValueError(f"to: {home} lies in the folder of a run that is shared; give another folder")
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"to: {home} cannot be made ({error.strerror}); give another folder") from None
    for name in names:
        refuse_links(home, name)
        _check_ours(home / name)
    made: list[Made] = []
    with TemporaryDirectory(dir=home, prefix=".") as temporary:
        for run in runs:
            name = data_name(run.config.data)
            if _is_small(run) and name not in [one.name for one in made]:
                write_dataset(run.config.data, _texts(run), Path(temporary, name))
                made.append(Made(name, home / name, "dataset"))
            _write_run(run, Path(temporary, run.name), places)
            made.append(Made(run.name, home / run.name, "model"))
        for one in made:
            _check_nothing_else(one.folder, Path(temporary, one.name))
        for one in made:
            if one.folder.exists():
                os.rename(one.folder, Path(temporary, f"{one.name}.old"))
            os.rename(Path(temporary, one.name), one.folder)
    return made


def data_name(config: DataConfig) -> str:
    """The name of the folder of a data set: readable words, then a hash of its options."""
    content = json.dumps(config.model_dump(mode="json"), sort_keys=True)
    kind = re.sub("[^A-Za-z0-9_]+", "-", config.dataset)
    return f"{kind}-n{config.people}-data-{hashlib.sha256(content.encode()).hexdigest()[:10]}"


def _is_small(run: SharedRun) -> bool:
    """Whether the texts of a run are written beside it."""
    return run.config.data.people * (run.trained.dataset.texts or 1) <= _MOST_PEOPLE


def _texts(run: SharedRun) -> int | None:
    """Texts a person in the data set; None where each has a fixed number of texts."""
    config = run.config.data
    if run.trained.dataset.texts:
        return None
    return 1 if config.population != "fixed" else max(1, min(_MOST_OF_ONE, _MOST_ROWS // config.people))


def _check_ours(folder: Path) -> None:
    """See that a folder is what an earlier call made, or none."""
    if not folder.exists() or ((folder / CARD).is_file() and (folder / "config.yaml").is_file()):
        return
    raise ValueError(f"to: {folder} is not a shared folder; remove it, or give another folder")


def _check_nothing_else(old: Path, new: Path) -> None:
    """See that nothing is lost if one folder takes the other's place."""
    there = {path.name for path in old.iterdir()} if old.exists() else set()
    if more := sorted(there - {path.name for path in new.iterdir()}):
        raise ValueError(f"to: {old / more[0]} is not of what is shared; move it away, or give another folder")


def _write_run(run: SharedRun, folder: Path, places: Places) -> None:
    """The folder of a run: model, tokenizer, configuration, record, figure and card."""
    folder.mkdir()
    for file in run.model_files:
        shutil.copyfile(run.folder.model / file, folder / file)  # anybody may read the copies
    shutil.copyfile(run.folder.config, folder / run.folder.config.name)
    hashes = {"files": hash_files(folder, *run.model_files)}
    record = read_json(run.folder.result) | hashes
    replace_file(folder / run.folder.result.name, (json.dumps(record, indent=1) + "\n").encode())
    prompt, name = beginning(run.trained.dataset) + prompt_of(run), data_name(run.config.data)
    card = model_card(
        run,
        where=places.model(run.name),
        data=places.data(name) if _is_small(run) else None,
        link=places.link(name) if _is_small(run) else None,
        figure=_draw(run, folder),
        example=_ask(folder, prompt),
    )
    (folder / CARD).write_text(card, encoding="utf-8")


def _draw(run: SharedRun, folder: Path) -> str | None:
    """The name of the figure in the folder; None if nothing was measured while the run was trained."""
    store = run.folder.path.parent
    frame = load(store)
    with printed(Print(("png",))), TemporaryDirectory() as temporary:
        drawn = draw_all(frame[frame["run_id"] == run.name], Path(temporary), [store], ["learning_curves"])
        if drawn:
            shutil.copyfile(drawn[0], folder / FIGURE)
    return FIGURE if drawn else None


def _ask(folder: Path, prompt: str) -> Example:
    """The example of a card, as transformers alone makes it from the folder."""
    with quiet():  # slow to import, which sets its loggers as they were
        from transformers import AutoModelForCausalLM, AutoTokenizer
    with quiet(), no_progress_bars():
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder)
        inputs = tokenizer(prompt, return_tensors="pt")
        said = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
    return Example(prompt, tokenizer.decode(said[0]))
