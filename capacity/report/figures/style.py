"""The look that all figures share: sizes, colors, axes, legends."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, SupportsFloat

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from capacity.report.table import short_number

LEAST = 0.01
"""Points with fewer bits than this share of both P and the most bits are left out of logarithmic axes."""

PEOPLE_COLORS, SIZE_COLORS = "viridis", "plasma"  # both ordered to the eye and in gray print
KIND_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colors that all eyes tell apart (Okabe and Ito 2008, jfly.uni-koeln.de/color)."""
MARKERS = "osD^vPX*<>"

LEVELS = {2: "2 bits/param", 1: "1 bit/param"}  # the law after 1000 and after 100 exposures
LEVEL_LINE: dict[str, Any] = {"color": "0.35", "linewidth": 0.6, "zorder": 1}
LABEL: dict[str, Any] = {"fontsize": 6.5, "color": "0.25", "zorder": 4}
LABEL["path_effects"] = [withStroke(linewidth=2, foreground="white")]
P_AXIS, N_AXIS, R_AXIS = "Model parameters P", "People N", "Bits per parameter R = bits / P"

_NARROWEST = 2.2
"""Inches that a panel takes, labels included."""
_LOWEST = 1.9
"""Inches of the height of a figure in a column, at least."""
_WIDEST = 60.0
"""Inches of a side of a figure, at most: with hundreds of long names it would take gigabytes."""

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the files are the same everywhere
    "font.size": 8,
    **dict.fromkeys(("axes.titlesize", "axes.labelsize", "figure.titlesize"), 8),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize", "legend.title_fontsize"), 7.5),
    **dict.fromkeys(("axes.linewidth", "xtick.major.width", "ytick.major.width"), 0.6),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    **dict.fromkeys(("axes.grid", "axes.axisbelow"), True),
    **{"grid.color": "0.9", "grid.linewidth": 0.5, "lines.linewidth": 1.2, "lines.markersize": 4},
    "errorbar.capsize": 1.5,
    "svg.hashsalt": "knowledge-capacity",
    "pdf.fonttype": 42,  # letters stay letters, as journals ask
    "text.parse_math": False,  # names hold what users wrote, dollars too
}


@dataclass(frozen=True)
class Print:
    """How figures are written."""

    formats: tuple[str, ...] = ("png", "svg")
    width: float | None = None
    """Inches of all figures, as a column of a paper has them: without title, which a caption is for, and with legends
    below. None: as wide as the figure asks for."""


FORMATS = ("png", "svg", "pdf")
_PRINT: ContextVar[Print] = ContextVar("print")


def print_of_now() -> Print:
    """How figures are written now."""
    return _PRINT.get(Print())


@contextmanager
def printed(how: Print) -> Iterator[None]:
    """Inside, figures are drawn and written so."""
    token = _PRINT.set(how)
    try:
        yield
    finally:
        _PRINT.reset(token)


def new_figure(width: float, height: float, title: str) -> Figure:
    """An empty figure with a title; sizes in inches, without the legend on the right."""
    column = print_of_now().width
    size = (width, height) if column is None else (column, max(_LOWEST, height * min(1.0, column / width)))
    figure = Figure(figsize=(min(size[0], _WIDEST), min(size[1], _WIDEST)), dpi=200, layout="constrained")
    if column is None:
        figure.suptitle(title, x=0.01, ha="left")
    return figure


