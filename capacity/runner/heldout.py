"""The held-out loss of a run, along its training: at which points, on which windows, as which records."""

from functools import cached_property
from typing import Any

from biogen.dataset import Dataset
from biogen.entropy import entropy
from capacity.spec.config import RunConfig
from eval.heldout import AT, LOSS, HeldOutWindows, heldout_record, heldout_windows
from eval.recall import LanguageModel
from train.loop import Trainer

_DECADES = 3
"""Powers of ten of a training in which there are points."""


class HeldOut:
    """What a run measures on held-out text; nothing if its options ask for no tokens."""

    def __init__(self, dataset: Dataset, config: RunConfig, exposures: int | float) -> None:
        """exposures: those of the whole training, about."""
        self._dataset, self._config = dataset, config
        self._asked, each = config.measure.heldout_tokens > 0, config.measure.heldout_points
        points = range(1, _DECADES * each + 1) if self._asked else ()
        self.marks = [exposures * 10 ** (-point / each) for point in points]
        """Exposures at which to measure, besides the end."""
        self._last: dict[str, Any] = {}

    def measure(self, model: LanguageModel, trainer: Trainer) -> dict[str, Any]:
        """The losses now, with the progress and the learning rate (of the next step)."""
        if not self._asked:
            return {}
        if self._last.get("steps") == trainer.steps:  # several points lie within one step
            return self._last
        now = {"exposures": trainer.exposures, "tokens": trainer.tokens, "steps": trainer.steps, "lr": trainer.lr}
        self._last = now | heldout_record(model, self._windows, self._dataset)
        return self._last

    @cached_property
    def _windows(self) -> HeldOutWindows:
        training = self._config.training
        return heldout_windows(
            self._dataset,
            layout=training.layout,
            context=training.context,
            tokens=self._config.measure.heldout_tokens,
        )

    def of_the_end(self, record: dict[str, Any]) -> dict[str, Any]:
        """What the result of a run holds: losses overall and by role, and the least loss that there can be."""
        losses = {name: value for name, value in record.items() if name.startswith(LOSS) and AT not in name}
        least = entropy(self._dataset) if losses else None
        return losses | ({"heldout_entropy": least.token} if least is not None else {})
