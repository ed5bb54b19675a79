"""The plan of a sweep: what every run would be and cost, before anything is spent.

In: a `Preset`. Out: one `Plan` for each run, and what is left out. All mistakes are listed together.
"""

from collections.abc import Collection
from copy import copy
from dataclasses import dataclass, field
from functools import cache

import torch
from pydantic import ValidationError

from basis.flags import UserError, explain
from biogen.config import DataConfig
from biogen.dataset import Dataset, make_dataset, mean_length
from biogen.datasets import DATASETS
from biogen.entropy import Entropy, entropy
from biogen.idle import has_no_effect, is_off
from capacity.spec.build import build_batches, counts_per_token
from capacity.spec.config import NAMED, ArchitectureOptions, MeasureOptions, RunConfig, RunOptions, TrainingOptions
from capacity.spec.identity import normal, run_id
from capacity.spec.idle import Given
from capacity.spec.preset import Preset
from capacity.spec.recipes import resolve, settings_of, tokens_an_exposure
from eval.heldout import check_heldout
from eval.lora import check_peft
from eval.quantizers import QUANTIZERS
from eval.quantizers.schemes import parse_scheme
from train.architectures.causal_lm import CausalLM, changed_options, outline, takes
from train.checkpoint import KEPT
from train.counts import Counts
from train.devices import pick_device
from train.sizes import parse_size

GPU_RATE, GPU_UTILISATION = 989e12, 0.17
"""Dense bf16 FLOP/s of an H100 SXM by its data sheet, and the share of it that 12-12 reached (docs/performance.md)."""


_EXPOSURES = 100
"""Exposures where neither they nor tokens are given."""


@dataclass(frozen=True)
class Plan:
    """One run before it is done: its configuration and its cost."""

    config: RunConfig
    params: dict[str, int]
    """Trainable parameters by group."""
    counts: Counts
    """Parameters and FLOPs a token as several papers count them."""
    tokens: int
    """Expected number of training tokens."""
    exposures: float
    """How often every person is seen; where tokens are given, about how often."""
    max_bits: float
    vocab: int
    text_tokens: float
    steps: int
    entropy: Entropy | None = None
    """The least loss of a text, in worlds without end."""

    @property
    def run_id(self) -> str:
        """The name of its folder."""
        return run_id(self.config)

    @property
    def parameters(self) -> int:
        """All trainable parameters."""
        return sum(self.params.values())

    @property
    def flops(self) -> int:
        """Floating-point operations of the training, forward and backward."""
        return self.tokens * self.counts.flops

    @property
    def r_max(self) -> float:
        """R of a model that has learned everything: the most bits per parameter that the data can teach."""
        return self.max_bits / self.parameters

    @property
    def gpu_hours(self) -> float:
        """Hours of training on an H100, at the share of its rate that was measured for 12-12."""
        return self.flops / (GPU_RATE * GPU_UTILISATION) / 3600

    @property
    def disk(self) -> int:
        """Most bytes: the model, two checkpoints with two moments for each weight, all fp32, and one being written."""
        return 4 * self.parameters * (1 + 3 * (KEPT + 1))


@dataclass(frozen=True)
class Sweep:
    """The runs of a preset."""

    plans: list[Plan]
    """Every run once, in the order of the axes."""
    outside: int = 0
    """Combinations that r_max leaves out."""
    impossible: dict[str, int] = field(default_factory=dict)
    """The number of impossible combinations by reason."""


def make_plans(preset: Preset) -> list[Plan]:
    """Every run of a preset, each once. Raises UserError as `make_sweep` does."""
    return make_sweep(preset).plans


