"""Passes against size: the same facts in models of half to ten times as many parameters, read more or less often.

Source: a lecture of Allen-Zhu's on arXiv 2404.05405; the paper itself does not have it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from capacity.experiments.comparison import matching
from capacity.experiments.experiment import Finding, Scale, Status, Verdict, sweeps_of, together
from capacity.laws.passes import fewest_exposures, fit_passes, known_shares
from capacity.laws.ratios import LEAST_SEEDS, best_setting

_CLAIMS = ((0.5, 1000), (1.0, 100), (10.0, 1))
"""Parameters a bit, and the passes that the lecture gives them."""
_NEAR_SIZE, _NEAR_PASSES = 1.2, 2.0
"""A size counts as the lecture's within this factor, and so do passes."""
_SHARES = (0.9, 0.99)
_LARGE = ["2x32x2", "2x48x2", "2x64x2", "5x64x2"]
_SMALL = ["4x16x1", "2x32x2"]
_GPU: Mapping[str, Any] = {"sizes": ["2x96x2", "2-2", "2x192x3", "3-3", "4-4"], "people": 4000}
"""0.6 to 7.9 parameters for each of the 408 K bits of 4,000 people."""


@dataclass(frozen=True)
class Passes:
    """The trade of passes for parameters."""

    title: str = "passes against parameters"
    question: str = "How often must a model read k bits of facts to know them, if it has k/2, k or 10·k parameters?"
    source: str = (
        "A lecture of Allen-Zhu's on arXiv 2404.05405; the paper itself does not have it. "
        "To memorise k bits, k/2 parameters take about 1000 passes, k about 100, and 10·k about one."
    )
    published: tuple[str, ...] = ("comparisons",)
    figures: tuple[str, ...] = ("passes",)

    def sweeps(self, scale: Scale) -> Sequence[Mapping[str, Any]]:
        """Options of the sweeps. Raises ValueError for a scale that it does not have."""
        few, all_of_them = [1, 2, 5, 10, 20, 50, 100], [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000]
        return sweeps_of(
            (
                ("laptop", "reproduce/passes", {"sizes": _LARGE, "exposures": few}),
                ("laptop", "reproduce/passes", {"sizes": _SMALL, "exposures": all_of_them}),
                ("laptop", "reproduce/passes", {"sizes": _LARGE[1:3], "exposures": [200, 500]}),
                ("laptop", "reproduce/passes-few", {}),
                ("gpu", "reproduce/passes", {**_GPU, "exposures": [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]}),
                ("gpu", "reproduce/passes", {**_GPU, "sizes": _GPU["sizes"][:2], "exposures": 2000}),
                ("gpu", "reproduce/passes-few", {**_GPU, "exposures": [1, 2, 5, 10, 20, 50], "batch": [2, 8, 32]}),
            ),
            scale,
        )

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The runs about its people, with the best batch and learning rate of each size and exposures.

        Where there are runs of two cores and of a GPU, the shares of both cannot be compared, and the more numerous are
        taken.
        """
        shared: dict[str, Any] = {
            "dataset": "biod",
            "recipe": "fast",
            "people": [250, _GPU["people"]],
            "junk": "0",
            "layout": "rows",
            "quantization": "none",
        }
        shared |= {"biod.name_length": 3, "biod.K": 4, "biod.C": 4, "biod.D": 64}
        rows = matching(frame, shared)
        rows = rows[rows["people"].isin(rows["people"].mode().head(1))]
        return best_setting(rows, ["size", "exposures"], ["batch", "lr"])

    def table(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The share known after each number of exposures, a line a size."""
        shares = known_shares(frame)
        lines = []
        for size, rows in shares.groupby("size", sort=False):
            known = dict(zip(rows["exposures"], rows["share"], strict=True))
            fewest = {
                f"passes for {wanted:.0%}": _number(fewest_exposures([*known], [*known.values()], wanted))
                for wanted in _SHARES
            }
            lines.append(
                {"size": str(size), "P": f"{rows['params'].iloc[0]:,.0f}", "P / k": f"{rows['x'].iloc[0]:.2f}"}
                | {
                    f"{number:,}": f"{known[number]:.2f}" if number in known else ""
                    for number in sorted(shares["exposures"].unique())
                }
                | fewest
            )
        return pd.DataFrame(lines)

    def verdict(self, frame: pd.DataFrame) -> Verdict:
        """Whether the passes for 90 % of what there is are those of the lecture, by size."""
        shares = known_shares(frame)
        statuses: list[Status] = []
        evidence = []
        findings = []
        for wanted_x, passes in _CLAIMS:
            near = shares[(shares["x"] / wanted_x).between(1 / _NEAR_SIZE, _NEAR_SIZE)]
            if near.empty or near["seeds"].min() < LEAST_SEEDS:
                statuses.append("not enough runs")
                evidence.append(f"About {wanted_x:g} parameters a bit: no size with three seeds.")
                continue
            found = fewest_exposures([*near["exposures"]], [*near["share"]], _SHARES[0])
            if found != found and near["exposures"].max() < passes * _NEAR_PASSES:
                statuses.append("not enough runs")
                tried = f"{near['share'].max():.0%} are known after {near['exposures'].max():,} passes"
                evidence.append(f"{near['x'].iloc[0]:.2f} parameters a bit: {tried}, the most that were tried.")
                continue
            right = passes / _NEAR_PASSES <= found <= passes * _NEAR_PASSES
            statuses.append("reproduced" if right else "not reproduced")
            best = (
                f"90 % are known after {found:,.0f} passes"
                if found == found
                else f"at most {near['share'].max():.0%} are known"
            )
            what = f"with {near['x'].iloc[0]:.2f} parameters a bit"
            findings.append(Finding(what, f"about {passes:,} pass{'es' if passes > 1 else ''}", best, statuses[-1]))
        return Verdict(together(statuses), [*evidence, *_law(shares)], findings)


def _law(shares: pd.DataFrame) -> list[str]:
    """The fitted law in words."""
    try:
        law = fit_passes(*(np.asarray(shares[name], dtype=float) for name in ("x", "exposures", "share")))
    except ValueError:
        return []
    return [
        f"Fitted: a model with a parameter a bit knows 63 % of what it can after {law.scale:.0f} passes.",
        f"One twice as large takes {2**law.slope:.1f} times fewer; "
        f"the root mean square error of the fit is {law.error:.3f} of what there is.",
    ]


def _number(value: float) -> str:
    return "-" if value != value else f"{value:,.0f}"


PASSES = Passes()
