"""The figures of a store: the frame of `capacity.store.records` and the runs' metrics come in, PNG and SVG go out.

One figure of the whole store: the capacity of each size, the best R over N. Four for each kind of run: stored bits
against parameters (after the first figures of Allen-Zhu and Li, arXiv 2404.05405), bits per parameter against
parameters and against people, and learning curves.
"""

import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any, SupportsFloat

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, PercentFormatter

from basis.files import replace_file
from capacity.laws.capacity import best_over_people, compared
from capacity.laws.groups import kinds, label
from capacity.report.table import short_number
from capacity.store.curves import load_curves
from capacity.store.options import deciding
from capacity.store.records import by_precision
from eval.quantizers.schemes import parse_scheme

LEAST = 0.01
"""Points with fewer bits than this share of both P and the most bits are left out of logarithmic axes."""

USUAL = {"rtn-int8+embedding": "s", "rtn-int4+embedding": "D"}
"""Quantizations that nearly all runs have, with their marks."""

MOST_PANELS = 3  # quantizations beside the plain model
MOST_SIZES, MOST_PEOPLE = 8, 3  # in one figure of learning curves: 24 curves
PEOPLE_COLORS, SIZE_COLORS = "viridis", "plasma"  # both ordered to the eye and in gray print

LEVELS = {2: "2 bits/param", 1: "1 bit/param"}  # the law after 1000 and after 100 exposures
LEVEL_LINE: dict[str, Any] = {"color": "0.35", "linewidth": 0.6, "zorder": 1}
LABEL: dict[str, Any] = {"fontsize": 6.5, "color": "0.25", "zorder": 4}
LABEL["path_effects"] = [withStroke(linewidth=2, foreground="white")]

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
}


@dataclass(frozen=True)
class Curve:
    """The runs that one curve joins, with what its legend says."""

    label: str
    color: Any
    rows: pd.DataFrame


def draw_all(frame: pd.DataFrame, out: Path, folders: Sequence[Path] = ()) -> list[Path]:
    """Write every figure to `out`/plots as PNG (200 dpi) and SVG, and return the paths.

    folders: where the runs are; `out` unless they are given.
    Equal frames and metrics give equal bytes. Figures of an earlier call that this one has no runs for are removed.
    """
    frame = compared(frame, kinds(frame, deciding(frame)))
    folder = out / "plots"
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with matplotlib.style.context(["default", STYLE]):
        overview = law(frame)
        written += _save(overview, folder / "law") if overview else []
        for suffix, rows in _combinations(frame):
            figures = {name: draw(rows, folders or [out]) for name, draw in FIGURES.items()}
            for name, figure in figures.items():
                written += _save(figure, folder / f"{name}{suffix}") if figure else []
    ours = re.compile(rf"(law|{'|'.join(FIGURES)})(_bio[sd][_,][^/]*|-[^/]*)?\.(png|svg)")
    for path in sorted(folder.iterdir()):
        if ours.fullmatch(path.name) and path not in written:
            path.unlink()
    return written


