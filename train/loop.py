"""The training loop: a model and batches of windows come in, a trained model and metrics go out.

Exposures are the unit of progress: each batch says how many are done after it, and the learning rate follows them.
Where a number of tokens is set, tokens are the unit, and the training ends with them. The loop waits for a GPU only
when it writes a metric.
"""

import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from train.architectures.causal_lm import CausalLM
from train.head import IGNORE, chunk_for, linear_cross_entropy
from train.native.library import library
from train.native.update import NativeUpdate
from train.optimizers import OPTIMIZERS
from train.ranks import ALONE, Ranks
from train.schedules import left_of_peak
from train.settings import Settings

_AHEAD = 4
"""Batches made ahead of the training."""
_MICRO_TOKENS = 1 << 16
"""A larger batch is split into parts whose gradients are summed, to fit into GPU memory (not tried on a GPU)."""

EXPLODED = 10.0
"""A mean loss this many times that of a uniform guess ends a training, as it would not recover."""


@runtime_checkable  # so that the tests can check annotations
class WindowBatch(Protocol):
    """A batch as the loop reads it: arrays [batch, time] of tokens and targets (IGNORE: none), and exposures."""

    @property
    def inputs(self) -> np.ndarray: ...  # noqa: D102
    @property
    def targets(self) -> np.ndarray: ...  # noqa: D102
    @property
    def exposures(self) -> float: ...  # noqa: D102


@runtime_checkable  # so that the tests can check annotations
class BatchSource(Protocol):
    """Batches that can be continued from a state."""

    def __iter__(self) -> Iterator[WindowBatch]: ...
    def state(self) -> dict[str, np.ndarray]: ...  # noqa: D102
    def restore(self, state: dict[str, np.ndarray]) -> object: ...  # noqa: D102


class Diverged(RuntimeError):
    """The loss is no longer a finite number, or far above that of a guess."""


@dataclass
class Since:
    """The steps since the last record, and the sum of their losses, kept on the device to avoid a GPU sync."""

    steps: int = 0
    loss: Tensor | float = 0.0


def read_progress(state: object) -> tuple[int, int, float, Since]:
    """Steps, tokens, exposures and the losses since the last record, from `Trainer.state`. Raises ValueError."""
    match state:
        case {
            "steps": int(steps),
            "tokens": int(tokens),
            "exposures": int() | float() as exposures,
            "loss_since": [int(since), int() | float() as loss],
        } if all(0 <= number < 1 << 62 for number in (steps, tokens, exposures, since)) and abs(loss) < math.inf:
            return steps, tokens, float(exposures), Since(since, float(loss))
    raise ValueError(f"training: {state!r:.200} is not allowed; must be finite steps, tokens, exposures and loss_since")


def learning_rate(settings: Settings, step: int, exposures: float) -> float:
    """The share of the peak: linear warm-up over steps (from 0), then the schedule's over exposures to `final_lr`."""
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    left = left_of_peak(settings.schedule, exposures / settings.exposures, settings.decay_share)
    return warm * (settings.final_lr + (1 - settings.final_lr) * left)


def make_optimizers(model: CausalLM, settings: Settings) -> list[torch.optim.Optimizer]:
    """Optimizers that together hold every parameter of `model` once; `group["initial_lr"]` is each group's peak.

    Raises ValueError for an optimizer that leaves a parameter out, holds one twice, or cannot do what is asked.
    """
    kind = OPTIMIZERS[settings.optimizer]
    if settings.native and not kind.native:
        raise ValueError(f"optimizer: {settings.optimizer!r} is not allowed with native kernels; they lack its step")
    if settings.native:
        _spare_the_compiler()
    optimizers = kind.make(model.parameter_groups(), settings)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    held = [id(parameter) for group in groups for parameter in group["params"]]
    if sorted(held) != sorted(map(id, model.parameters())):
        raise ValueError(f"optimizer: {settings.optimizer!r} does not hold every parameter once")
    for group in groups:
        group["initial_lr"] = group["lr"]
    return optimizers


def _spare_the_compiler() -> None:
    """Have optimizers made without PyTorch's compiler, which takes two seconds to import.

    PyTorch (torch/_compile.py) imports it to keep it away from some methods; where kernels train, nothing is compiled.
    """
    for method in vars(torch.optim.Optimizer).values():
        if (function := getattr(method, "__wrapped__", None)) is not None:
            function.__dynamo_disable = function


