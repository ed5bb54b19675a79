"""The printed table of runs: a line for each setting, the mean over its seeds.

In: the frame of `capacity.store.records.load`. Out: text on a terminal.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, SupportsFloat

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from biogen.datasets import title_of
from capacity.laws.capacity import compared
from capacity.laws.groups import kinds, phrase
from capacity.store.folders import count_runs
from capacity.store.options import deciding
from capacity.store.records import by_precision

MOST_SHOWN = 500
"""Lines in a printed table; results.csv has all runs."""

LAW = {1000: 2.0, 100: 1.0}
"""Bits per parameter by exposures, as Allen-Zhu and Li found (arXiv 2404.05405, results 1 and 5)."""

_NEARLY_ALL = 0.8
"""The share of R max from which on the data limit R, and not the training."""

_MEANS = ("loss_name", "loss_value", "bits_per_param", "max_bits_per_param", "qa_accuracy")
_HELD_OUT = "heldout_loss"


def show(frame: pd.DataFrame, console: Console) -> None:
    """Print a line for each setting: size and data, losses (nats), R with its range, accuracy, R quantized.

    Runs of one line differ in their seed alone. Options have columns where they differ; the caption names what all
    runs share, and says what the range is.
    """
    if frame.empty:
        console.print("No finished run.")
        return
    kind = kinds(frame, deciding(frame))
    lines = _lines(frame, kind)
    partial = frame.drop(compared(frame, kind).index)["run_id"].nunique()
    if len(lines) > MOST_SHOWN:
        console.print(f"{len(lines):,} settings, the last {MOST_SHOWN} of them here:")
        lines = lines.iloc[-MOST_SHOWN:]
    _print_to_fit([_table(lines, kind, space) for space in (1, 0)], console)
    known = lines["bits_per_param"].notna()
    read = f"; accuracy of values completed. {_range(lines[known])}" if known.any() else "."
    console.print(f"{_shared(frame, kind)}Losses in nats{read}", markup=False, highlight=False)
    if frame["quantization"].str.endswith("+embedding").any():
        console.print("rtn: rounded to nearest; +emb: embedding and output head quantized, too.", highlight=False)
    if known.any():
        console.print(_how_to_read(lines[known]), highlight=False)
    if not known.all():
        console.print(_NO_BITS, highlight=False)
    if partial:
        where = "for some of the seeds with that size and N only: not in the table, nor in figures."
        console.print(
            f"Quantized copies of {count_runs(partial)} were measured {where}", highlight=False, soft_wrap=True
        )


_NO_BITS = (
    "A corpus has no R, because it is not known how much there is to learn. "
    "Loss value: of a piece that was trained on; held out: of a token of other files."
)


def short_number(number: SupportsFloat, digits: int | None = None) -> str:
    """A number with K, M, B or T: 59952 is "60.0K" with three digits, and "59.952K" with as many as it takes."""
    value = float(number)
    # Three digits of 999,900 are 1000 thousands, which the next letter writes as 1.00.
    power = next((power for power in range(4) if abs(value) < 999.5 * 1000**power), 4)
    if digits is None or power == 0:
        return f"{value / 1000**power:g}" + ("", *"KMBT")[power]
    return f"{value / 1000**power:#.{digits}g}".rstrip(".") + "KMBT"[power - 1]


def _lines(frame: pd.DataFrame, kind: Sequence[str]) -> pd.DataFrame:
    """A row for each setting in order of first appearance: means over seeds, and `R SCHEME` of copies."""
    keys = [*kind, "size", "people"]
    runs = frame.drop_duplicates("run_id")  # a run's first row is the one without quantization
    of_setting = runs.groupby(keys, dropna=False, sort=False)
    R = of_setting["bits_per_param"]
    several = of_setting["run_id"].transform("size") > 1
    ends = runs.assign(
        low=runs["bits_per_param"].where(several, runs["bits_per_param_low"]),
        high=runs["bits_per_param"].where(several, runs["bits_per_param_high"]),
    ).groupby(keys, dropna=False, sort=False)
    lines = pd.DataFrame(
        {
            **{name: of_setting[name].first() for name in ("params", "exposures") if name not in keys},
            **{name: of_setting[name].mean() for name in (*_MEANS, "question_accuracy_held_out", *_held_out(runs))},
            **{"seeds": R.size(), "low": ends["low"].min(), "high": ends["high"].max()},
        }
    )
    copies = compared(frame, kind)
    for scheme in sorted(set(frame["quantization"]) - {"none"}, key=by_precision):
        copy = copies[copies["quantization"] == scheme]
        lines[f"R {scheme}"] = copy.groupby(keys, dropna=False, sort=False)["bits_per_param"].mean()
    return lines.reset_index()


def _held_out(runs: pd.DataFrame) -> list[str]:
    """The held-out loss, if there are runs of which it says more than R, which they do not have."""
    return [_HELD_OUT] if runs["bits_per_param"].isna().any() and _HELD_OUT in runs else []


def _print_to_fit(tables: Sequence[Table], console: Console) -> None:
    """Print the loosest table that fits; a terminal too narrow even for the last wraps its lines, but cuts nothing."""
    width = console.width
    widest = console.options.update(max_width=1000)
    needed = [Measurement.get(console, widest, table).maximum for table in tables]
    chosen = next((place for place, need in enumerate(needed) if need <= width), len(tables) - 1)
    console.width = max(width, needed[chosen])
    console.print(tables[chosen])
    console.width = width


def _table(lines: pd.DataFrame, kind: Sequence[str], space: int) -> Table:
    """One line for each setting. space: blanks between columns beyond the minimum."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, space, 0, 0))
    cells: list[list[Text]] = []

    def add(
        header: str, values: Iterable[Any], text: Callable[[Any], str], side: JustifyMethod = "right", style: str = ""
    ) -> None:
        table.add_column(Text(header), justify=side, no_wrap=True, style=style)
        cells.append([Text("-" if pd.isna(value) else text(value)) for value in values])  # no markup

    if "dataset" in kind:
        add("data", lines["dataset"], title_of, "left")
    add("size", lines["size"], str, "left")
    add("P", lines["params"], lambda number: short_number(number, 3))
    add("people", lines["people"], lambda N: f"{N:,}" if N < 10**6 else short_number(N))
    add("exposures", lines["exposures"], lambda number: f"{number:,.10g}")
    for name in (name for name in kind if name not in ("dataset", "exposures")):
        words = lines[name].map(lambda value: isinstance(value, str)).any() and name != "junk"
        add(name.replace("_", "\n"), lines[name], _value, "left" if words else "right")
    if (lines["seeds"] > 1).any():
        add("seeds", lines["seeds"], str)
    if _HELD_OUT in lines:
        add("held\nout", lines[_HELD_OUT], "{:.3f}".format, style="bold")
    if known := lines["bits_per_param"].notna().any():
        add("loss\nname", lines["loss_name"], "{:.2f}".format)
    add("loss\nvalue", lines["loss_value"], "{:.2f}".format)
    if known:
        add("R", lines["bits_per_param"], "{:.2f}".format, style="bold")
        ranges = [_interval(low, high) for low, high in zip(lines["low"], lines["high"], strict=True)]
        add("range", ranges, str, "left", "dim")
        add("R max", lines["max_bits_per_param"], "{:.2f}".format)
        add("accu-\nracy", lines["qa_accuracy"], "{:.0%}".format)
    if lines["question_accuracy_held_out"].notna().any():
        add("asked", lines["question_accuracy_held_out"], "{:.0%}".format)
    for name in (name for name in map(str, lines) if known and name.startswith("R ")):
        add(name.replace(" ", "\n").replace("+embedding", "\n+emb"), lines[name], "{:.2f}".format)
    for line in zip(*cells, strict=True):
        table.add_row(*line)
    return table