def law(frame: pd.DataFrame) -> Figure | None:
    """The best R over N against parameters, a curve for each kind of run; None if no kind has several sizes.

    Curves of one color differ in exposures alone: solid for the most of them, then broken lines. A hollow point is a
    lower bound: the best N is the smallest or the largest that was tried.
    """
    kind = kinds(frame, deciding(frame))
    if frame.empty or frame.groupby(kind or (lambda _: 0), dropna=False)["params"].nunique().max() < 2:
        return None
    best = best_over_people(frame, kind)
    figure = Figure(figsize=(5.6, 3.2), dpi=200, layout="constrained")
    figure.suptitle("Capacity: the best bits per parameter over N" + _not_shown(frame), x=0.01, ha="left")
    axes = figure.subplots()
    schemes = _quantizations(frame)
    marks = _marks(schemes)
    ring: dict[str, Any] = {"linestyle": "", "fillstyle": "none", "markeredgewidth": 0.6, "markersize": 7}
    groups = list(_groups(best, kind))
    keys = []
    passes = [values.get("exposures") for values, _ in groups]
    others = [str({name: value for name, value in values.items() if name != "exposures"}) for values, _ in groups]
    styles: Iterable[Any] = cycle(("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 4))))
    lines = dict(zip(sorted({one or 0 for one in passes}, reverse=True), styles, strict=False))
    colors = dict(zip(dict.fromkeys(others), _colors(SIZE_COLORS, len(set(others))), strict=True))
    for other, (values, rows) in zip(others, groups, strict=True):
        line, color = lines[values.get("exposures") or 0], colors[other]
        plain = rows[rows["quantization"] == "none"].sort_values("params")
        bars = np.array([plain["R"] - plain["low"], plain["high"] - plain["R"]]).clip(min=0)
        axes.errorbar(plain["params"], plain["R"], bars, fmt="o", ls=line, color=color, elinewidth=0.8, zorder=2)
        edge = plain[~plain["bracketed"]]
        axes.plot(edge["params"], edge["R"], "o", color=color, markerfacecolor="white", zorder=3)
        for scheme in schemes:
            found = rows[rows["quantization"] == scheme]
            axes.plot(found["params"], found["R"], marks[scheme], color=color, zorder=4, clip_on=False, **ring)
        keys.append(Line2D([], [], color=color, linestyle=line, marker="o", label=label(values) if values else "R"))
    P_low, P_high = _limits(frame["params"])
    axes.set(xscale="log", xlim=(P_low, P_high), ylim=(0, max(2.3, 1.08 * best["high"].max())))
    axes.set(xlabel="Model parameters P", ylabel="Bits per parameter R = bits / P")
    _number_ticks(axes.xaxis, P_low, P_high)
    _level_lines(axes)
    hollow = Line2D(
        [], [], color="0.4", linestyle="", marker="o", markerfacecolor="white", label="lower bound: N at the edge"
    )
    keys += [hollow] if not best["bracketed"].all() else []
    keys += [Line2D([], [], linestyle="", label="each at its own best N:")] if schemes else []
    keys += [Line2D([], [], color="0.4", marker=marks[name], label=name, **ring) for name in schemes]
    _legend(figure, keys)
    return figure


def capacity(rows: pd.DataFrame, folders: Sequence[Path]) -> Figure:
    """Bits against parameters, a curve for each number of people, a panel for each quantization."""
    schemes = ["none", *_quantizations(rows)]
    columns = len(schemes) if len(schemes) <= 3 else 2
    lines = math.ceil(len(schemes) / columns)
    figure = _figure(rows, max(4.6, 2.7 * columns + 1.2), 2.6 * lines + 0.2, _not_shown(rows))
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    curves = _curves_by_people(rows)
    P_low, P_high = _limits(rows["params"])
    most = max(LEVELS) * rows["params"].max()  # the law is always in view
    shown = rows["bits"][_visible(rows)]
    B_low, B_high = _limits([*shown, most] if len(shown) else [LEAST * P_low, most])
    B_low /= 1 if _visible(rows).all() else 1.6  # room for the note about the others
    for panel, scheme in zip(panels.flat, schemes, strict=True):
        panel.set(xscale="log", yscale="log", xlim=(P_low, P_high), ylim=(B_low, B_high))
        panel.set_title("As trained" if scheme == "none" else f"Quantized to {scheme}")
        _note_left_out(panel, rows[rows["quantization"] == scheme])
        for curve in curves:
            found = curve.rows[curve.rows["quantization"] == scheme]
            _plot_points(panel, found[_visible(found)], "params", "bits", curve.color)
            panel.axhline(curve.rows["max_bits"].iloc[0], color=curve.color, linestyle=":", linewidth=0.8, zorder=1)
        for R in LEVELS:
            panel.plot([P_low, P_high], [R * P_low, R * P_high], **LEVEL_LINE)
        _number_ticks(panel.xaxis, P_low, P_high)
        _number_ticks(panel.yaxis, B_low, B_high)
    for panel in panels[-1]:
        panel.set_xlabel("Model parameters P")
    for panel in panels[:, 0]:
        panel.set_ylabel("Stored knowledge (bits)")
    keys = [*_handles(curves), Line2D([], [], color="0.4", linestyle=":", linewidth=0.8, label="max bits of N")]
    _legend(figure, keys)
    _fix_layout(figure)  # the labels turn with their lines
    for panel in panels.flat:
        for R in LEVELS:
            _label_slope(figure, panel, R)
    return figure


def bits_per_param(rows: pd.DataFrame, folders: Sequence[Path]) -> Figure:
    """R against parameters with its intervals, quantized models as hollow marks, R max as faint crosses."""
    figure = _figure(rows, 4.9, 3.0, _not_shown(rows))
    axes = figure.subplots()
    curves = _curves_by_people(rows)
    schemes = _quantizations(rows)
    marks = _marks(schemes)
    hollow: dict[str, Any] = {"fillstyle": "none", "markeredgewidth": 0.8, "markersize": 6 if len(curves) < 7 else 4}
    plain = rows[rows["quantization"] == "none"]
    for curve in curves:
        R = curve.rows.pivot_table(index="params", columns="quantization", values="bits_per_param")
        for scheme in R.columns.intersection(schemes):
            axes.plot(R.index, R[scheme], marks[scheme], color=curve.color, zorder=3, **hollow)
        most = curve.rows.groupby("params")["max_bits_per_param"].mean()
        axes.plot(most.index, most, "x", color=curve.color, alpha=0.35, zorder=1)
        found = curve.rows[curve.rows["quantization"] == "none"]
        _plot_points(axes, found, "params", "bits_per_param", curve.color, interval=True)
    P_low, P_high = _limits(rows["params"])
    tops = plain[["bits_per_param", "bits_per_param_high"]].to_numpy(dtype=float)
    top = max(2.2, 1.08 * np.nanmax(tops, initial=0))
    bottom = max(-0.2, min(0, 1.1 * plain["bits_per_param"].min()))  # a model may know less than nothing
    axes.set(xscale="log", xlim=(P_low, P_high), ylim=(bottom, top))
    axes.set(xlabel="Model parameters P", ylabel="Bits per parameter R = bits / P")
    _number_ticks(axes.xaxis, P_low, P_high)
    _level_lines(axes)
    keys = _handles(curves)
    keys += [Line2D([], [], color="0.4", linestyle="", marker=marks[name], label=name, **hollow) for name in schemes]
    keys += [Line2D([], [], marker="x", linestyle="", color="0.7", label="R max (if in view)")]
    _legend(figure, keys)
    return figure


def bits_against_people(rows: pd.DataFrame, folders: Sequence[Path]) -> Figure | None:
    """R against people for each size, with R max, which rises with them; None if no size has several."""
    plain = rows[rows["quantization"] == "none"]
    if plain.groupby("params")["people"].nunique().max() < 2:
        return None
    figure = _figure(rows, 4.9, 3.0)
    axes = figure.subplots()
    curves = _curves_by_size(plain)
    shown = plain["bits_per_param"][_visible(plain)]
    R_low, R_high = _limits([*(shown if len(shown) else plain["max_bits_per_param"]), 2.0], margin=1.25)
    N_low, N_high = _limits(plain["people"])
    for curve in curves:
        most = curve.rows.groupby("people")["max_bits_per_param"].mean()
        axes.plot(most.index, most, ":", color=curve.color, linewidth=0.9, zorder=1)
        found = curve.rows[_visible(curve.rows)]
        _plot_points(axes, found, "people", "bits_per_param", curve.color, interval=True)
    axes.set(xscale="log", yscale="log", xlim=(N_low, N_high), ylim=(R_low, R_high))
    axes.set(xlabel="People N", ylabel="Bits per parameter R = bits / P")
    _number_ticks(axes.xaxis, N_low, N_high)
    _number_ticks(axes.yaxis, R_low, R_high)
    _level_lines(axes)
    _note_left_out(axes, plain)
    keys = [*_handles(curves), Line2D([], [], color="0.4", linestyle=":", linewidth=0.9, label="R max")]
    _legend(figure, keys, title="Size (P)")
    return figure


def learning_curves(rows: pd.DataFrame, folders: Sequence[Path]) -> Figure | None:
    """R and accuracy against exposures, from the runs' metrics; None if no run has any.

    Shown are a few sizes, and a few of the N that all of these have: if they have none in common, of each the best.
    """
    plain = rows[rows["quantization"] == "none"]
    sizes = _spread(plain["params"], MOST_SIZES)
    shown = plain[plain["params"].isin(sizes)]
    common = shown.groupby("people")["size"].nunique() == shown["size"].nunique()
    people = _spread(pd.Series(common[common].index), MOST_PEOPLE)
    if people:
        curves = _curves_by_size(shown[shown["people"].isin(people)])
    else:
        curves = _curves_by_size(shown.merge(best_over_people(shown, [])[["size", "people"]]))
        curves = [replace(curve, label=f"{curve.label}, N = {curve.rows['people'].iloc[0]:,}") for curve in curves]
    dashes = dict(zip(people, ("-", "--", ":"), strict=False))
    figure = _figure(rows, 7.2, 2.8)
    panels = figure.subplots(1, 2, sharex=True)
    longest, best = 0.0, 0.0
    measured = load_curves(*folders, runs=[run for curve in curves for run in curve.rows["run_id"]])
    by_run = dict(list(measured[measured["exposures"] > 0].groupby("run_id")))
    for curve in curves:
        for run, N in zip(curve.rows["run_id"], curve.rows["people"], strict=True):
            recall = by_run.get(run, measured.iloc[:0])
            if recall.empty:
                continue
            for panel, name in zip(panels, ("bits_per_param", "qa_accuracy"), strict=True):
                panel.plot(recall["exposures"], recall[name], dashes.get(N, "-"), color=curve.color, linewidth=1)
            longest, best = max(longest, recall["exposures"].max()), max(best, recall["bits_per_param"].max())
    if not longest:
        return None
    top = 1.1 * best if best > 0 else 1.0
    E_low, E_high = _limits([line.get_xdata()[0] for line in panels[0].lines] + [longest], margin=1.15)
    panels[0].set(xscale="log", xlim=(E_low, E_high), ylim=(0, top), ylabel="Bits per parameter R = bits / P")
    panels[1].set(ylim=(0, 1.02), ylabel="Accuracy of completed values")
    panels[1].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    _level_lines(panels[0])
    for panel in panels:
        panel.set_xlabel("Exposures")
        _number_ticks(panel.xaxis, E_low, E_high)
    title = "Size (P)" + ("" if people else " and its best N") + _part(sizes, plain["params"])
    figure.legend(handles=_handles(curves, marker=""), loc="outside right upper", alignment="left", title=title)
    if people:
        keys = [Line2D([], [], color="0.4", linestyle=dashes[N], linewidth=1, label=f"N = {N:,}") for N in people]
        title = "People" + _part(people, plain["people"])
        figure.legend(handles=keys, loc="outside right lower", alignment="left", title=title)
    return figure


FIGURES: dict[str, Callable[[pd.DataFrame, Sequence[Path]], Figure | None]] = {
    "capacity": capacity,
    "bits_per_param": bits_per_param,
    "bits_against_people": bits_against_people,
    "learning_curves": learning_curves,
}


def _groups(frame: pd.DataFrame, kind: Sequence[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Each kind of run: what tells it apart, and its rows."""
    if not kind:
        yield from [({}, frame)] if len(frame) else []
        return
    for values, rows in frame.groupby(list(kind), sort=False, dropna=False):
        yield dict(zip(kind, values, strict=True)), rows


def _combinations(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The end of the file names and the rows of each set of figures."""
    for values, rows in _groups(frame, kinds(frame, deciding(frame))):
        yield re.sub("[^A-Za-z0-9._]+", "-", f"-{label(values)}") if values else "", rows


def _figure(rows: pd.DataFrame, width: float, height: float, more: str = "") -> Figure:
    """An empty figure, sizes in inches, with what its runs have in common, and more, for a title."""
    figure = Figure(figsize=(width, height), dpi=200, layout="constrained")
    shared = rows[["dataset", "exposures", "junk", "recipe"]].iloc[0].to_dict()
    figure.suptitle(
        label({str(name): value for name, value in shared.items() if value != "0"}) + more, x=0.01, ha="left"
    )
    return figure


def _marks(schemes: Sequence[str]) -> dict[str, str]:
    """Hollow marks of quantizations: int8 and int4, rounded, have the same in every figure."""
    marks = {scheme: USUAL[name] for scheme in schemes if (name := str(parse_scheme(scheme))) in USUAL}
    others = [name for name in schemes if name not in marks]
    return marks | dict(zip(others, "^vp", strict=False))


def _legend(figure: Figure, keys: Sequence[Line2D], title: str | None = None) -> None:
    """A legend on the right, in as many columns as the figure's height asks for; its width grows with them."""
    columns = math.ceil(len(keys) / (math.floor(5.5 * figure.get_figheight()) - (title is not None)))
    longest = max(len(str(key.get_label())) for key in keys)
    figure.set_figwidth(figure.get_figwidth() + (0.5 + 0.06 * longest) * (columns - 1))
    where: dict[str, Any] = {"loc": "outside right upper", "alignment": "left", "ncols": columns}
    figure.legend(handles=keys, title=title, **where)


def _fix_layout(figure: Figure) -> None:
    """Lay the figure out for good: what comes later fits itself to it, and no drawing repeats it."""
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.execute(figure)
    figure.set_layout_engine("none")


def _save(figure: Figure, stem: Path) -> list[Path]:
    _fix_layout(figure)
    paths = [stem.with_name(f"{stem.name}.{extension}") for extension in ("png", "svg")]
    png, svg = io.BytesIO(), io.BytesIO()
    # Each canvas by itself, as `savefig` draws everything twice; neither date nor version, to give the same bytes.
    FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})
    FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, "Creator": None})
    for path, content in zip(paths, (png, svg), strict=True):
        replace_file(path, content.getvalue())
    return paths