def make_sweep(preset: Preset, given: Collection[str] = ()) -> Sweep:
    """Plan every combination of a preset's axes.

    An impossible combination is left out if each of its values is part of a possible one; a value that is part of
    none is a mistake, and so is an option that applies to none if it is in `given`, those that a user gave by hand.
    Raises UserError with all mistakes.
    """
    mistakes = _device_mistakes(preset) + _engine_mistakes(preset, given) + _quantizer_mistakes(preset)
    plans: dict[str, Plan] = {}
    ratios: list[float] = []
    low, high = preset.r_max or (0.0, float("inf"))
    planner = _Planner(preset)
    by_hand = Given({name: values for name, values in preset.axes().items() if name in given})
    varied = preset.varied()
    useful: set[tuple[str, str]] = set()
    failed: list[tuple[list[tuple[str, str]], list[str]]] = []
    outside = 0
    for combination in preset.combinations():
        values = [(name, repr(combination[name])) for name in varied]
        try:
            plan = planner.plan(preset.options(combination))
        except ValueError as error:
            wrong = isinstance(error, ValidationError)
            failed.append((values, explain(error, RunOptions) if wrong else str(error).splitlines()))  # type: ignore[arg-type]
            continue
        by_hand.see(plan.config)
        useful |= set(values)
        ratios.append(plan.r_max)
        if low <= plan.r_max <= high:
            plans.setdefault(plan.run_id, plan)
        else:
            outside += 1
    fatal = [lines for values, lines in failed if not varied or not useful or any(one not in useful for one in values)]
    mistakes += [line for lines in fatal for line in lines] + by_hand.without_effect()
    if not plans and not mistakes:
        mistakes.append(_nothing_left(preset, ratios))
    if mistakes:
        raise UserError(list(dict.fromkeys(mistakes)))
    impossible: dict[str, int] = {}
    for _, lines in failed:
        reason = "; ".join(lines)
        impossible[reason] = impossible.get(reason, 0) + 1
    return Sweep(list(plans.values()), outside, impossible)


def _nothing_left(preset: Preset, ratios: list[float]) -> str:
    """Why r_max leaves no run."""
    low, high = preset.r_max or (0.0, float("inf"))
    below, above = [R for R in ratios if low > R], [R for R in ratios if high < R]
    found = [f"at most {max(below):.3g}"] if below else []
    found += [f"at least {min(above):.3g}"] if above else []
    why = f"leaves no run, as R max is {' or '.join(found)}"
    return f"r_max: {preset.r_max} {why}; widen it, or choose other sizes or people"


def _device_mistakes(preset: Preset) -> list[str]:
    """A line for a device that this machine lacks; a dry run may plan for one."""
    if preset.dry_run:
        return []
    device, processes = preset.device, preset.processes
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if here.get(device, True):
        on_gpus = preset.engine == "local" and device in ("auto", "cuda") and here["cuda"]
        if on_gpus and processes > (count := torch.cuda.device_count()):
            return [f"processes: {processes} is not allowed; this machine has {count} GPUs"]
        return []
    allowed = ", ".join(["auto", "cpu", *(name for name in here if here[name])])
    return [f"device: {device!r} is not on this machine; must be one of {allowed}"]


def _engine_mistakes(preset: Preset, given: Collection[str]) -> list[str]:
    """A line for each option of Ray's that was given for another engine."""
    idle = {} if preset.engine == "ray" else {name: getattr(preset, name) for name in ("ray_address", "gpus")}
    return [
        has_no_effect(name, value, "engine ray") for name, value in idle.items() if name in given and not is_off(value)
    ]


def _quantizer_mistakes(preset: Preset) -> list[str]:
    """A line for each quantizer of a user's own that cannot be imported."""
    lines = []
    for method in dict.fromkeys(parse_scheme(scheme).method for scheme in preset.quantize):
        try:
            QUANTIZERS[method]
        except ValueError as error:
            lines.append(str(error))
    return lines


