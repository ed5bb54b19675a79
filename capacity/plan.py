"""The plan of a sweep: what every run would be and cost, before anything is spent.

In: a `Preset`. Out: one `Plan` a run, and a table of them. Mistakes in any combination surface here, together.
"""

import time
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
import torch
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from biogen.config import DataConfig
from biogen.corpus import Corpus, make_corpus, mean_length
from biogen.flags import UserError, explain
from biogen.windows import Batches
from capacity.config import MeasureOptions, Preset, RunConfig, TrainingOptions
from capacity.recipes import resolve, settings_of
from capacity.worker import pick_device
from eval.measure import max_bits
from eval.quantize import parse_scheme
from train.checkpoint import KEPT
from train.loop import Trainer
from train.model import GPT, flops_per_token, initialize, non_embedding, parameter_counts
from train.sizes import Size, parse_size

_TRIAL_FLOPS = 3e10
"""A training step that costs more is not tried out for the estimate of time."""
_UTILISATION = 0.5
"""Share of the measured matrix rate that a model too large to try out is taken to reach."""
_GPU_RATE, _GPU_UTILISATION = 989e12, 0.17
"""Dense bf16 FLOP/s of an H100 SXM by its data sheet, and the share of it that 12-12 reached (docs/performance.md)."""


@dataclass(frozen=True)
class Plan:
    """One run, foreseen."""

    config: RunConfig
    params: dict[str, int]
    """Trainable parameters by group."""
    tokens: int
    """Tokens to train on, expected."""
    flops: int
    """Of training: forward and backward."""
    max_bits: float
    vocab: int
    text_tokens: float
    steps: int

    @property
    def parameters(self) -> int:
        """All trainable parameters."""
        return sum(self.params.values())

    @property
    def r_max(self) -> float:
        """R of a model that has learned everything: the most bits per parameter that the data can teach."""
        return self.max_bits / self.parameters

    @property
    def gpu_hours(self) -> float:
        """Of training, on a GPU that reaches the share of an H100's rate that was measured for 12-12."""
        return self.flops / (_GPU_RATE * _GPU_UTILISATION) / 3600

    @property
    def disk(self) -> int:
        """Bytes at most: the model, and two checkpoints with two moments a weight, all fp32, and one being written."""
        return 4 * self.parameters * (1 + 3 * (KEPT + 1))


def make_plans(preset: Preset) -> list[Plan]:
    """Every run of a preset, each once. Raises UserError with all mistakes."""
    plans: dict[str, Plan] = {}
    mistakes: list[str] = []
    ratios: list[float] = []
    low, high = preset.r_max or (0.0, float("inf"))
    cached = cache(_corpus_like)
    if not preset.dry_run:
        mistakes += _device_mistakes(preset.device, preset.processes, preset.engine)
    for one in _each(preset):
        try:
            mistakes += _group_mistakes(one)
            ((size, exposures, data),) = one.combinations()
            plan = _plan(preset, parse_size(size), exposures, data, *cached(_without_people(data)))
            ratios.append(plan.r_max)
            if low <= plan.r_max <= high:
                plans[plan.config.run_id] = plan
        except ValueError as error:
            mistakes += explain(error, DataConfig) if isinstance(error, ValidationError) else str(error).splitlines()
    if not plans and not mistakes:
        below, above = [R for R in ratios if low > R], [R for R in ratios if high < R]
        found = [f"at most {max(below):.3g}"] if below else []
        found += [f"at least {min(above):.3g}"] if above else []
        why = f"leaves no run, as R max is {' or '.join(found)}"
        mistakes.append(f"r_max: {preset.r_max} {why}; widen it, or choose other sizes or people")
    if mistakes:
        raise UserError(list(dict.fromkeys(mistakes)))
    return list(plans.values())


def _each(preset: Preset) -> Iterator[Preset]:
    """A preset for each combination of the lists, so that one mistake hides no other."""
    lists = ("sizes", "people", "exposures", "junk", "seeds")
    for values in product(*(getattr(preset, name) for name in lists)):
        yield preset.model_copy(update={name: (value,) for name, value in zip(lists, values, strict=True)})


def _device_mistakes(device: str, processes: int, engine: str) -> list[str]:
    """A device that this machine lacks; a dry run may plan for one."""
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if here.get(device, True):
        on_gpus = engine == "local" and device in ("auto", "cuda") and here["cuda"]
        if on_gpus and processes > (count := torch.cuda.device_count()):
            return [f"processes: {processes} is not allowed; this machine has {count} GPUs"]
        return []
    allowed = ", ".join(["auto", "cpu", *(name for name in here if here[name])])
    return [f"device: {device!r} is not on this machine; must be one of {allowed}"]


def _group_mistakes(preset: Preset) -> list[str]:
    return [
        f"quantize: {scheme} is not allowed at size {size}; groups must divide its width"
        for size in preset.sizes
        for scheme in preset.quantize
        if parse_size(size).width % (parse_scheme(scheme).group or 1)
    ]


