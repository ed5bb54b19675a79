"""Figures of fitted laws by name, one file each.

To add one: a file with a `draw` here, and a line below. It takes a fit and the points that were held out, and returns
None for a law that it does not show.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from basis.registry import Registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from capacity.laws.fit import Fit

Points = Sequence[Mapping[str, float]]
"""Held-out points: columns of the law by name, and the measured target if there is one."""


class FitDrawing(Protocol):
    """Draws a figure of a fit."""

    def __call__(self, fit: "Fit", held_out: Points) -> "Figure | None":
        """The figure; None if there is nothing to show."""
        ...


FIT_FIGURES: Registry[FitDrawing] = Registry(
    "figure",
    {
        "loss": "capacity.report.figures.laws.loss:draw",
        "isoflop": "capacity.report.figures.laws.isoflop:draw",
        "frontier": "capacity.report.figures.laws.frontier:draw",
        "isoloss": "capacity.report.figures.laws.isoloss:draw",
        "schedule": "capacity.report.figures.laws.schedule:draw",
        "position": "capacity.report.figures.laws.position:draw",
        "residuals": "capacity.report.figures.laws.residuals:draw",
        "held_out": "capacity.report.figures.laws.held_out:draw",
    },
    needs=("__call__",),
)


def draw_fits(fits: "Sequence[tuple[str, Fit]]", held_out: Points, folder: Path) -> list[Path]:
    """Write every figure that a law has, for each named fit, in the formats of `printed`, and return the paths.

    Files are called `LAW-FIGURE`, with the fit's name behind it. Raises OSError.
    """
    import matplotlib

    from capacity.report.figures.runs import file_name, save
    from capacity.report.figures.style import STYLE

    written: list[Path] = []
    with matplotlib.style.context(["default", STYLE]):
        folder.mkdir(parents=True, exist_ok=True)
        for name, fit in fits:
            for figure in FIT_FIGURES.names:
                drawn = FIT_FIGURES[figure](fit, held_out)
                if drawn is None:
                    continue
                if name and drawn.get_suptitle():
                    drawn.suptitle(f"{drawn.get_suptitle()}: {name}", x=0.01, ha="left")
                law = re.sub(r"\W+", "-", fit.law)
                written += save(drawn, folder / file_name(f"{law}-{figure}", name))
    return written