class _Planner:
    """Plans runs; data sets and models that several runs share are made once."""

    def __init__(self, preset: Preset) -> None:
        self._preset = preset
        self._dataset = cache(_dataset_like)
        self._outline = cache(_outline)
        self._entropies: dict[str, Entropy | None] = {}

    def plan(self, options: RunOptions) -> Plan:
        """Plan one run. Raises ValueError for one that cannot be."""
        size = parse_size(options.size)
        for scheme in options.quantize:
            if size.width % (parse_scheme(scheme).group or 1):
                raise ValueError(f"quantize: {scheme} is not allowed at size {size}; groups must divide its width")
        data = DataConfig(**options.part(DataConfig))
        if data.questions == "lora":
            check_peft()
        like, text_tokens = self._dataset(DATASETS[data.dataset].stand_in(data).model_dump_json())
        architecture = _applicable(ArchitectureOptions(**options.part(ArchitectureOptions)), self._preset.architecture)
        vocab = like.tokenizer.vocab
        model = self._outline(architecture.model_dump_json(), options.size, vocab)
        weights = model.non_embedding
        exposures = options.exposures or _EXPOSURES
        often = float(exposures) if options.budget is None else options.budget / tokens_an_exposure(data, text_tokens)
        training = resolve(
            TrainingOptions(**options.part(TrainingOptions)),
            size=size, weights=weights, data=data, text_tokens=text_tokens, exposures=often,
        )  # fmt: skip
        config = normal(
            RunConfig(
                size=options.size,
                exposures=exposures if options.budget is None else None,
                budget=options.budget,
                data=data,
                model=_changed(architecture),
                training=training,
                measure=MeasureOptions(**options.part(MeasureOptions)),
            )
        )
        if not self._preset.dry_run:  # refuses kernels that this machine lacks
            on_gpu = pick_device(self._preset.device).type == "cuda"
            processes = self._preset.processes
            settings_of(training, 1, form=model.kernel_form(), on_gpu=on_gpu, processes=processes)
        dataset = copy(like)
        dataset.config = data  # its texts have the same tokens and lengths
        batches = build_batches(dataset, config)
        if asked := config.measure.heldout_tokens:
            check_heldout(dataset, layout=training.layout, context=training.context, tokens=asked)
        tokens = batches.expected_tokens()
        return Plan(
            config=config,
            params=model.parameter_counts(),
            counts=counts_per_token(model, training, dataset),
            tokens=tokens,
            exposures=batches.expected_exposures,
            max_bits=dataset.max_bits().total,
            vocab=vocab,
            text_tokens=text_tokens,
            steps=batches.expected_steps(),
            entropy=self._entropy(data.model_dump_json(), dataset) if data.population != "fixed" else None,
        )

    def _entropy(self, data: str, dataset: Dataset) -> Entropy | None:
        """The least loss of a text, computed once for each configuration of the data."""
        if data not in self._entropies:
            self._entropies[data] = entropy(dataset)
        return self._entropies[data]


def _dataset_like(data: str) -> tuple[Dataset, float]:
    """A data set and the mean tokens of its texts, from a sample that is the same in every sweep, as recipes use it."""
    dataset = make_dataset(DataConfig.model_validate_json(data))
    return dataset, mean_length(dataset)


def _outline(architecture: str, size: str, vocab: int) -> CausalLM:
    """A model without memory for its parameters."""
    options = ArchitectureOptions.model_validate_json(architecture)
    return outline(options.architecture, parse_size(size), vocab, options.options)


def _applicable(options: ArchitectureOptions, swept: Collection[str]) -> ArchitectureOptions:
    """The same architecture, without options that it does not take and another architecture of the sweep does."""
    idle = {
        name
        for name in options.options
        if not takes(options.architecture, name) and any(takes(other, name) for other in swept)
    }
    named = {name: None if name in idle else getattr(options, name) for name in NAMED}
    own = {name: value for name, value in options.architecture_options.items() if name not in idle}
    return ArchitectureOptions(architecture=options.architecture, **named, architecture_options=own)


def _changed(options: ArchitectureOptions) -> ArchitectureOptions:
    """The same architecture, without options that are at its defaults."""
    changed = changed_options(options.architecture, options.options)
    named = {name: changed.pop(name, None) for name in NAMED}
    return ArchitectureOptions(architecture=options.architecture, **named, architecture_options=changed)
