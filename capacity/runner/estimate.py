"""Estimates of a training on this machine: its time, from a few steps or the matrix rate, and its memory."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from capacity.spec.build import build_model
from capacity.spec.config import ArchitectureOptions
from capacity.spec.plan import Plan
from capacity.spec.recipes import settings_of
from train.architectures.causal_lm import outline
from train.loop import Trainer
from train.native.library import instruction_set
from train.sizes import parse_size

_TRIAL_FLOPS = 3e10
"""A training step that costs more is not timed."""
_CGROUP = Path("/sys/fs/cgroup")
UTILISATION = 0.5
"""Assumed share of the measured matrix rate for models too large to time."""


def least_memory(plan: Plan) -> int:
    """Bytes that a training on a CPU takes at least: weights with gradients and moments, and attention.

    For the backward pass the kernels keep the probabilities [time, time] of every head in every layer.
    """
    training, state = plan.config.training, 16 * plan.parameters
    pytorch = training.kernels == "pytorch" or instruction_set() is None
    maps = 0 if pytorch else _attention_maps(plan.config.model.model_dump_json(), plan.config.size)
    time = training.context if training.layout == "packed" else round(plan.text_tokens)
    return state + 4 * maps * time**2


@cache
def _attention_maps(architecture: str, size: str) -> int:
    """How many matrices [time, time] the kernels hold; 0 for a model that they cannot train."""
    options = ArchitectureOptions.model_validate_json(architecture)
    form = outline(options.architecture, parse_size(size), 16, options.options).kernel_form()
    return form.layers * form.heads + 1 if form is not None else 0


def memory_here() -> int:
    """Bytes of memory that this process and its children may use: the machine's, or less by a limit."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in ("memory.max", "memory/memory.limit_in_bytes"):  # of a container
        with suppress(OSError, ValueError):  # ValueError: there is no limit
            limits.append(int((_CGROUP / file).read_text()))
    return min(limits)


def lack_of_memory(plans: Sequence[Plan], workers: int) -> str | None:
    """A sentence if the largest runs, as many as there are workers, need more memory than there is; not on GPUs."""
    needs = sorted(map(least_memory, plans))[-workers:]
    if sum(needs) <= memory_here() or torch.cuda.is_available():
        return None
    one, together, here = (f"{number / 1e9:.3g} GB" for number in (needs[-1], sum(needs), memory_here()))
    all_of = f", {len(needs)} side by side {together}" if len(needs) > 1 else ""
    return (
        f"The largest run needs at least {one} of memory{all_of}; this machine has {here}. "
        "A shorter --context, fewer --workers or --kernels pytorch may help."
    )


class SpeedEstimate:
    """Seconds per token on one core of this machine: timed where that is quick, else from the matrix rate."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, int, int], float] = {}
        self._rate: float | None = None

    def seconds(self, plan: Plan) -> float:
        """Estimated training time of a run on one core, without data and evaluation."""
        training = plan.config.training
        length = training.context if training.layout == "packed" else round(plan.text_tokens)
        rows = max(1, min(training.batch, 4096 // length))
        key = (plan.config.size, plan.config.model.model_dump_json(), plan.vocab, rows * length)
        if key not in self._known:
            self._known[key] = self._try(plan, rows, length)
        return plan.tokens * self._known[key]

    def _try(self, plan: Plan, rows: int, length: int) -> float:
        flops = plan.flops / plan.tokens
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            if flops * rows * length > _TRIAL_FLOPS:
                return flops / (UTILISATION * self._matrix_rate())
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
    model = build_model(plan.config, plan.vocab)
    model.initialize("width", 0)
    training = plan.config.training.model_copy(update={"compile": "off", "precision": "auto", "kernels": "auto"})
    settings = settings_of(training, 1, form=model.kernel_form(), on_gpu=False)
    trainer = Trainer(model, settings, torch.device("cpu"))
    tokens = np.random.default_rng(0).integers(0, plan.vocab, (rows, length), dtype=np.int32)
    times = []
    for _ in range(4):
        start = time.perf_counter()
        trainer.step(_Trial(tokens, tokens))
        times.append(time.perf_counter() - start)
    return min(times)
