"""The card of a shared model: what it is, what it stores, what it says, and where that comes from.

In: a run, what transformers says for it, and names of its data set and figure. Out: Markdown, with the fields of the
hub in its head. Every number is that of the run's record; what a store holds is quoted, never markup.
"""

import re
from dataclasses import dataclass
from typing import Any

import pandas as pd
import yaml

from basis.text import printable, short
from biogen.datasets import title_of
from capacity.report.markdown import table
from capacity.report.marked import marked_text
from capacity.report.page.again import command
from capacity.share.shared_run import SharedRun
from capacity.store.options import options_of
from capacity.store.record import is_number
from capacity.store.trained import seen

_PAPER = '"Physics of Language Models: Part 3.3, Knowledge Capacity Scaling Laws" (arXiv 2404.05405)'
_LICENSE = "apache-2.0"
_PEOPLE = 3
"""People whose texts the card shows."""
TOKENS = 12
"""New tokens of the example."""
_FACTS = {
    "params": "P, parameters",
    "people": "N, people",
    "exposures": "exposures: texts about each person",
    "bits": "bits stored",
    "max_bits_per_param": "R max: bits per parameter of a model that knows everything",
    "loss_name": "loss_name: nats of a name",
    "loss_value": "loss_value: nats of values",
    "question_accuracy_trained": "questions answered, people asked about in training",
    "question_accuracy_held_out": "questions answered, other people",
    "heldout_loss": "loss of held-out text, nats a token",
    "heldout_entropy": "the least that it can be",
}
"""Numbers of the model as trained, by column."""
_COPIES = {
    "bits_per_param": "R",
    "bits_per_stored_bit": "bits per stored bit",
    "qa_accuracy": "accuracy: values completed exactly",
}
"""Numbers of the model and its quantized copies, by column."""


@dataclass(frozen=True)
class Example:
    """A prompt, and what transformers makes of it."""

    prompt: str
    said: str


def prompt_of(run: SharedRun) -> str:
    """The text that the example begins with: a question or the beginning of a text, about a person drawn at random."""
    completed = run.trained.complete(1)[0]
    if question := run.trained.dataset.example_question(completed.person):
        return run.trained.ask(question).prompt
    return completed.text[: completed.values[0].start].rstrip()


def model_card(
    run: SharedRun,
    *,
    where: str,
    data: str | None = None,
    link: str | None = None,
    figure: str | None = None,
    example: Example | None = None,
) -> str:
    """The card.

    where: what `from_pretrained` takes. data: the data set's name on the hub, if it is there; link: where its card is.
    figure: the name of a file beside the card.
    """
    parts = [
        _head(run, data),
        f"# {_title(run)}\n\n{_answer(run)}\n",
        f"![R and accuracy against exposures, while it was trained]({figure})\n" if figure else "",
        _use(where, example),
        _people(run),
        _numbers(run),
        _origin(run, link),
    ]
    return "\n".join(part for part in parts if part)


def _row(run: SharedRun) -> dict[str, Any]:
    """The row of the model as trained."""
    return next(row for row in run.result["rows"] if row["quantization"] == "none")


def _title(run: SharedRun) -> str:
    row = _row(run)
    return f"A model of {row['params']:,} parameters that saw {seen(run.config)} ({title_of(run.config.data.dataset)})"


def _answer(run: SharedRun) -> str:
    row = _row(run)
    known = f"It stores **{row['bits_per_param']:.2f} bits of knowledge per parameter**"
    ends = [row.get(f"bits_per_param_{end}") for end in ("low", "high")]
    interval = "" if None in ends else f" (95 % interval over people: {ends[0]:.2f} to {ends[1]:.2f})"
    return (
        f"{known}{interval}.\nIts people don't exist.\nTheir names and values were drawn uniformly, so that the "
        f"information in its texts is known exactly,\nafter Allen-Zhu and Li, {_PAPER}.\n"
        "It is only useful for studying what models store."
    )


