"""`python -m eval MODEL --data DATA`: measure any causal language model in Hugging Face form.

In: a model folder (or name), and a folder whose config.yaml says what the people are: a data set of
`python -m biogen`, or a run of `capacity.run`. Out: the record that a run's result.json holds, on the terminal.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, ValidationError

from basis.flags import UserError, explain, parse, read_yaml, run_main
from basis.program import called_as
from biogen.config import DataConfig, Frozen
from biogen.dataset import make_dataset
from eval.hf import HuggingFaceModel, count_parameters, load
from eval.measure import measure_copies
from eval.quantizers.schemes import SchemeText
from eval.source import OtherTokens


class Options(Frozen):
    """What to measure, and how."""

    model: str
    """A model in Hugging Face form: a folder, or a name. May also stand first, without the flag."""
    data: Path
    """A folder with a config.yaml that describes the people."""
    quantize: tuple[SchemeText, ...] = ()
    """Quantized copies to measure, too: [rtn|gptq|module:Name]-FORMAT[-gGROUP][+embedding], such as gptq-int4."""
    people: int = Field(50_000, ge=2)
    """People measured at most."""
    device: str = "cpu"
    """Where to compute, such as cpu or cuda."""


def read_data(folder: Path) -> DataConfig:
    """The data of a folder's config.yaml. Raises UserError."""
    if not (folder / "config.yaml").is_file():
        raise UserError([f"data: {folder} has no config.yaml; must be a data set of biogen or a run of capacity.run"])
    content = read_yaml(folder / "config.yaml")
    if not isinstance(content.get("data"), dict):
        raise UserError([f"data: {folder / 'config.yaml'} has no key data; must describe the people under it"])
    try:
        return DataConfig.model_validate(content["data"])
    except ValidationError as error:
        raise UserError([f"{folder / 'config.yaml'}: {line}" for line in explain(error, DataConfig)]) from None


def read_device(name: str) -> torch.device:
    """A device of this machine. Raises UserError."""
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError):  # torch without CUDA asserts
        raise UserError([f"device: {name!r} is not here; must be cpu, or cuda or mps where there is one"]) from None


def evaluate(options: Options) -> list[dict[str, Any]]:
    """One record for the model and one for each quantized copy. Raises UserError."""
    data = read_data(options.data)
    device = read_device(options.device)
    try:
        model, tokenizer = load(options.model)
        source = OtherTokens(make_dataset(data), tokenizer)
        used = len(source.tokens_in_use())
        model.to(device)
        parameters = count_parameters(model, used)
        records = measure_copies(
            model,
            lambda copy: HuggingFaceModel(copy, device),
            source,
            parameters,
            schemes=options.quantize,
            people=options.people,
            tokens_in_use=used,
        )
    except (ValueError, RuntimeError) as error:
        raise UserError([" ".join(str(error).split())]) from None
    return [{"params": parameters, **record} for record in records]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print JSON. Raises UserError for mistakes."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and not given[0].startswith("-"):
        given.insert(0, "--model")
    options = parse(
        Options,
        given,
        program=f"{called_as('eval')} MODEL",
        description="Measure the knowledge of a causal language model in bits per parameter.",
    )
    records = evaluate(options)
    print(json.dumps(records, indent=1))
    if records[0]["bits"] == 0:
        print("R = 0: nothing is known of these people; are they those that the model was trained on?", file=sys.stderr)
    return 0


if __name__ == "__main__":
    run_main(main)