def _value(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _interval(low: SupportsFloat, high: SupportsFloat) -> str | None:
    return None if pd.isna([low, high]).any() else f"{low:.2f}–{high:.2f}"


def _shared(frame: pd.DataFrame, kind: Sequence[str]) -> str:
    """The options that all runs share, for the caption."""
    first = frame.iloc[0]
    texts = {
        "dataset": f"data {title_of(first.dataset)}",
        "junk": phrase("junk", first.junk),
        "recipe": phrase("recipe", first.recipe),
        **{name: str(first[name]) for name in ("architecture", "optimizer") if name in frame},
    }
    shared = ", ".join(text for name, text in texts.items() if name not in kind)
    return f"{shared[:1].upper()}{shared[1:]}. " if shared else ""


def _range(lines: pd.DataFrame) -> str:
    """What the range after R means."""
    seeds, people = "the lowest and the highest seed", "the 95 % interval over people"
    if (lines["seeds"] > 1).all():
        return f"Range: {seeds}."
    return f"Range: {people}{f'; of several seeds {seeds}' if (lines['seeds'] > 1).any() else ''}."


def _how_to_read(lines: pd.DataFrame) -> str:
    """The law to compare R with, or a sentence that the data were the limit if they were too few to reach it."""
    level = lines["exposures"].map(lambda exposures: LAW[1000 if exposures >= 1000 else 100])
    highest = lines["max_bits_per_param"].max()
    if (lines["max_bits_per_param"] < level).all():
        start = "R = bits per parameter. R max is all that there is to learn, so R never exceeds it: "
        if (lines["bits_per_param"] < _NEARLY_ALL * lines["max_bits_per_param"]).all():
            return f"{start}R max is at most {highest:.2g} here, and R is well below it, so training was too short."
        return (
            f"{start}with R max at most {highest:.2g} the data are the limit here, not the models; more people show "
            "their capacity."
        )
    return (
        "R = bits per parameter; the paper has about 2 after 1,000 exposures, 1 after 100. "
        "R max is all that there is to learn, so R never exceeds it."
    )
