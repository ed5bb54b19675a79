"""Around the best R: which other N to train, so that each size's best lies between a smaller and a larger one.

In: the runs to begin with, all that the lists of a preset allow, the folder of their results. Out: the runs to add.
They follow from the folder alone, so the same command again, or another driver, adds the same.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean

from capacity.plan import Plan
from capacity.store import run_folder

_Ladder = dict[int, list[Plan]]
"""The runs of one size, exposures and junk that differ in N, and their seeds, by N, the smallest first."""


class Bracket:
    """A sweep that grows: where the best N so far is the largest or the smallest, the next one follows."""

    def __init__(self, begun: Sequence[Plan], allowed: Sequence[Plan], out: Path) -> None:
        self.plans = list(begun)
        """All runs of the sweep, as far as it is known yet."""
        self._out = out
        self._begun = {plan.config.run_id for plan in begun}
        self._R: dict[str, float] = {}
        self._ladders: dict[tuple[object, ...], _Ladder] = {}
        for plan in sorted(allowed, key=lambda plan: plan.config.data.people):
            config = plan.config
            ladder = self._ladders.setdefault((config.size, config.exposures, config.data.junk), {})
            ladder.setdefault(config.data.people, []).append(plan)

    def more(self) -> list[Plan]:
        """The runs to add now; each is given once."""
        found: list[Plan] = []
        for ladder in self._ladders.values():
            while new := [plan for N in self._next(ladder) for plan in ladder[N]]:  # what is done may ask for another
                self._begun |= {plan.config.run_id for plan in new}
                found += new
        self.plans += found
        return found

    def _next(self, ladder: _Ladder) -> list[int]:
        """The N beyond the smallest or the largest tried if that is the best; none while a run of these is missing."""
        tried = {N: [plan for plan in plans if plan.config.run_id in self._begun] for N, plans in ladder.items()}
        tried = {N: plans for N, plans in tried.items() if plans}
        if not tried or not all(self._done(plan) for plans in tried.values() for plan in plans):
            return []
        means = {N: fmean(self._R[plan.config.run_id] for plan in plans) for N, plans in tried.items()}
        best, order = max(means, key=means.__getitem__), list(ladder)
        smaller, larger = order[: order.index(min(tried))], order[order.index(max(tried)) + 1 :]
        return (smaller[-1:] if best == min(tried) else []) + (larger[:1] if best == max(tried) else [])

    def _done(self, plan: Plan) -> bool:
        """Whether a run has its R; that is kept."""
        name = plan.config.run_id
        if name not in self._R:
            with suppress(OSError, ValueError, LookupError, TypeError):  # not there yet, or no such record
                rows = json.loads(run_folder(self._out, plan.config).result.read_text())["rows"]
                self._R[name] = float({row["quantization"]: row["bits_per_param"] for row in rows}["none"])
        return name in self._R
