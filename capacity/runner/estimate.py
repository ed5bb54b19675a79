"""Estimates how long a training takes on this machine, from a few timed steps or from the matrix rate."""

import time
from dataclasses import dataclass

import numpy as np
import torch

from capacity.spec.build import build_model
from capacity.spec.plan import Plan
from capacity.spec.recipes import settings_of
from train.loop import Trainer

_TRIAL_FLOPS = 3e10
"""A training step that costs more is not timed."""
UTILISATION = 0.5
"""Assumed share of the measured matrix rate for models too large to time."""


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
