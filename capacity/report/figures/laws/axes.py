"""What figures of fits share: names of columns, axes, held-out stars."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from capacity.laws.fit import Fit
from capacity.report.figures.style import SIZE_COLORS, limits, logarithmic, shades
from capacity.report.table import short_number

AXIS_NAMES = {
    "params": "Parameters N",
    "tokens": "Tokens D",
    "flops": "Training FLOPs C",
    "steps": "Steps",
    "batch": "Batch size (tokens)",
    "critical_batch": "Critical batch size (tokens)",
    "loss": "Loss (nats)",
    "share": "Share of all bits that is known",
    "exposures": "Exposures",
    "position": "Position in the window",
    "max_bits": "Bits to be known",
}
STAR = "#D55E00"
"""The color of what was held out."""
BAND: dict[str, Any] = {"color": "0.85", "linewidth": 0, "zorder": 0}
FIT_LINE: dict[str, Any] = {"color": "0.15", "linewidth": 1.2, "zorder": 3}
_MOST_LINES = 6
_MOST_TICKS = 4
_LONG = 1e15


def axis_name(column: str) -> str:
    """The name of a column for an axis."""
    return AXIS_NAMES.get(column, column)


def log_axis(axis: Axis, values: Sequence[float], margin: float = 1.4) -> None:
    """A logarithmic axis around values, with ticks such as 1M, or 1e18 for numbers beyond a quadrillion."""
    numbers = [float(value) for value in values if np.isfinite(value)]
    low, high = limits(numbers, margin)
    logarithmic(axis, low, high)
    if high > _LONG:
        first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
        powers = range(first, last + 1, max(1, math.ceil((last - first) / _MOST_TICKS)))
        axis.set_major_locator(FixedLocator([10.0**power for power in powers]))
        axis.set_major_formatter(FuncFormatter(lambda number, _: f"1e{round(math.log10(number))}"))


def loss_axis(axis: Axis, values: Sequence[float]) -> None:
    """A logarithmic axis that fits its values closely, with round ticks: losses rarely span a decade."""
    numbers = np.array([value for value in values if np.isfinite(value) and value > 0])
    low, high = float(numbers.min()), float(numbers.max())
    room = (high / low) ** 0.06 * 1.005
    logarithmic(axis, low / room, high * room)
    ticks = [tick for tick in MaxNLocator(6).tick_values(low / room, high * room) if low / room < tick < high * room]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:.4g}"))


def fitting_axis(axis: Axis, column: str, values: Sequence[float]) -> None:
    """The axis that suits a column."""
    (loss_axis if column == "loss" else log_axis)(axis, values)


def short_level(value: float) -> str:
    """A level of a column in three digits: 3.98M."""
    return short_number(float(f"{value:.3g}"))


def spread_of(values: Float[np.ndarray, " n"]) -> list[float]:
    """At most six levels of a column, from its lowest to its highest."""
    levels = np.unique(values)
    places = np.linspace(0, len(levels) - 1, min(_MOST_LINES, len(levels))).round().astype(int)
    return [float(levels[place]) for place in places]


def colors_of(values: Float[np.ndarray, " n"], levels: Sequence[float]) -> list[Any]:
    """The color of each row: that of the nearest level, by logarithms."""
    palette = shades(SIZE_COLORS, len(levels))
    nearest = np.abs(np.log(values)[:, None] - np.log(levels)[None, :]).argmin(axis=1)
    return [palette[place] for place in nearest]


def measured_stars(fit: Fit, held_out: Sequence[Mapping[str, float]]) -> list[Mapping[str, float]]:
    """The held-out points that have all columns of the law."""
    return [point for point in held_out if all(name in point for name in fit.ranges)]


def star_ends(fit: Fit, stars: Sequence[Mapping[str, float]]) -> list[float]:
    """What has to be in view for held-out points: their values, and the ends of their intervals as far as finite."""
    if not stars:
        return []
    said = fit.predict({name: np.array([point[name] for point in stars]) for name in fit.ranges})
    ends = [*said.run_low, *said.run_high, *(point[fit.target] for point in stars if fit.target in point)]
    return [float(end) for end in ends if np.isfinite(end) and end > 0]


def star(axes: Axes, x: float, fit: Fit, point: Mapping[str, float]) -> None:
    """A held-out point: a bar over the interval of one run, and a star where it was measured."""
    said = fit.predict({name: np.array([value]) for name, value in point.items() if name in fit.ranges})
    value, low, high = (float(one[0]) for one in (said.value, said.run_low, said.run_high))
    if np.isfinite([low, high]).all():
        axes.errorbar(x, value, [[value - low], [high - value]], fmt="_", color=STAR, capsize=3, zorder=5)
    else:
        axes.plot(x, value, "_", color=STAR, zorder=5)
    if fit.target in point:
        axes.plot(x, point[fit.target], "*", color=STAR, markersize=10, markeredgecolor="white", zorder=6)


def star_keys(fit: Fit, stars: Sequence[Mapping[str, float]]) -> list[Line2D]:
    """Entries of a legend for held-out points."""
    if not stars:
        return []
    bar = Line2D([], [], color=STAR, linestyle="", marker="_", label="predicted, 95 % of single runs")
    if not any(fit.target in point for point in stars):
        return [bar]
    return [bar, Line2D([], [], color=STAR, linestyle="", marker="*", markersize=9, label="held out, as measured")]
