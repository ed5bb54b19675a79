"""The plan of a sweep as a table: what `--dry-run` prints."""

from rich.console import Console
from rich.table import Table

from capacity.runner.estimate import UTILISATION, SpeedEstimate
from capacity.spec.plan import GPU_UTILISATION, Plan

_GROUPS = ("embedding", "head"), ("attention",), ("mlp",), ("norm",)
"""Groups of parameters that share a column."""


def show_plans(plans: list[Plan], workers: int, console: Console) -> None:
    """Print what `--dry-run` promises."""
    table = Table(title=f"{len(plans)} runs, {workers} side by side")
    for heading in ("size", "data", "params"):
        table.add_column(heading, no_wrap=True)
    for heading in (
        "embedding",
        "attention",
        "MLP",
        "norms",
        "weights",
        "V",
        "tokens",
        "steps",
        "FLOPs",
        "GPU h",
        "disk",
        "R max",
        "time",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    speed = SpeedEstimate()
    seconds = [speed.seconds(plan) for plan in plans]
    for plan, time_needed in zip(plans, seconds, strict=True):
        data = plan.config.data
        junk = f" junk {data.junk}" if data.junk else ""
        table.add_row(
            plan.config.size,
            f"{data.dataset} N={_short(data.people)} ×{plan.config.exposures}{junk}",
            _short(plan.parameters),
            *(_short(sum(plan.params.get(part, 0) for part in group)) for group in _GROUPS),
            _short(plan.weights),
            f"{plan.vocab:,}",
            _short(plan.tokens),
            _short(plan.steps),
            f"{plan.flops:.1e}",
            _hours(plan.gpu_hours),
            _bytes(plan.disk),
            f"{plan.r_max:.2f}",
            _duration(time_needed),
        )
    table.caption = (
        "weights: those of the matrices inside the layers; V: tokens in use; R max: the most bits per parameter that "
        "the data can teach. Time: training alone on one core of this machine, from a few timed steps (large models: "
        f"from {UTILISATION:.0%} of its matrix rate); to start and to measure, each run takes some seconds more. "
        f"All runs: about {_duration(_makespan(seconds, workers))} here; {sum(p.flops for p in plans):.1e} FLOPs, or "
        f"{_hours(sum(p.gpu_hours for p in plans))} hours of an H100 at {GPU_UTILISATION:.0%} of its bf16 rate; "
        f"at most {_bytes(_disk(plans, workers))} of disk, checkpoints included."
    )
    console.print(table)


def _disk(plans: list[Plan], workers: int) -> int:
    """Bytes at most: all models, and the checkpoints of those under way."""
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
    return f"{hours:.2g}" if hours < 99.5 else f"{hours:,.0f}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 2 * 86400 else f"{seconds / 86400:.0f} d"