def _without_people(data: DataConfig) -> str:
    """What decides vocabulary and text lengths of BioS; bioD is cheap to make and depends on its people."""
    if data.dataset == "biod":
        return data.model_dump_json()
    return data.model_copy(update={"people": min(1000, data.names), "seed": 0, "junk": 0}).model_dump_json()


def _corpus_like(data: str) -> tuple[Corpus, float]:
    """A corpus, and the mean tokens of its texts: of a sample that is the same in every sweep, as recipes follow it."""
    corpus = make_corpus(DataConfig.model_validate_json(data))
    return corpus, mean_length(corpus)


def _plan(preset: Preset, size: Size, exposures: int, data: DataConfig, like: Corpus, text_tokens: float) -> Plan:
    options = TrainingOptions(**preset.part(TrainingOptions))
    config = RunConfig(
        size=str(size),
        exposures=exposures,
        data=data,
        training=resolve(options, size=size, data=data, exposures=exposures, text_tokens=text_tokens),
        measure=MeasureOptions(**preset.part(MeasureOptions)),
    )
    if not preset.dry_run:  # refuses kernels that this machine lacks
        on_gpu = pick_device(preset.device).type == "cuda"
        settings_of(config.training, exposures, width=size.width, on_gpu=on_gpu, processes=preset.processes)
    vocab = like.tokenizer.vocab
    corpus = copy(like)
    corpus.config = data  # the same texts about other people
    batches = Batches(
        corpus,
        layout=config.training.layout,
        context=config.training.context,
        batch=config.training.batch,
        exposures=exposures,
    )
    tokens = batches.expected_tokens()
    packed = config.training.layout == "packed"
    context = config.training.context if packed else round(mean_length(corpus))
    return Plan(
        config=config,
        params=parameter_counts(size, vocab),
        tokens=tokens,
        flops=tokens * flops_per_token(size, vocab, context),
        max_bits=max_bits(corpus).total,
        vocab=vocab,
        text_tokens=text_tokens,
        steps=batches.expected_steps(),
    )


class SpeedEstimate:
    """Seconds a token on this machine's CPU, one core: tried out where that is quick, else from the matrix rate."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, int], float] = {}
        self._rate: float | None = None

    def seconds(self, plan: Plan) -> float:
        """Estimated time of a run's training, one core, data and evaluation left out."""
        training = plan.config.training
        length = training.context if training.layout == "packed" else round(plan.text_tokens)
        rows = max(1, min(training.batch, 4096 // length))
        key = (plan.config.size, plan.vocab, rows * length)
        if key not in self._known:
            self._known[key] = self._try(plan, rows, length)
        return plan.tokens * self._known[key]

    def _try(self, plan: Plan, rows: int, length: int) -> float:
        flops = plan.flops / plan.tokens
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            if flops * rows * length > _TRIAL_FLOPS:
                return flops / (_UTILISATION * self._matrix_rate())
            return _time_step(plan, rows, length) / (rows * length)
        finally:
            torch.set_num_threads(threads)

    def _matrix_rate(self) -> float:
        if self._rate is None:
            matrix = torch.randn(1024, 1024)
            matrix @ matrix
            start = time.perf_counter()
            for _ in range(5):
                matrix @ matrix
            self._rate = 5 * 2 * 1024**3 / (time.perf_counter() - start)
        return self._rate


@dataclass(frozen=True)
class _Trial:
    inputs: np.ndarray
    targets: np.ndarray
    exposures: float = 0.0


def _time_step(plan: Plan, rows: int, length: int) -> float:
    """The faster of a few training steps on random tokens, in seconds."""
    model = GPT(parse_size(plan.config.size), plan.vocab)
    initialize(model, "width", 0)
    training = plan.config.training.model_copy(update={"compile": "off", "precision": "auto", "kernels": "auto"})
    trainer = Trainer(model, settings_of(training, 1, width=model.size.width, on_gpu=False), torch.device("cpu"))
    tokens = np.random.default_rng(0).integers(0, plan.vocab, (rows, length), dtype=np.int32)
    times = []
    for _ in range(4):
        start = time.perf_counter()
        trainer.step(_Trial(tokens, tokens))
        times.append(time.perf_counter() - start)
    return min(times)


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
        "12LW²",
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
            *(_short(plan.params[group]) for group in ("embedding", "attention", "mlp", "norm")),
            _short(non_embedding(parse_size(plan.config.size))),
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
        "12LW²: weights of L layers of width W; V: tokens in use; R max: the most bits per parameter that the data can "
        "teach. Time: training alone on one core of this machine, from a few timed steps (large models: from "
        f"{_UTILISATION:.0%} of its matrix rate); to start and to measure, each run takes some seconds more. "
        f"All runs: about {_duration(_makespan(seconds, workers))} here; {sum(p.flops for p in plans):.1e} FLOPs, or "
        f"{_hours(sum(p.gpu_hours for p in plans))} hours of an H100 at {_GPU_UTILISATION:.0%} of its bf16 rate; "
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
