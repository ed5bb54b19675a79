"""`python -m eval MODEL --data DATA`: measure any causal language model in Hugging Face form.

In: a model folder (or name), and a folder whose config.yaml says what the people are: a data set of
`python -m biogen`, or a run of `capacity.run`. Out: on standard output, as JSON, the records that a run's result.json
holds; on standard error, a table of them. A terminal shows both; a pipe or a file gets only the JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from basis.files import UserPath, named_path
from basis.flags import UserError, parse, run_main
from basis.folders import changed_files
from basis.program import called_as
from basis.reading import read_json
from basis.streams import lost_output
from biogen.config import Frozen
from biogen.population import MOST_MEASURED
from eval.hf import load
from eval.measuring import measure, read_data
from eval.quantizers.schemes import SchemeText


class Options(Frozen):
    """The model to measure, the people, and how."""

    model: str
    """A model in Hugging Face form: a folder or a name; may also be given first, without the flag."""
    data: UserPath
    """A folder with a config.yaml that describes the people."""
    quantize: tuple[SchemeText, ...] = ()
    """Quantized copies to measure, too: [rtn|gptq|module:Name]-FORMAT[-gGROUP][+embedding][+temperature]."""
    people: int = Field(MOST_MEASURED, ge=2)
    """Largest number of people measured."""
    device: str = "cpu"
    """Where to compute, such as cpu or cuda."""


def read_device(name: str) -> torch.device:
    """A device of this machine. Raises ValueError."""
    try:
        device = torch.empty(0, device=name).device
        if device.type != "meta":  # which computes nothing
            return device
    except (RuntimeError, AssertionError):  # torch without CUDA asserts
        pass
    raise ValueError(f"device: {name!r} is not here; must be cpu, or cuda or mps where there is one")


def evaluate(options: Options) -> list[dict[str, Any]]:
    """One record for the model and one for each quantized copy. Raises UserError."""
    try:
        read_data(options.data)  # a mistake here is told before a model is loaded
        device = read_device(options.device)
        model, tokenizer = load(options.model)
        return measure(model.to(device), tokenizer, options.data, quantize=options.quantize, people=options.people)
    except ValueError as error:
        raise UserError(str(error).splitlines()) from None
    except RuntimeError as error:  # such as a lack of memory
        raise UserError([" ".join(str(error).split())]) from None


def changes_of(model: Path) -> list[str]:
    """The files of a run's model that are not those of its result.json; none for a model that is not in a run's folder.

    A result of an earlier version does not say which files it is about.
    """
    try:
        files = read_json(model.parent / "result.json")["files"]
        ours = {name: wanted for name, wanted in files.items() if name.startswith(f"{model.name}/")}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []
    return changed_files(model.parent, ours)


def make_table(records: list[dict[str, Any]]) -> Table:
    """A line for the model and one for each quantized copy."""
    table = Table(
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        caption_justify="left",
        caption=f"R = bits of knowledge per parameter, of {records[0]['params']:,} parameters, with its 95 % interval; "
        f"R max is all that there is to know. Losses in nats, over {records[0]['people_measured']:,} people.",
    )
    table.add_column("quantization", no_wrap=True)
    for heading in ("R", "interval", "R max", "loss\nname", "loss\nvalue", "values\nright", "bits of\nweights"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in records:
        low, high = row.get("bits_per_param_low"), row.get("bits_per_param_high")
        table.add_row(
            row["quantization"],
            f"{row['bits_per_param']:.3f}",
            "-" if low is None else f"{low:.3f}–{high:.3f}",
            f"{row['max_bits_per_param']:.3f}",
            f"{row['loss_name']:.2f}",
            f"{row['loss_value']:.2f}",
            f"{row['qa_accuracy']:.0%}",
            f"{row['stored_bits']:,}",
        )
    return table


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; the exit code is 1 if a full disk lost what was printed. Raises UserError for mistakes."""
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
    lost = lost_output()
    Console(stderr=True).print(make_table(records))
    for name in changes_of(named_path("model", options.model).absolute()):
        print(f"warning: {name} is not the file that result.json is about; it has changed since", file=sys.stderr)
    if records[0]["bits"] == 0:
        print("R = 0: nothing is known of these people; are they those that the model was trained on?", file=sys.stderr)
    return 1 if lost else 0


if __name__ == "__main__":
    run_main(main)
