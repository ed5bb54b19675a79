"""The plan of a sweep as tables of 80 columns: what `--dry-run` prints."""

from collections.abc import Sequence

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from basis.text import printable
from biogen.datasets import title_of
from biogen.entropy import Entropy
from capacity.laws.groups import kinds, label
from capacity.runner.estimate import UTILISATION, SpeedEstimate, lack_of_memory
from capacity.spec.identity import stored
from capacity.spec.plan import GPU_UTILISATION, Plan
from capacity.store.folders import count_runs
from capacity.store.options import OPTIONS, options_of

_GROUPS = {"embedding": ("embedding", "head"), "attention": ("attention",), "MLP": ("mlp",), "norms": ("norm",)}
"""Columns of the models, and the groups of parameters in each."""
_CHUNKS = {"_first": "first chunks", "_rest": "later chunks"}
"""What roles with such ends are called together."""


def show_plans(plans: list[Plan], workers: int, console: Console) -> None:
    """Print the plan: each run and its cost, each model, what papers would count, and the total cost."""
    speed = SpeedEstimate()
    seconds = [speed.seconds(plan) for plan in plans]
    console.print(_runs(plans, seconds, workers))
    console.print(_models(plans))
    console.print(_counts(plans))
    if (least := _least_losses(plans)) is not None:
        console.print(least)
        console.print(
            "Least loss: of a model that knows everybody (nobody where all are new), and everything about all; other: "
            "sentences and their order.",
            highlight=False,
        )
    console.print(
        "P: parameters; R max: the most bits per parameter that the data can teach; V: tokens in use; disk: at most, "
        "with checkpoints. Time: training alone on one core of "
        f"this machine, from a few timed steps (large models: from {UTILISATION:.0%} of its matrix rate); to start "
        "and to measure, each run takes some seconds more. N: parameters without embeddings, biases and norms; 6N "
        "leaves attention and the output head out, Chinchilla's count has the embedding as a product and the softmax "
        "besides.",
        highlight=False,
    )
    console.print(
        f"All runs: about {_duration(_makespan(seconds, workers))} here; {sum(p.flops for p in plans):.1e} FLOPs, or "
        f"{_hours(sum(p.gpu_hours for p in plans))} hours of an H100 at {GPU_UTILISATION:.0%} of its bf16 rate; "
        f"at most {_bytes(_disk(plans, workers))} of disk.",
        highlight=False,
    )
    if (lack := lack_of_memory(plans, workers)) is not None:
        console.print(lack, highlight=False)


def _runs(plans: Sequence[Plan], seconds: Sequence[float], workers: int) -> Table:
    """A line for each run: its data, what else differs between runs, and its cost."""
    table = _table(f"{count_runs(len(plans))}, {workers} side by side", ("size", "runs"))
    for heading in ("P", "R max", "tokens", "steps", "FLOPs", "time"):
        table.add_column(heading, justify="right", no_wrap=True)
    for plan, name, time_needed in zip(plans, _names(plans), seconds, strict=True):
        table.add_row(
            plan.config.size,
            Text(printable(f"N={_short(plan.config.data.people)} ×{plan.exposures:.3g}{name}")),  # no markup
            _short(plan.parameters),
            f"{plan.r_max:.2f}" if plan.max_bits else "-",
            _short(plan.tokens),
            _short(plan.steps),
            f"{plan.flops:.1e}",
            _duration(time_needed),
        )
    return table


def _names(plans: Sequence[Plan]) -> list[str]:
    """The options that tell runs apart, without size, people and exposures."""
    frame = pd.DataFrame([options_of({"config": stored(plan.config)}) for plan in plans])
    several_seeds = frame["seed"].nunique() > 1
    names = [name for name in kinds(frame, OPTIONS) if name not in ("exposures", "budget")] + ["seed"] * several_seeds
    return [f" {label({name: row[name] for name in names})}" if names else "" for row in frame.to_dict("records")]