def _head(run: SharedRun, data: str | None) -> str:
    row = _row(run)
    head: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "license": _LICENSE,
        "tags": ["knowledge-capacity", "synthetic"],
        **({"datasets": [data]} if data else {}),
    }
    metrics = [
        {"type": name, "name": title, "value": row[name]}
        for name, title in _COPIES.items()
        if row.get(name) is not None and name != "bits_per_stored_bit"
    ]
    if metrics:
        of = {"type": data or run.config.data.dataset, "name": title_of(run.config.data.dataset)}
        result = {"task": {"type": "text-generation"}, "dataset": of, "metrics": metrics}
        head["model-index"] = [{"name": run.name, "results": [result]}]
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True).strip()}\n---\n"


def _use(where: str, example: Example | None) -> str:
    if example is None:
        return ""
    code = f"""from transformers import AutoModelForCausalLM, AutoTokenizer

name = {where!r}
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name)
prompt = {example.prompt!r}
inputs = tokenizer(prompt, return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs, max_new_tokens={TOKENS}, do_sample=False)[0]))
"""
    return (
        f"## Ask it\n\n{_quoted(code, 'python')}\nThis prints:\n\n{_quoted(example.said)}\n"
        "A text begins with the end token, which also stands between people.\n"
        "Where the name is that of a folder, run this in the folder that holds it.\n"
        "`capacity ask` of the package knowledge-capacity says which of its answers are right.\n"
    )


def _people(run: SharedRun) -> str:
    count = min(_PEOPLE, run.config.data.people)
    texts = "\n\n".join(marked_text(text).plain for text in run.trained.complete(count))
    return (
        "## What it knows of some people\n\nThey were drawn at random.\nIn brackets: what the model completes from the "
        f"right text before (✓ right, ✗ wrong).\n\n{_quoted(texts)}"
    )


def _numbers(run: SharedRun) -> str:
    row = _row(run)
    shown = [name for name in _FACTS if row.get(name) is not None and _is_of_the_model(name, run)]
    facts = [(_FACTS[name], _figures(row[name])) for name in shown]
    copies = [
        {
            "weights": "as trained" if one["quantization"] == "none" else f"`{_plain(one['quantization'])}`",
            **{title: _figures(one.get(name)) for name, title in _COPIES.items()},
        }
        for one in run.result["rows"]
    ]
    return (
        f"## Numbers\n\n{table(pd.DataFrame(copies).dropna(axis=1, how='all'))}\n"
        f"{table(pd.DataFrame(facts, columns=['as trained', 'value']))}"
    )


def _is_of_the_model(name: str, run: SharedRun) -> bool:
    """Whether a number says what its title says: of the shared model, not of adapters, and of equal people."""
    if name.startswith("question_"):
        return run.config.data.questions == "half"
    return name != "exposures" or run.config.data.population == "fixed"


def _origin(run: SharedRun, link: str | None) -> str:
    options = [
        (f"`{_plain(name)}`", f"`{_plain(value)}`")
        for name, value in options_of(run.result).items()
        if value is not None
    ]
    made = [(f"`{_plain(name)}`", f"`{_plain(value)}`") for name, value in run.result["provenance"].items()]
    texts = f"Its texts: [the data set]({link}).\n" if link else ""
    return (
        f"## Where it comes from\n\n{texts}This trains it again:\n\n{_quoted(command(run.result), 'sh')}\n"
        "`config.yaml` has every option that is not at its default, and `result.json` the record of the run.\n"
        "`capacity eval FOLDER --data FOLDER` measures it again from a copy of this folder.\n\n"
        f"{table(pd.DataFrame(options, columns=['option', 'value']))}\n"
        f"{table(pd.DataFrame(made, columns=['made by', 'value']))}"
    )


def _figures(value: Any) -> str | None:
    return (
        None
        if not is_number(value)
        else f"{value:,}"
        if isinstance(value, int)
        else f"{value:,.0f}"
        if value >= 1e4
        else f"{value:.4g}"
    )


def _plain(value: Any) -> str:
    """A value that cannot end the code that it stands in."""
    return short(printable(value), 300).replace("`", "'")


def _quoted(text: str, language: str = "text") -> str:
    """A block of code, whatever the text holds."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.strip()}\n{fence}\n"
