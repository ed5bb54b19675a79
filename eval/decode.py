"""`python -m eval.decode RUN --code FILE`: read people from the code of `python -m eval.prove`.

In: a code, the model that it was written with, and a folder whose config.yaml says how many people there are and what
their texts look like. Out: a line of JSON for each person. The people themselves cannot be drawn in this process.
"""

import json
import sys
from pathlib import Path

import numpy as np
from pydantic import Field

from basis.files import UserPath, named_path, replace_file
from basis.flags import UserError, parse, run_main
from basis.program import called_as
from basis.reading import read_file
from basis.streams import lost_output
from biogen.config import EVALUATION, DataConfig, Frozen
from biogen.datasets import DATASETS
from biogen.rng import hidden_people
from eval.__main__ import read_device
from eval.hf import load
from eval.measuring import read_data
from eval.proof.blanked import Blanked, Person
from eval.proof.code import BLOCK, read
from eval.proof.exact import Exact
from eval.proof.packed import Weights, use_weights

MOST_CODE = 1 << 32
"""Bytes of a code, at most."""


class Model(Frozen):
    """A model and its people."""

    model: str
    """A run's folder, or a model in Hugging Face form; may also be given first, without the flag."""
    data: UserPath | None = None
    """A folder with a config.yaml that describes the people (default: the run's)."""
    weights: Weights = "float32"
    """The weights of model.safetensors, or those of int8.safetensors (`capacity publish --weights`)."""
    batch: int = Field(BLOCK, ge=1)
    """Texts that the model reads at a time; the code does not depend on it."""
    device: str = "cpu"
    """Where to compute, such as cpu or cuda."""

    @property
    def folder(self) -> Path:
        """The folder of the model itself, or its name on the hub."""
        given = named_path("model", self.model)
        return given / "model" if (given / "model" / "config.json").is_file() else given

    @property
    def described(self) -> Path:
        """The folder that describes the people. Raises ValueError if none is given."""
        if self.data is not None:
            return self.data
        if self.folder.parent.joinpath("config.yaml").is_file() and self.folder.name == "model":
            return self.folder.parent
        raise ValueError("data: is required; must be a folder with a config.yaml, unless the model is that of a run")


class Options(Model):
    """The code to read."""

    code: UserPath
    """The file that `python -m eval.prove` wrote."""
    out: UserPath | None = None
    """A file for the people (default: standard output)."""


def form_texts(config: DataConfig, tokenizer: object) -> Blanked:
    """The texts that are measured, with blanks. Raises ValueError for data that cannot be decoded."""
    if config.population != "fixed":
        raise ValueError(f"population: {config.population} is not allowed; must be fixed: each of N people once")
    form = DATASETS[config.dataset].form(config, np.arange(config.people), EVALUATION)
    return Blanked(form, tokenizer)


def decode(options: Options) -> list[Person]:
    """The people of a code. Raises ValueError."""
    with hidden_people():
        config, device = read_data(options.described), read_device(options.device)
        content = read_code(options.code)
        model, tokenizer = load(str(options.folder))
        use_weights(model, options.folder, options.weights)
        return read(form_texts(config, tokenizer), Exact(model, device, options.batch), content)


def read_code(path: Path) -> bytes:
    """The content of a code. Raises ValueError."""
    try:
        return read_file(path, MOST_CODE)
    except OSError as error:
        raise ValueError(f"code: {path} cannot be read ({error.strerror})") from None


def with_model(arguments: list[str]) -> list[str]:
    """A first word that is no flag is the model."""
    return ["--model", *arguments] if arguments and not arguments[0].startswith("-") else arguments


def main(arguments: list[str] | None = None) -> int:
    """Decode and print; the exit code is 1 if a full disk lost what was printed. Raises UserError for mistakes."""
    options = parse(
        Options,
        with_model(list(sys.argv[1:] if arguments is None else arguments)),
        program=f"{called_as('eval.decode')} MODEL",
        description="Read people from the code that eval.prove wrote.",
    )
    try:
        lines = "".join(f"{json.dumps(person, ensure_ascii=False)}\n" for person in decode(options))
    except ValueError as error:
        raise UserError(str(error).splitlines()) from None
    if options.out is None:
        print(lines, end="")
        return 1 if lost_output() else 0
    try:
        replace_file(options.out, lines.encode())
    except OSError as error:
        raise UserError([f"out: {error.filename} cannot be written ({error.strerror})"]) from None
    return 0


if __name__ == "__main__":
    run_main(main)