def _models(plans: Sequence[Plan]) -> Table:
    """A line for each model: its parameters by group; a group of an architecture's own has a column of its own."""
    table = _table("Models", ("size",))
    known = {part for group in _GROUPS.values() for part in group}
    groups = _GROUPS | {part: (part,) for plan in plans for part in plan.params if part not in known}
    for heading in ("P", *groups, "V", "disk"):
        table.add_column(heading, justify="right", no_wrap=True)
    lines = {
        (
            plan.config.size,
            _short(plan.parameters),
            *(_short(sum(plan.params.get(part, 0) for part in group)) for group in groups.values()),
            f"{plan.vocab:,}",
            _bytes(plan.disk),
        ): None
        for plan in plans
    }
    for line in lines:
        table.add_row(*line)
    return table


def _counts(plans: Sequence[Plan]) -> Table:
    """A line for each model and length of window: what Kaplan, this project and Chinchilla count."""
    table = _table("FLOPs to train on a token, as three count them", ("size",))
    for heading in ("Kaplan's N", "Kaplan: 6N", "here, as PaLM", "Chinchilla"):
        table.add_column(heading, justify="right", no_wrap=True)
    for size, counts in dict.fromkeys((plan.config.size, plan.counts) for plan in plans):
        flops = (counts.kaplan_flops, counts.flops, counts.chinchilla_flops)
        table.add_row(size, _short(counts.kaplan_parameters), *map(_short, flops))
    return table


def _least_losses(plans: Sequence[Plan]) -> Table | None:
    """The lines of each world without end: its roles that cost anything, and all together; None if there is none."""
    worlds = {(_world(plan), *plan.entropy.nats.items()): plan.entropy for plan in plans if plan.entropy is not None}
    if not worlds:
        return None
    table = _table("Least loss of the texts, in nats", ("world", "role"))
    for heading in ("a text", "tokens", "a token"):
        table.add_column(heading, justify="right", no_wrap=True)
    for (name, *_), least in worlds.items():
        for role, (nats, tokens) in (_by_kind(least) | {"all": (least.text, sum(least.tokens.values()))}).items():
            table.add_row(str(name), role, f"{nats:.3f}", f"{tokens:.1f}", f"{nats / tokens:.3f}")
            name = ""
    return table


def _world(plan: Plan) -> str:
    """A world in words, as far as a sweep usually varies it."""
    data = plan.config.data
    who = "new people" if data.population == "fresh" else f"N={_short(data.people)}, s={data.zipf:g}"
    return printable(f"{title_of(data.dataset)}, {who}")


def _by_kind(least: Entropy) -> dict[str, tuple[float, float]]:
    """Nats and tokens of a text by role, of those that cost anything; all attributes' chunks together."""
    kinds: dict[str, tuple[float, float]] = {}
    for role, nats in least.nats.items():
        if nats:
            name = next((name for end, name in _CHUNKS.items() if role.endswith(end)), role.replace("_", " "))
            before = kinds.get(name, (0.0, 0.0))
            kinds[name] = before[0] + nats, before[1] + least.tokens[role]
    return kinds


def _table(title: str, left: Sequence[str]) -> Table:
    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for heading in left:
        table.add_column(heading)
    return table


def _disk(plans: list[Plan], workers: int) -> int:
    """Most bytes: all models, and the checkpoints of the runs under way."""
    models = sum(4 * plan.parameters for plan in plans)
    return models + sum(sorted(plan.disk - 4 * plan.parameters for plan in plans)[-workers:])


def _bytes(number: int) -> str:
    return _short(number).replace("B", "G") + "B"


def _makespan(seconds: list[float], workers: int) -> float:
    """When the last worker ends if the longest runs start first."""
    loads = [0.0] * workers
    for run in sorted(seconds, reverse=True):
        loads[loads.index(min(loads))] += run
    return max(loads)


def _short(number: int | float) -> str:
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.0f}"


def _hours(hours: float) -> str:
    if hours < 0.01:
        return "less than 0.01"
    return f"{hours:.2g}" if hours < 99.5 else f"{hours:,.0f}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 2 * 86400 else f"{seconds / 86400:.0f} d"