class Trainer:
    """A model in training, one step at a time."""

    def __init__(self, model: CausalLM, settings: Settings, device: torch.device, ranks: Ranks = ALONE) -> None:
        self.model, self.settings, self.device, self.ranks = model.to(device), settings, device, ranks
        self.optimizers = make_optimizers(self.model, settings)
        self.steps = 0
        self.tokens = 0
        self.exposures = 0.0
        self.since = Since()
        self._parameters = list(model.parameters())
        self._total_loss = ranks.wrap(_TotalLoss(self.model, settings, device), device)
        kernels = library(settings.bf16) if settings.native else None
        self._native = NativeUpdate(model, self.optimizers, settings.clip, kernels) if kernels else None

    def state(self) -> dict[str, Any]:
        """The progress in numbers; with the tensors and the batches' state it decides how the training continues."""
        counts = {"steps": self.steps, "tokens": self.tokens, "exposures": self.exposures}
        return counts | {"loss_since": [self.since.steps, float(self.since.loss)]}

    def restore(self, state: object) -> None:
        """Continue where `state` was taken. Raises ValueError for anything that is no such state."""
        self.steps, self.tokens, self.exposures, self.since = read_progress(state)

    @property
    def lr(self) -> float:
        """Learning rate of the blocks' matrices in the next step."""
        return self.settings.lr * self._share_of_peak()

    @property
    def trained(self) -> bool:
        """Whether all tokens have been predicted; False where exposures end the training."""
        return self.settings.tokens is not None and self.tokens >= self.settings.tokens

    def _share_of_peak(self) -> float:
        """The learning rate of the next step, as a share of the peak."""
        total, tokens = self.settings.exposures, self.settings.tokens
        return learning_rate(self.settings, self.steps, self.tokens / tokens * total if tokens else self.exposures)

    def step(self, batch: WindowBatch) -> Tensor | float:
        """One update; returns the batch's mean loss in nats a token, on the device, so as not to wait for it.

        Of the last batch only so many tokens are predicted as are left.
        """
        share = self._share_of_peak()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * share
        targets, predicted = batch.targets, int((batch.targets != IGNORE).sum())
        if self.settings.tokens is not None and self.tokens + predicted > self.settings.tokens:
            predicted = self.settings.tokens - self.tokens
            targets = _first(targets, predicted)
        count = max(1, predicted)
        update = self._native or self._update
        loss = update(batch.inputs, targets, count)
        self.steps += 1
        self.tokens += predicted
        self.exposures = batch.exposures
        self.since.steps += 1
        self.since.loss = self.since.loss + loss
        return loss

    def _update(self, inputs: np.ndarray, targets: np.ndarray, count: int) -> Tensor:
        ours = self.ranks.share(inputs, 0), self.ranks.share(targets, IGNORE)
        if self.settings.compile:
            ours = _few_lengths(ours[0], 0), _few_lengths(ours[1], IGNORE)
        tokens, wanted = _to_device(*ours, self.device)
        rows = max(1, _MICRO_TOKENS // tokens.shape[1])
        loss = torch.zeros((), device=self.device)
        for part, expected in zip(tokens.split(rows), wanted.split(rows), strict=True):
            share = self._total_loss(part, expected) / count
            (share * self.ranks.size).backward()  # gradients are averaged over the processes
            loss += share.detach()
        torch.nn.utils.clip_grad_norm_(self._parameters, self.settings.clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return self.ranks.total(loss)


class _TotalLoss(nn.Module):
    """The model and its head: the sum of a batch's losses, in nats."""

    def __init__(self, model: CausalLM, settings: Settings, device: torch.device) -> None:
        super().__init__()
        self.model, self._bf16 = model, settings.bf16
        self._chunk = chunk_for(device)
        # The head stays outside: its loop over chunks is fast as it is, and would be unrolled.
        self._hidden = torch.compile(model, dynamic=False) if settings.compile else model

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        self.model.grow_rotation(inputs.shape[1])
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self._bf16):
            hidden = self._hidden(inputs).flatten(0, 1)
            return linear_cross_entropy(hidden, self.model.head_weight, targets.flatten(), self._chunk)


def _first(targets: np.ndarray, count: int) -> np.ndarray:
    """The first `count` targets; the others become IGNORE."""
    cut = targets.ravel().copy()
    cut[np.flatnonzero(cut != IGNORE)[count:]] = IGNORE
    return cut.reshape(targets.shape)


def _few_lengths(rows: np.ndarray, value: int) -> np.ndarray:
    """Rows filled up to one of four lengths an octave (multiples of 8), for each of which a graph is compiled once."""
    time = rows.shape[1]
    multiple = max(8, 1 << max(0, time.bit_length() - 3))
    return np.pad(rows, ((0, 0), (0, -time % multiple)), constant_values=value)


def _to_device(inputs: np.ndarray, targets: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    arrays = (torch.from_numpy(inputs), torch.from_numpy(targets))
    if device.type != "cuda":
        return arrays[0].to(device), arrays[1].to(device)
    return arrays[0].pin_memory().to(device, non_blocking=True), arrays[1].pin_memory().to(device, non_blocking=True)


def train(
    trainer: Trainer,
    batches: BatchSource,
    *,
    marks: Sequence[int | float],
    observe: Callable[[int | float], None],
    log: Callable[[dict[str, Any]], None],
    save: Callable[[dict[str, np.ndarray]], None],
    show: Callable[[dict[str, Any]], None] = lambda record: None,
    log_steps: int = 100,
    show_seconds: float = 2.0,
    save_seconds: float = 60.0,
    stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Train until the batches or the tokens end; returns whether they did.

    observe(mark): called once each number of exposures in `marks` is reached. log(record): every `log_steps` steps
    and at the end, with loss (nats a token, mean since the last record), lr, exposures, steps and tokens: an
    interrupted training has the same records. show(record): the same and tokens a second, about every
    `show_seconds`. save(state): about every `save_seconds`, before stopping early and at the end, with the batches'
    state.
    Raises Diverged when the loss is not finite, or explodes.
    """
    clock, record = _Clock(trainer), {}
    saved = time.monotonic()
    due = sorted({mark for mark in marks if not _reached(trainer, mark)})
    state: dict[str, np.ndarray] | None = None
    for batch, state in () if trainer.trained else _ahead(batches):
        trainer.step(batch)
        if trainer.steps % log_steps == 0:
            log(record := _record(trainer))
            trainer.since = Since()
        while due and _reached(trainer, due[0]):
            _check_finite(trainer)
            observe(due.pop(0))
            clock = _Clock(trainer)
        now = time.monotonic()
        if now - clock.since >= show_seconds:
            record = _record(trainer, check=False) if trainer.since.steps else record
            show(record | {"tokens_per_second": clock.speed()})
            clock = _Clock(trainer)
        if trainer.ranks.agree(stop()):
            _check_finite(trainer)
            save(state)
            return False
        if now - saved >= save_seconds:
            _check_finite(trainer)  # a checkpoint with a loss that is not finite is useless
            save(state)
            saved = time.monotonic()
        if trainer.trained:
            break
    if trainer.since.steps:
        log(_record(trainer))
        trainer.since = Since()
    if state is not None:  # else nothing was left to train
        save(state)
    return True


def _reached(trainer: Trainer, mark: int | float) -> bool:
    """Whether a number of exposures is done, up to the rounding error of a sum of parts."""
    return trainer.exposures >= mark - 1e-9


def _check_finite(trainer: Trainer) -> None:
    """Raises Diverged if a loss since the last record was not finite; the next record would raise it anyway."""
    loss = float(trainer.since.loss)
    if not math.isfinite(loss):
        raise Diverged(f"loss: {loss} after {trainer.exposures:.1f} exposures; a smaller lr may help")


def _mean_loss(trainer: Trainer, *, check: bool) -> float:
    """The mean loss of the steps since the last record, in nats a token. Raises Diverged."""
    loss = float(trainer.since.loss) / max(1, trainer.since.steps)
    if not check:
        return loss
    _check_finite(trainer)
    limit = EXPLODED * math.log(max(2, trainer.model.vocab))
    if loss > limit:
        raise Diverged(
            f"loss: {loss:.3g} nats a token after {trainer.exposures:.1f} exposures, where a guess costs "
            f"{limit / EXPLODED:.3g}; a smaller lr may help"
        )
    return loss


def _record(trainer: Trainer, *, check: bool = True) -> dict[str, Any]:
    """The metrics now. check: raise Diverged for a bad mean loss; only at steps that do not depend on the clock."""
    return {
        "exposures": trainer.exposures,
        "steps": trainer.steps,
        "tokens": trainer.tokens,
        "loss": _mean_loss(trainer, check=check),
        "lr": trainer.lr,
    }


class _Clock:
    """Measures the speed of a training from now on."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.tokens, self.since = trainer, trainer.tokens, time.monotonic()

    def speed(self) -> float:
        """Tokens a second."""
        return (self.trainer.tokens - self.tokens) / max(1e-9, time.monotonic() - self.since)


def _in_turn(batches: BatchSource) -> Iterator[tuple[WindowBatch, dict[str, np.ndarray]]]:
    for batch in batches:
        yield batch, batches.state()


def _ahead(batches: BatchSource) -> Iterator[tuple[WindowBatch, dict[str, np.ndarray]]]:
    """The batches and states, made ahead in a thread. An error in the thread is raised here."""
    ready: queue.Queue[Any] = queue.Queue(_AHEAD)
    closed = threading.Event()

    def put(item: Any) -> None:
        while not closed.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def make() -> None:
        try:
            for item in _in_turn(batches):
                put(item)
                if closed.is_set():
                    return
            put(None)
        except Exception as error:
            put(error)

    threading.Thread(target=make, daemon=True).start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        closed.set()