def _curves_by_people(rows: pd.DataFrame) -> list[Curve]:
    """One curve for each N, or several where data sets of one N hold different amounts of bits."""
    kinds = rows[["people", "max_bits"]].drop_duplicates().sort_values(["people", "max_bits"])
    several = set(kinds["people"][kinds["people"].duplicated()])
    curves = []
    for color, (N, most) in zip(_colors(PEOPLE_COLORS, len(kinds)), kinds.to_numpy().tolist(), strict=True):
        label = f"N = {N:,.0f}" + (f" ({short_number(most, 3)} bits)" if N in several else "")
        curves.append(Curve(label, color, rows[(rows["people"] == N) & (rows["max_bits"] == most)]))
    return curves


def _curves_by_size(rows: pd.DataFrame) -> list[Curve]:
    groups: list[tuple[Any, pd.DataFrame]] = list(rows.groupby(["params", "size"]))
    named = zip(_colors(SIZE_COLORS, len(groups)), groups, strict=True)
    return [Curve(f"{size} ({short_number(P, 3)})", color, found) for color, ((P, size), found) in named]


def _colors(name: str, number: int) -> list[Any]:
    # The light end of the maps is too faint on white.
    return [matplotlib.colormaps[name](share) for share in np.linspace(0, 0.88, number)]