def make_panels(figure: Figure, lines: int, columns: int, **share: Any) -> Any:
    """Axes [lines, columns] of a figure; in a column of a paper that is too narrow for them, one below the other.

    share: `sharex` and `sharey` of matplotlib.
    """
    column = print_of_now().width
    fitting = columns if column is None else max(1, min(columns, int(column / _NARROWEST)))
    if fitting < columns:
        figure.set_figheight(figure.get_figheight() * -(-lines * columns // fitting) / lines)
        lines, columns = -(-lines * columns // fitting), fitting
    return figure.subplots(lines, columns, squeeze=False, **share)


def fix_layout(figure: Figure) -> None:
    """Fix the layout: later additions do not change it, and drawing does not compute it again."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")


def legend(figure: Figure, keys: Sequence[Line2D], title: str | None = None) -> None:
    """A legend on the right below the title, in as many columns as the height asks for.

    The figure grows by its width, and to that of its own title. In a column of a paper it stands below instead.
    """
    longest = max((len(line) for key in keys for line in str(key.get_label()).splitlines()), default=0)
    if (column := print_of_now().width) is not None:
        legend_below(figure, keys, title, max(1, int(column / (0.55 + 0.058 * longest))))
        return
    width = figure.get_figwidth()
    if keys:
        columns = math.ceil(len(keys) / (math.floor(5.5 * figure.get_figheight()) - 2 - (title is not None)))
        width += (0.55 + 0.058 * longest) * columns
        where: dict[str, Any] = {"loc": "outside right upper", "alignment": "left", "ncols": columns}
        figure.legend(handles=keys, title=below_title(title or ""), **where)
    figure.set_figwidth(min(_WIDEST, max(width, 0.3 + 0.064 * len(figure.get_suptitle()))))


def legend_below(figure: Figure, keys: Sequence[Line2D], title: str | None, columns: int) -> None:
    """A legend below the axes; the figure grows by its height."""
    if not keys:
        return
    columns = min(columns, len(keys))
    lines = math.ceil(len(keys) / columns) + (title is not None) + sum("\n" in str(key.get_label()) for key in keys)
    figure.legend(handles=keys, title=title, loc="outside lower left", alignment="left", ncols=columns)
    figure.set_figheight(figure.get_figheight() + 0.16 * lines + 0.1)


def below_title(text: str) -> str:
    """The title of a legend in the upper right corner, a line lower, where the figure's title does not reach."""
    return f"\n{text}"


def shades(name: str, number: int) -> list[Any]:
    """Colors in order, from one of matplotlib's maps; its light end is too faint on white."""
    return [matplotlib.colormaps[name](share) for share in np.linspace(0, 0.88, number)]


def kind_colors(number: int) -> list[Any]:
    """Colors for kinds of runs."""
    return list(KIND_COLORS[:number]) if number <= len(KIND_COLORS) else shades(SIZE_COLORS, number)


def looks_of(names: Sequence[str]) -> dict[str, tuple[Any, str]]:
    """The color and the marker of each kind of run."""
    markers = [MARKERS[place % len(MARKERS)] for place in range(len(names))]
    return dict(zip(names, zip(kind_colors(len(names)), markers, strict=True), strict=True))


def seed_bars(rows: pd.DataFrame, mean: str) -> Any:
    """The lengths of bars from the mean down to the column `low` and up to `high`, [2, rows]."""
    return np.array([rows[mean] - rows["low"], rows["high"] - rows[mean]]).clip(min=0)


def spread(values: "pd.Series[Any]", most: int) -> list[Any]:
    """At most `most` of the distinct values, evenly spread from the first to the last."""
    distinct = sorted(values.unique())
    places = np.linspace(0, len(distinct) - 1, min(most, len(distinct))).round().astype(int)
    return [distinct[place] for place in places]


def plot_points(axes: Axes, rows: pd.DataFrame, x: str, y: str, color: Any, *, interval: bool = False) -> None:
    """A mark at the mean over seeds, with a bar over them (for a single seed, over its 95 % interval if wanted)."""
    rows = rows.dropna(subset=[y])
    single = (rows.groupby(x)[y].transform("size") == 1) & interval
    low, high = (rows[f"{y}_{end}"].where(single, rows[y]) if interval else rows[y] for end in ("low", "high"))
    spans = rows.assign(mean=rows[y], low=low, high=high).groupby(x)
    points = spans.agg({"mean": "mean", "low": "min", "high": "max"})
    bars = np.array([points["mean"] - points["low"], points["high"] - points["mean"]])
    bars = np.nan_to_num(bars).clip(min=0)  # a run may lack an interval
    bar = bars if bars.any() else None
    axes.errorbar(points.index, points["mean"], bar, fmt="o-", color=color, elinewidth=0.8, zorder=2)


def bar_keys(seeds: "pd.Series[int]", *, interval: bool = False) -> list[Line2D]:
    """Entries of a legend that say what bars are. seeds: how many each point has."""
    texts = ["bars: lowest and highest seed"] if (seeds > 1).any() else []
    if interval and (seeds == 1).any():
        texts.append("bars of one seed: 95 %, people" if texts else "bars: 95 % over people")
    return [Line2D([], [], color="0.4", linestyle="", marker="|", markersize=7, label=text) for text in texts]


def limits(values: Iterable[SupportsFloat], margin: float = 1.6) -> tuple[float, float]:
    """The ends of a logarithmic axis: room around the positive values, and at least one decade."""
    numbers = [float(value) for value in values if float(value) > 0] or [1.0]
    low, high = min(numbers) / margin, max(numbers) * margin
    widen = max(1.0, math.sqrt(10 * low / high))
    return low / widen, high * widen


def logarithmic(axis: Axis, low: float, high: float) -> None:
    """A logarithmic axis with ticks such as 10K, 100K, 1M; between the decades too where they are few."""
    name = "x" if axis is axis.axes.xaxis else "y"
    axis.axes.set(**{f"{name}scale": "log", f"{name}lim": (low, high)})
    decades = math.log10(high / low)
    steps = (1, 2, 5) if decades < 1.2 else (1, 3) if decades < 2.5 else (1,)
    powers = [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    for set_locator, multiples in ((axis.set_major_locator, steps), (axis.set_minor_locator, range(2, 10))):
        ticks = [step * power for power in powers for step in multiples]
        set_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axis.set_major_formatter(FuncFormatter(lambda number, _: short_number(float(f"{number:.6g}"))))
    axis.set_minor_formatter(NullFormatter())


def level_lines(axes: Axes, *, named: bool = True) -> None:
    """Lines at 2 and 1 bits per parameter, each with its name at its end, where no data can be."""
    for R in LEVELS:
        if axes.get_ylim()[1] > R:
            axes.axhline(R, **LEVEL_LINE)
            if named:
                axes.text(1.01, R, LEVELS[R], va="center", transform=axes.get_yaxis_transform(), **LABEL)


def label_outer(panels: Any, shown: int, x: str, y: str) -> None:
    """Name the axes of the lowest and of the leftmost panels, and hide those that are not used.

    panels: an array [lines, columns] of axes that share theirs; shown: how many of them are used, line by line.
    """
    columns = panels.shape[1]
    for place, panel in enumerate(panels.flat):
        if place >= shown:
            panel.set_visible(False)
        elif place + columns >= shown:
            panel.set_xlabel(x)
            panel.tick_params(labelbottom=True)
        if place % columns == 0:
            panel.set_ylabel(y)


def visible(rows: pd.DataFrame) -> "pd.Series[bool]":
    """The points to show on a logarithmic axis; points just above zero would only stretch it."""
    return rows["bits"] >= LEAST * rows[["params", "max_bits"]].min(axis=1)


def note_left_out(axes: Axes, rows: pd.DataFrame) -> None:
    """Say in the corner below the curves how many points are not visible."""
    left_out = int((~visible(rows)).sum())
    if left_out:
        text = f"{left_out} point{'s' if left_out > 1 else ''} near zero not shown"
        axes.text(0.98, 0.02, text, ha="right", va="bottom", transform=axes.transAxes, **LABEL)
