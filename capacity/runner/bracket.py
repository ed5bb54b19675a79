"""Around the best R: which other N to train, so that each size's best lies between a smaller and a larger one.

In: all runs that the lists of a preset allow, the R max to begin with, the folder of the results. Out: the runs to
begin with, and those to add. They follow from the command and the folder alone, so the same command again, or another
driver, adds the same.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean

from capacity.spec.plan import Plan
from capacity.store.folders import run_folder

_Ladder = dict[int, list[Plan]]
"""The runs of one size, exposures and junk, which differ in N and seed, by N, the smallest first."""


class Bracket:
    """The runs of a sweep, which grows: of each size, the N on both sides of the best so far belong to it."""

    def __init__(self, allowed: Sequence[Plan], r_max: tuple[float, float] | None, out: Path) -> None:
        """Begin with the N of each size whose R max lies in `r_max`, or with the nearest; without one, with all."""
        low, high = r_max or (0.0, float("inf"))
        self.allowed = allowed
        self._out = out
        self._R: dict[str, float] = {}
        self._ladders: dict[tuple[object, ...], _Ladder] = {}
        for plan in sorted(allowed, key=lambda plan: plan.config.data.people):
            config = plan.config
            ladder = self._ladders.setdefault((config.size, config.exposures, config.data.junk), {})
            ladder.setdefault(config.data.people, []).append(plan)
        begun: set[str] = set()
        for ladder in self._ladders.values():
            outside = {
                plan.config.run_id: max(low - plan.r_max, plan.r_max - high, 0.0)
                for plans in ladder.values()
                for plan in plans
            }
            least = min(outside.values())
            begun |= {name for name, distance in outside.items() if distance == least}
        self.plans = [plan for plan in allowed if plan.config.run_id in begun]
        """All runs of the sweep, as far as it is known yet."""
        self._begun = begun

    def more(self) -> list[Plan]:
        """The runs to add now; each is given once."""
        found: list[Plan] = []
        for ladder in self._ladders.values():
            while new := self._beside_the_best(ladder):  # what is done may ask for another
                self._begun |= {plan.config.run_id for plan in new}
                found += new
        self.plans += found
        return found

    def unfinished(self) -> list[str]:
        """A line for each size whose best N has no smaller or no larger one beside it, or is not known."""
        lines = []
        for (size, exposures, junk), ladder in self._ladders.items():
            name = f"{size} after {exposures} exposures" + (f" with {junk} junk" if junk else "")
            if (best := self._best(ladder)) is None:
                lines.append(f"{name}: the best N is not known, as a run has no result")
            elif best in (min(ladder), max(ladder)):
                end = "smallest" if best == min(ladder) else "largest"
                lines.append(f"{name}: the best N, {best:,}, is the {end} of `people`")
        return lines

    def _beside_the_best(self, ladder: _Ladder) -> list[Plan]:
        """The runs of the best N and its neighbours that are not in the sweep; none while one that is has no R."""
        left = [plan for plans in ladder.values() for plan in plans if plan.config.run_id not in self._begun]
        if not left or (best := self._best(ladder)) is None:
            return []
        order = list(ladder)
        place = order.index(best)
        beside = order[max(place - 1, 0) : place + 2]
        return [plan for plan in left if plan.config.data.people in beside]

    def _best(self, ladder: _Ladder) -> int | None:
        """The N with the largest R, a mean over seeds, of the runs in the sweep; None while one of them has none."""
        found: dict[int, list[float]] = {}
        for N, plans in ladder.items():
            for plan in plans:
                if plan.config.run_id in self._begun:
                    if (R := self._read(plan)) is None:
                        return None
                    found.setdefault(N, []).append(R)
        return max(found, key=lambda N: fmean(found[N]))

    def _read(self, plan: Plan) -> float | None:
        """The R of a run, without quantization; None if it has none."""
        name = plan.config.run_id
        if name not in self._R:
            with suppress(OSError, ValueError, LookupError, TypeError):  # not there yet, or no such record
                rows = json.loads(run_folder(self._out, plan.config).result.read_text())["rows"]
                self._R[name] = float({row["quantization"]: row["bits_per_param"] for row in rows}["none"])
        return self._R.get(name)
