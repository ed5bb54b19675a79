"""Quantization: R of quantized copies against R as trained, a panel for each scheme."""

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from capacity.laws.capacity import over_seeds
from capacity.report.figures.curves import by_size, handles
from capacity.report.figures.runs import Runs
from capacity.report.figures.style import LABEL, LEVEL_LINE, label_outer, legend, make_panels, new_figure
from capacity.store.records import by_precision

MOST_PANELS = 6


def draw(runs: Runs) -> dict[str, Figure]:
    """One figure, if any run was quantized: a mark for each kind of run, size and N, the mean over its seeds.

    On the upper line quantization costs nothing, on the lower one half of what the model knew.
    """
    means = over_seeds(runs.frame, runs.kind)
    schemes = sorted(set(means["quantization"]) - {"none"}, key=by_precision)
    shown = schemes[:MOST_PANELS]
    if not shown:
        return {}
    keys = [*runs.kind, "size", "people"]
    pairs = means.merge(means[means["quantization"] == "none"], on=keys, suffixes=("", "_trained"))
    columns = 2 if len(shown) == 4 else min(3, len(shown))
    lines = math.ceil(len(shown) / columns)
    part = "" if len(shown) == len(schemes) else f" ({len(shown)} of {len(schemes)} schemes)"
    title = ": ".join(filter(None, ("Bits per parameter after quantization", runs.title)))
    figure = new_figure(0.6 + 2.0 * columns, 0.5 + 2.4 * lines, title + part)
    panels = make_panels(figure, lines, columns, sharex=True, sharey=True)
    high = 1.08 * max(pairs["R"].max(), pairs["R_trained"].max(), 0.1)
    low = min(0, 1.1 * pairs[["R", "R_trained"]].to_numpy().min()) - 0.02 * high
    curves = by_size(pairs)
    for place, (panel, scheme) in enumerate(zip(panels.flat, shown, strict=False)):
        panel.set(xlim=(low, high), ylim=(low, high), title=scheme.replace("+", "\n+"))
        for share, name in ((1, "all kept"), (0.5, "half kept")):
            panel.plot([0, high], [0, share * high], **LEVEL_LINE)
            if place % columns == columns - 1 or place == len(shown) - 1:
                panel.text(1.02, share * high, name, va="center", transform=panel.get_yaxis_transform(), **LABEL)
        for curve in curves:
            _points(panel, curve.rows[curve.rows["quantization"] == scheme], curve.color)
    label_outer(panels, len(shown), "R as trained", "R after quantization")
    legend(figure, handles(curves), title="Size (P)")
    return {"": figure}


def _points(panel: Axes, rows: pd.DataFrame, color: Any) -> None:
    panel.plot(rows["R_trained"], rows["R"], "o", color=color, alpha=0.8, markeredgewidth=0, zorder=3)