def _quantizations(rows: pd.DataFrame) -> list[str]:
    """The quantizations to show, by falling precision; int8 and int4, which the paper has, go before others."""
    present = sorted(set(rows["quantization"]) - {"none"}, key=by_precision)
    first = sorted(present, key=lambda scheme: str(parse_scheme(scheme)) not in USUAL)[:MOST_PANELS]
    return sorted(first, key=by_precision)


def _not_shown(rows: pd.DataFrame) -> str:
    """The quantizations that there is no room for, for a title."""
    names = sorted(set(rows["quantization"]) - {"none", *_quantizations(rows)}, key=by_precision)
    return f" (not shown: {', '.join(names)})" if names else ""


def _spread(values: "pd.Series[Any]", most: int) -> list[Any]:
    """At most `most` of the distinct values, evenly spread from the first to the last."""
    distinct = sorted(values.unique())
    places = np.linspace(0, len(distinct) - 1, min(most, len(distinct))).round().astype(int)
    return [distinct[place] for place in places]


def _part(shown: Sequence[Any], values: "pd.Series[Any]") -> str:
    return "" if len(shown) == values.nunique() else f", {len(shown)} of {values.nunique()}"


def _plot_points(axes: Axes, rows: pd.DataFrame, x: str, y: str, color: Any, *, interval: bool = False) -> None:
    """A mark at the mean over runs, with a bar over all of them (and their 95 % intervals)."""
    low, high = (f"{y}_low", f"{y}_high") if interval else (y, y)
    points = rows.dropna(subset=[y]).groupby(x).agg(mean=(y, "mean"), low=(low, "min"), high=(high, "max"))
    bars = np.array([points["mean"] - points["low"], points["high"] - points["mean"]])
    bars = np.nan_to_num(bars).clip(min=0)  # quantized models may lack an interval
    bar = bars if bars.any() else None
    axes.errorbar(points.index, points["mean"], bar, fmt="o-", color=color, elinewidth=0.8, zorder=2)


