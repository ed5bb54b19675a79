"""The loss above the known entropy of a world of unequal people, against parameters and against tokens."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from capacity.laws.zipf import predicted_exponents
from capacity.report.figures.laws.axes import log_axis
from capacity.report.figures.runs import Runs
from capacity.report.figures.style import (
    P_AXIS,
    bar_keys,
    legend,
    limits,
    logarithmic,
    looks_of,
    make_panels,
    new_figure,
    seed_bars,
)


def draw(runs: Runs) -> dict[str, Figure]:
    """One figure of runs with a known entropy: marks are means over seeds, dashed lines have the predicted slope.

    Left: models of all sizes at the most tokens. Right: the largest model at all numbers of tokens.
    """
    frame = runs.frame
    if "heldout_entropy" not in frame or frame["heldout_entropy"].isna().all():
        return {}
    frame = frame.assign(above=frame["heldout_loss"] - frame["heldout_entropy"])
    figure = new_figure(6.6, 3.0, "Loss above the known entropy, and the slopes that the capacity law predicts")
    left, right = make_panels(figure, 1, 2, sharey=True).flat
    looks = looks_of([f"s = {s:g}" for s in sorted(frame["zipf"].unique())])
    for (s, rows), (color, marker) in zip(frame.groupby("zipf"), looks.values(), strict=True):
        slopes = predicted_exponents(float(str(s)))
        most = rows[rows["tokens"] == rows["tokens"].max()]
        largest = rows[rows["params"] == rows["params"].max()]
        _line(left, most, "params", slopes["alpha"], color, marker)
        _line(right, largest, "tokens", slopes["beta"], color, marker)
    logarithmic(left.xaxis, *limits(frame["params"]))
    logarithmic(right.xaxis, *limits(frame["tokens"]))
    log_axis(left.yaxis, frame["above"].tolist(), 1.1)
    left.set(ylabel="Loss above the entropy, nats a token")
    left.set(title=f"after {frame['tokens'].max() / 1e6:g}M tokens", xlabel=P_AXIS)
    right.set(title=f"{frame['params'].max() / 1e3:.0f}K parameters", xlabel="Tokens")
    keys = [Line2D([], [], color=color, marker=marker, ls="", label=name) for name, (color, marker) in looks.items()]
    keys.append(Line2D([], [], color="0.4", ls="--", label="predicted slope"))
    legend(figure, keys + bar_keys(frame.groupby(["zipf", "size", "tokens"])["seed"].transform("nunique")))
    return {"": figure}


def _line(axes: Axes, rows: pd.DataFrame, x: str, slope: float, color: Any, marker: str) -> None:
    """Means over seeds with bars, and a line of the predicted slope through their middle."""
    points = (
        rows.groupby(x)["above"].agg(["mean", "min", "max"]).set_axis(["above", "low", "high"], axis=1).reset_index()
    )
    axes.errorbar(points[x], points["above"], seed_bars(points, "above"), fmt=marker, color=color, elinewidth=0.8)
    through = np.log(points["above"]).mean() + slope * np.log(points[x]).mean()
    axes.plot(points[x], np.exp(through) * points[x] ** -slope, ls="--", lw=0.8, color=color)
