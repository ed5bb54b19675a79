"""How much is known against how much could be: a figure in one file.

A mark for each run, by the share of all bits that the model stores and the share of values that it completes right.
Models that are too small know a part of every value, so they store bits long before they complete anything.

capacity table runs/laptop --figure known:known
"""

from matplotlib.figure import Figure

from capacity.report.figures.runs import Runs
from capacity.report.figures.style import kind_colors, legend, new_figure


def known(runs: Runs) -> dict[str, Figure]:
    """One figure of all runs, a color for each kind."""
    figure = new_figure(3.6, 3.0, runs.title)
    axes = figure.subplots()
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set(xlabel="Share of all bits that is stored", ylabel="Share of values that is completed right")
    kinds = list(runs.each_kind())
    for color, (name, of_kind) in zip(kind_colors(len(kinds)), kinds, strict=True):
        plain = of_kind.plain
        axes.plot(plain["bits"] / plain["max_bits"], plain["qa_accuracy"], "o", color=color, label=name)
    legend(figure, axes.lines if len(kinds) > 1 else [])
    return {"": figure}