def _handles(curves: Sequence[Curve], marker: str = "o") -> list[Line2D]:
    return [Line2D([], [], color=curve.color, marker=marker, label=curve.label) for curve in curves]


def _limits(values: Iterable[SupportsFloat], margin: float = 1.6) -> tuple[float, float]:
    """The ends of a logarithmic axis: room around the values, and at least one decade."""
    numbers = [float(value) for value in values]
    low, high = min(numbers) / margin, max(numbers) * margin
    widen = max(1.0, math.sqrt(10 * low / high))
    return low / widen, high * widen


def _number_ticks(axis: Axis, low: float, high: float) -> None:
    """Ticks of a logarithmic axis such as 10K, 100K, 1M; between the decades too where they are few."""
    decades = math.log10(high / low)
    steps = (1, 2, 5) if decades < 1.7 else (1, 3) if decades < 2.5 else (1,)
    powers = [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    for set_locator, multiples in ((axis.set_major_locator, steps), (axis.set_minor_locator, range(2, 10))):
        ticks = [step * power for power in powers for step in multiples]
        set_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axis.set_major_formatter(FuncFormatter(lambda number, _: short_number(float(f"{number:.6g}"))))
    axis.set_minor_formatter(NullFormatter())


def _level_lines(axes: Axes) -> None:
    """Lines at 2 and 1 bits per parameter, each with its name at its end, where no data can be."""
    for R in LEVELS:
        if axes.get_ylim()[1] > R:
            axes.axhline(R, **LEVEL_LINE)
            axes.text(1.01, R, LEVELS[R], va="center", transform=axes.get_yaxis_transform(), **LABEL)


def _label_slope(figure: Figure, axes: Axes, R: int) -> None:
    """The name of the line bits = R·P along it (both axes logarithmic), where it is furthest from the curves."""
    curves = [line.get_transform().transform(line.get_xydata()) for line in axes.lines if line.get_marker() == "o"]
    # Points between the marks, as a label may as well cover the line that joins them.
    steps = np.linspace(0, 1, 20)[:, None, None]
    between = [(xy[:-1] + steps * (xy[1:] - xy[:-1])).reshape(-1, 2) for xy in curves]
    taken = np.concatenate([np.zeros((0, 2)), *curves, *between])
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    ends = np.array([max(left, bottom / R), min(right, top / R)])
    start, end = axes.transData.transform(np.column_stack([ends, R * ends]))
    length = np.hypot(*(end - start))
    direction = (end - start) / length
    normal = np.array([-direction[1], direction[0]])
    point = figure.dpi / 72
    along = np.linspace(-25, 25, 9)[:, None] * point * direction  # a label is about 50 points long
    centers = start + np.linspace(0, length, 30)[:, None] * direction
    places = [(center, side) for side in (1, -1) for center in centers]

    def room(place: tuple[np.ndarray, int]) -> float:
        label = place[0] + along + 6 * place[1] * point * normal
        inside = (label > np.add(axes.bbox.min, 3 * point)) & (label < np.add(axes.bbox.max, -3 * point))
        distance = np.hypot(*(label[:, None] - taken).T).min(initial=12 * point)
        return float(distance) if inside.all() else 0.0

    center, side = max(places, key=room)
    x, y = axes.transData.inverted().transform(center + 1.5 * point * side * normal)
    text = axes.text(x, y, LEVELS[R], ha="center", va="bottom" if side > 0 else "top", **LABEL)
    text.set(rotation=math.degrees(math.atan2(direction[1], direction[0])), rotation_mode="anchor")


def _visible(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Which points have a place on a logarithmic axis; a little above zero they would only stretch it."""
    return rows["bits"] >= LEAST * rows[["params", "max_bits"]].min(axis=1)


def _note_left_out(axes: Axes, rows: pd.DataFrame) -> None:
    """Say in the corner below the curves how many points are not visible."""
    left_out = int((~_visible(rows)).sum())
    if left_out:
        text = f"{left_out} point{'s' if left_out > 1 else ''} near zero not shown"
        axes.text(0.98, 0.02, text, ha="right", va="bottom", transform=axes.transAxes, **LABEL)
