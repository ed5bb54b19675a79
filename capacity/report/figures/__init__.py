"""Figures by name, one file each; `capacity.report.figures.runs` has the runs that they show.

To add one: a file with a `draw` here, and a line below. A user's own, in any module, needs no line: it is named as
`module:Name`. This file imports no matplotlib, so that programs that only list names start fast.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from basis.registry import Registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from capacity.report.figures.runs import Runs


class Drawing(Protocol):
    """Draws a figure, or one for each kind of run."""

    def __call__(self, runs: "Runs") -> "Mapping[str, Figure]":
        """The figures by what their file names end in: "" for a single one, else the name of a kind of run.

        The mapping is empty if there is nothing to show. The caller sets the style of
        this project, lays the figures out and writes them.
        """
        ...


FIGURES: Registry[Drawing] = Registry(
    "figure",
    {
        "law": "capacity.report.figures.law:draw",
        "compare": "capacity.report.figures.compare:draw",
        "quantization": "capacity.report.figures.quantization:draw",
        "capacity": "capacity.report.figures.capacity:draw",
        "bits_against_people": "capacity.report.figures.bits_against_people:draw",
        "learning_curves": "capacity.report.figures.learning_curves:draw",
        "settings": "capacity.report.figures.settings:draw",
        "passes": "capacity.report.figures.passes:draw",
        "zipf": "capacity.report.figures.zipf:draw",
        "shares": "capacity.report.figures.shares:draw",
    },
    needs=("__call__",),
)

OF_ALL = ("law", "compare", "quantization")
"""Figures that show all kinds of runs at once."""
OF_EXPERIMENTS = ("settings", "passes", "shares", "zipf")
"""Figures of experiments, whose runs they take."""
OF_SWEEPS = tuple(name for name in FIGURES.names if name not in OF_EXPERIMENTS)
"""Figures of every sweep."""
