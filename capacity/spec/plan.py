"""The plan of a sweep: what every run would be and cost, before anything is spent.

In: a `Preset`. Out: one `Plan` a run. Mistakes in any combination surface here, together.
"""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from functools import cache
from itertools import product

import torch
from pydantic import ValidationError

from basis.flags import UserError, explain
from biogen.config import DataConfig
from biogen.dataset import Dataset, make_dataset, mean_length
from biogen.datasets import DATASETS
from biogen.windows import Batches
from capacity.spec.config import ArchitectureOptions, MeasureOptions, Preset, RunConfig, TrainingOptions
from capacity.spec.recipes import resolve, settings_of
from eval.quantizers import QUANTIZERS
from eval.quantizers.schemes import parse_scheme
from train.architectures.causal_lm import changed_options, outline
from train.checkpoint import KEPT
from train.devices import pick_device
from train.sizes import Size, parse_size

GPU_RATE, GPU_UTILISATION = 989e12, 0.17
"""Dense bf16 FLOP/s of an H100 SXM by its data sheet, and the share of it that 12-12 reached (docs/performance.md)."""


@dataclass(frozen=True)
class Plan:
    """One run, foreseen."""

    config: RunConfig
    params: dict[str, int]
    """Trainable parameters by group."""
    weights: int
    """Those of the matrices inside the blocks, without biases."""
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
        return self.flops / (GPU_RATE * GPU_UTILISATION) / 3600

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
    cached = cache(_dataset_like)
    if not preset.dry_run:
        mistakes += _device_mistakes(preset.device, preset.processes, preset.engine)
    for one in _each(preset):
        try:
            mistakes += _quantizer_mistakes(one)
            ((size, exposures, data),) = one.combinations()
            stand_in = DATASETS[data.dataset].stand_in(data).model_dump_json()
            plan = _plan(preset, parse_size(size), exposures, data, *cached(stand_in))
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


def _quantizer_mistakes(preset: Preset) -> list[str]:
    """Quantizers of a user's own that cannot be imported, and groups that fit no matrix."""
    lines = []
    for method in dict.fromkeys(parse_scheme(scheme).method for scheme in preset.quantize):
        try:
            QUANTIZERS[method]
        except ValueError as error:
            lines.append(str(error))
    return lines + [
        f"quantize: {scheme} is not allowed at size {size}; groups must divide its width"
        for size in preset.sizes
        for scheme in preset.quantize
        if parse_size(size).width % (parse_scheme(scheme).group or 1)
    ]


def _dataset_like(data: str) -> tuple[Dataset, float]:
    """A data set, and the mean tokens of its texts: a sample that is the same in every sweep, as recipes follow it."""
    dataset = make_dataset(DataConfig.model_validate_json(data))
    return dataset, mean_length(dataset)


def _plan(preset: Preset, size: Size, exposures: int, data: DataConfig, like: Dataset, text_tokens: float) -> Plan:
    options = TrainingOptions(**preset.part(TrainingOptions))
    vocab = like.tokenizer.vocab
    model = outline(preset.architecture, size, vocab, preset.options)
    weights = model.non_embedding
    config = RunConfig(
        size=str(size),
        exposures=exposures,
        data=data,
        model=_changed(preset),
        training=resolve(options, size=size, weights=weights, data=data, exposures=exposures, text_tokens=text_tokens),
        measure=MeasureOptions(**preset.part(MeasureOptions)),
    )
    if not preset.dry_run:  # refuses kernels that this machine lacks
        on_gpu = pick_device(preset.device).type == "cuda"
        form = model.kernel_form()
        settings_of(config.training, exposures, form=form, on_gpu=on_gpu, processes=preset.processes)
    dataset = copy(like)
    dataset.config = data  # the same texts about other people
    batches = Batches(
        dataset,
        layout=config.training.layout,
        context=config.training.context,
        batch=config.training.batch,
        exposures=exposures,
    )
    tokens = batches.expected_tokens()
    packed = config.training.layout == "packed"
    context = config.training.context if packed else round(mean_length(dataset))
    return Plan(
        config=config,
        params=model.parameter_counts(),
        weights=weights,
        tokens=tokens,
        flops=tokens * model.flops_per_token(context),
        max_bits=dataset.max_bits().total,
        vocab=vocab,
        text_tokens=text_tokens,
        steps=batches.expected_steps(),
    )


def _changed(preset: Preset) -> ArchitectureOptions:
    """The architecture of a preset, without options that are at its defaults."""
    changed = changed_options(preset.architecture, preset.options)
    named = {name: changed.pop(name) for name in ("mlp", "tied") if name in changed}
    return ArchitectureOptions(architecture=preset.architecture, **named, architecture_options=changed or None)
