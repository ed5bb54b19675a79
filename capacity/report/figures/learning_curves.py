"""R and accuracy against exposures, while runs were trained.

The learning rate of each training falls to its end: a point at 100 of 1000 exposures is not the result of a training of
100. Lines are means over seeds, bands reach from the lowest to the highest.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from capacity.laws.capacity import best_over_people
from capacity.report.figures.curves import Curve, by_size, handles
from capacity.report.figures.runs import Runs
from capacity.report.figures.style import (
    R_AXIS,
    below_title,
    legend,
    level_lines,
    limits,
    logarithmic,
    make_panels,
    new_figure,
    print_of_now,
    spread,
)

MOST_SIZES, MOST_PEOPLE = 8, 3  # in one figure: 24 curves


def draw(runs: Runs) -> dict[str, Figure]:
    """One figure for each kind of run, if its runs have metrics.

    It shows a few sizes and a few N that all of them have; if they have none in common, the best N of each size.
    """
    drawn = {kind: _draw(of_kind) for kind, of_kind in runs.each_kind()}
    return {kind: figure for kind, figure in drawn.items() if figure}


def _draw(runs: Runs) -> Figure | None:
    curves, people = _choose(runs.plain)
    measured = runs.curves([run for curve in curves for run in curve.rows["run_id"]])
    measured = measured[measured["exposures"] > 0]
    if measured.empty:
        return None
    dashes = dict(zip(people, ("-", "--", ":"), strict=False))
    figure = new_figure(7.2, 2.8, runs.title)
    panels = make_panels(figure, 1, 2, sharex=True).ravel()
    for curve in curves:
        for N, runs_of_N in curve.rows.groupby("people"):
            seeds = measured[measured["run_id"].isin(runs_of_N["run_id"])].groupby("exposures")
            for panel, name in zip(panels, ("bits_per_param", "qa_accuracy"), strict=True):
                if (over := seeds[name].agg(["mean", "min", "max"])).empty:
                    continue
                panel.plot(over.index, over["mean"], dashes.get(N, "-"), color=curve.color, linewidth=1)
                panel.fill_between(over.index, over["min"], over["max"], color=curve.color, alpha=0.2, linewidth=0)
    best = measured["bits_per_param"].max()
    panels[0].set(ylim=(0, 1.1 * best if best > 0 else 1.0), ylabel=R_AXIS)
    panels[1].set(ylim=(0, 1.02), ylabel="Accuracy of completed values")
    panels[1].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    level_lines(panels[0])
    for panel in panels:
        panel.set_xlabel("Exposures so far, of one training")
        logarithmic(panel.xaxis, *limits(measured["exposures"], margin=1.15))
    _legends(figure, runs.plain, curves, dashes)
    return figure


def _choose(rows: pd.DataFrame) -> tuple[list[Curve], list[Any]]:
    """The curves to show, and the N that they have in common; empty if each has its own best N."""
    by_params = rows.groupby("size")["params"].mean().sort_values()
    sizes = by_params.index[[list(by_params).index(P) for P in spread(by_params, MOST_SIZES)]]
    shown = rows[rows["size"].isin(sizes)]
    common = shown.groupby("people")["size"].nunique() == len(sizes)
    people = spread(pd.Series(common[common].index), MOST_PEOPLE)
    if people:
        return by_size(shown[shown["people"].isin(people)]), people
    curves = by_size(shown.merge(best_over_people(shown, [])[["size", "people"]]))
    return [replace(curve, label=f"{curve.label}, N = {curve.rows['people'].iloc[0]:,}") for curve in curves], []


def _legends(figure: Figure, rows: pd.DataFrame, curves: Sequence[Curve], dashes: dict[Any, Any]) -> None:
    """A legend of sizes, and below it one of the N of the dashes."""
    title = "Size (P)" + ("" if dashes else " and its best N") + _part(len(curves), rows["size"])
    sizes = handles(curves, marker="")
    keys = [Line2D([], [], color="0.4", linestyle=dash, linewidth=1, label=f"N = {N:,}") for N, dash in dashes.items()]
    of_people = "People" + _part(len(dashes), rows["people"])
    if print_of_now().width is not None:
        legend(figure, sizes, title)
        legend(figure, keys, of_people)
        return
    figure.legend(handles=sizes, loc="outside right upper", alignment="left", title=below_title(title))
    if dashes:
        figure.legend(handles=keys, loc="outside right lower", alignment="left", title=of_people)


def _part(shown: int, values: "pd.Series[Any]") -> str:
    return "" if shown == values.nunique() else f", {shown} of {values.nunique()}"
