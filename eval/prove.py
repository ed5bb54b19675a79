"""`python -m eval.prove RUN`: prove what a model knows by decoding: every name and value, with the model alone.

In: a run, or any model that `python -m eval` takes, and its people. Out: `people.code`, an arithmetic code of their
names and values under the model's probabilities, and `proof.json`. Another process reads the code with the model, the
configuration and the pools; all fields are compared.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import eval
from basis.files import UserPath, replace_file
from basis.flags import UserError, parse, run_main
from basis.folders import hash_files, refuse_links
from basis.program import called_as
from basis.reading import parse_json, read_file
from biogen.config import EVALUATION
from biogen.population import measured_people
from eval.checks import check_recall
from eval.decode import MOST_CODE, Model, form_texts, with_model
from eval.hf import load
from eval.measuring import make_readable, read_data
from eval.proof.blanked import Blanked, Person
from eval.proof.code import Written, write
from eval.proof.exact import Exact
from eval.proof.packed import use_weights
from eval.proof.record import compare, make_proof
from eval.recall import recall_people
from eval.source import Source

CODE, PROOF = "people.code", "proof.json"


class Options(Model):
    """The model to prove, and where the code goes."""

    out: UserPath | None = None
    """The folder of the code and the record (default: RUN/proof, RUN/proof-int8; of other models ./proof)."""


def prove(options: Options) -> dict[str, Any]:
    """Decode the code in another process, compare all fields, write the code and the record, and return the record.

    Raises ValueError for what cannot be proved, such as a model that has changed since its run, and RuntimeError if a
    field differs; then nothing is written.
    """
    from eval.__main__ import changes_of, read_device

    out = _out(options)
    if changed := changes_of(options.folder):
        raise ValueError(f"model: {changed[0]} is not the file that result.json is about; it has changed since")
    refuse_links(out, CODE, PROOF)
    config = read_data(options.described)
    device = read_device(options.device)
    model, tokenizer = load(str(options.folder))
    use_weights(model, options.folder, options.weights)
    readable = make_readable(model, tokenizer, config, options.described)
    dataset, blanked = readable.source.dataset, form_texts(config, tokenizer)
    everyone = measured_people(config, config.people)
    recall = recall_people(readable.read(model), readable.source, everyone, EVALUATION)
    check_recall(recall, dataset)
    written = write_people(blanked, Exact(model, device, options.batch), readable.source)
    expected: list[Person] = dataset.describe(everyone)
    _refuse_differences(compare(written.people, expected))
    with TemporaryDirectory() as folder:
        code = Path(folder) / CODE
        code.write_bytes(written.content())
        wrong = compare(read_along_elsewhere(options, code), expected)
    _refuse_differences(wrong)
    proof = make_proof(written, recall, dataset, readable.parameters)
    fields = sum(map(len, written.people))
    files = hash_files(options.folder, "config.json", "model.safetensors", "int8.safetensors")
    proof |= {"fields": fields, "fields_wrong": len(wrong), "weights": options.weights, "files": files}
    out.mkdir(parents=True, exist_ok=True)
    replace_file(out / CODE, written.content())
    replace_file(out / PROOF, (json.dumps(proof, indent=1) + "\n").encode())
    return proof


def write_people(blanked: Blanked, exact: Exact, source: Source) -> Written:
    """The code of the people of a source, over the texts that are measured."""
    texts = source.texts(np.arange(len(blanked)), EVALUATION)
    return write(blanked, exact, [part.astype(np.int64) for part in np.split(texts.tokens, texts.offsets[1:-1])])


def read_along_elsewhere(options: Model, code: Path) -> list[Person]:
    """The people that another process reads from a code. Raises RuntimeError if it reads none."""
    home = str(Path(eval.__path__[0]).resolve().parent)
    path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
    with TemporaryDirectory() as folder:
        people = Path(folder) / "people.jsonl"
        given: dict[str, Any] = {
            "model": options.folder,
            "data": options.described,
            "weights": options.weights,
            "code": code,
            "batch": options.batch,
            "device": options.device,
            "out": people,
        }
        flags = [word for name, value in given.items() for word in (f"--{name}", str(value))]
        command = [sys.executable, "-m", "eval.decode", *flags]
        done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the other process failed: {' '.join(done.stderr.split())[-500:]}")
        return [parse_json(line) for line in read_file(people, MOST_CODE).splitlines()]


def _out(options: Options) -> Path:
    if options.out is not None:
        return options.out
    name = "proof" if options.weights == "float32" else f"proof-{options.weights}"
    of_run = options.folder.name == "model" and options.folder.parent == options.described
    return options.folder.parent / name if of_run else Path(name)


def _refuse_differences(lines: Sequence[str]) -> None:
    if lines:
        more = f" (and {len(lines) - 1:,} others)" if len(lines) > 1 else ""
        raise RuntimeError(f"not proved: {lines[0]}{more}")


def told(proof: dict[str, Any]) -> str:
    """A proof in words."""
    sets = f" + {proof['bits_value_set']:,.0f} of sets" if proof["bits_value_set"] else ""
    return "\n".join(
        [
            f"{proof['fields']:,} fields of {proof['people']:,} people, {proof['fields_wrong']:,} of them wrong.",
            f"code       {proof['code_bits']:>12,} bits = names {proof['code_bits_name']:,} + values "
            f"{proof['code_bits_value']:,}",
            f"estimator  {proof['estimated_bits']:>12,.0f} bits = names {proof['estimated_bits_name']:,.0f} + values "
            f"{proof['estimated_bits_value']:,.0f}; the code is {proof['difference']:+.3%}",
            f"known      {proof['bits']:>12,.0f} bits = names {proof['bits_name']:,.0f} + values "
            f"{proof['bits_value']:,.0f}{sets}",
            f"R          {proof['bits_per_param']:>12.4f} by the code, {proof['bits_per_param_estimated']:.4f} by the "
            f"estimator, of {proof['max_bits_per_param']:.4f}; {proof['params']:,} parameters, {proof['weights']}",
            f"names      {proof['set_bits_known']:>12,.0f} bits known as a set, of {proof['set_bits']:,.0f} = "
            "log2 of the number of sets",
            f"rounding   {proof['ambiguous_roundings']:>12,} ambiguous logits, {proof['tokens_coded']:,} tokens",
            f"sha256     {proof['sha256']}",
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    """Prove and print; the exit code is 1 if a field differs. Raises UserError for mistakes."""
    options = parse(
        Options,
        with_model(list(sys.argv[1:] if arguments is None else arguments)),
        program=f"{called_as('eval.prove')} RUN",
        description="Prove what a model knows: encode all names and values with it, and decode them again.",
    )
    try:
        proof = prove(options)
    except ValueError as error:
        raise UserError(str(error).splitlines()) from None
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        raise UserError([f"out: {error.filename} cannot be written ({error.strerror})"]) from None
    print(told(proof))
    return 0


if __name__ == "__main__":
    run_main(main)
