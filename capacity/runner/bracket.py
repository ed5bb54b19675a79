"""Brackets the best N of each size: adds runs until a smaller and a larger N have been tried.

In: all runs of a preset's lists, the R max to begin with, the folder of the results. Out: the runs to begin with, and
the runs to add. They follow from the command and the folder alone, so the same command again, or another
driver, adds the same.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd

from capacity.laws.capacity import best_over_people
from capacity.laws.groups import differing, label, phrase
from capacity.spec.identity import stored
from capacity.spec.plan import Plan
from capacity.store.folders import run_folder
from capacity.store.options import OPTIONS, options_of
from capacity.store.record import finite

_Ladder = dict[int, list[Plan]]
"""Runs that differ in N and seed alone, by N, the smallest first."""


class Bracket:
    """The runs of a sweep that grows: the N on both sides of the best so far are added for each size."""

    def __init__(self, allowed: Sequence[Plan], r_max: tuple[float, float] | None, out: Path) -> None:
        """Begin with the N of each size whose R max lies in `r_max`, or with the nearest; without `r_max`, with all."""
        low, high = r_max or (0.0, float("inf"))
        self.allowed = allowed
        self._out = out
        self._R: dict[str, float] = {}
        self._ladders = _ladders(allowed)
        begun: set[str] = set()
        for ladder in self._ladders.values():
            outside = {
                plan.run_id: max(low - plan.r_max, plan.r_max - high, 0.0)
                for plans in ladder.values()
                for plan in plans
            }
            least = min(outside.values())
            begun |= {name for name, distance in outside.items() if distance == least}
        self.plans = [plan for plan in allowed if plan.run_id in begun]
        """All runs of the sweep so far."""
        self._begun = begun

    def grow(self) -> list[Plan]:
        """Add the runs beside the best N so far; returns them."""
        found: list[Plan] = []
        for ladder in self._ladders.values():
            while new := self._beside_the_best(ladder):  # runs already done may lead to others
                self._begun |= {plan.run_id for plan in new}
                found += new
        self.plans += found
        return found

    def unfinished(self) -> list[str]:
        """A line for each size whose best N has no smaller or no larger one beside it, or is not known."""
        lines = []
        for name, ladder in self._ladders.items():
            if (best := self._best(ladder)) is None:
                lines.append(f"{name}: the best N is not known, as a run has no result")
            elif best in (min(ladder), max(ladder)):
                end = "smallest" if best == min(ladder) else "largest"
                lines.append(f"{name}: the best N, {best:,}, is the {end} of `people`")
        return lines

    def _beside_the_best(self, ladder: _Ladder) -> list[Plan]:
        """The runs of the best N and its neighbours outside the sweep; none while a run of the sweep has no R."""
        left = [plan for plans in ladder.values() for plan in plans if plan.run_id not in self._begun]
        if not left or (best := self._best(ladder)) is None:
            return []
        order = list(ladder)
        place = order.index(best)
        beside = order[max(place - 1, 0) : place + 2]
        return [plan for plan in left if plan.config.data.people in beside]

    def _best(self, ladder: _Ladder) -> int | None:
        """The N with the largest R, a mean over seeds, of the runs in the sweep; None while one of them has no R."""
        plans = [plan for plans in ladder.values() for plan in plans if plan.run_id in self._begun]
        frame = pd.DataFrame(
            {
                "run_id": [plan.run_id for plan in plans],
                "size": [plan.config.size for plan in plans],
                "params": [plan.parameters for plan in plans],
                "people": [plan.config.data.people for plan in plans],
                "quantization": "none",
                "bits_per_param": [self._read(plan) for plan in plans],
            }
        )
        if frame["bits_per_param"].isna().any():
            return None
        return int(best_over_people(frame, [])["people"].item())

    def _read(self, plan: Plan) -> float | None:
        """The R of a run, without quantization; None if it has none."""
        name = plan.run_id
        if name not in self._R:
            with suppress(OSError, ValueError, LookupError, TypeError):  # not there yet, or no record
                rows = (run_folder(self._out, plan.config).read_result() or {})["rows"]
                self._R[name] = finite({row["quantization"]: row["bits_per_param"] for row in rows}["none"])
        return self._R.get(name)


def _ladders(plans: Sequence[Plan]) -> dict[str, _Ladder]:
    """The runs of each size and kind, by a name in words."""
    options = pd.DataFrame([options_of({"config": stored(plan.config)}) for plan in plans])
    kind = [name for name in differing(options, OPTIONS) if name not in ("size", "people", "exposures", "budget")]
    ladders: dict[str, _Ladder] = {}
    for plan, values in sorted(
        zip(plans, options.to_dict("records"), strict=True), key=lambda one: one[0].config.data.people
    ):
        unit = "exposures" if pd.notna(values.get("exposures")) else "budget"
        name = f"{values['size']} after {phrase(unit, values[unit])}"
        name += f" with {label({key: values[key] for key in kind})}" if kind else ""
        ladders.setdefault(name, {}).setdefault(plan.config.data.people, []).append(plan)
    return ladders
