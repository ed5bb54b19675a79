"""`python -m capacity.fit TABLE --law NAME`: fit a law of scaling to a table of runs, anybody's or ours.

A table is a file of CSV or Parquet with a row a run, or folders of runs of this project. docs/laws.md has the laws.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from basis.files import path_argument
from basis.flags import Parser, UserError, run_main
from basis.program import called_as
from basis.text import printable, short
from capacity.laws import LAWS

if TYPE_CHECKING:
    import pandas as pd

    from capacity.laws.fit import Fit, Law

FLAGS = ("loss", "params", "tokens", "flops")
"""Columns whose name in the table a flag may give."""
DRAWS = 1000
_MOST_DRAWS = 100_000
_MOST_GROUPS = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the fit of each group of rows, and draw its figures. Raises UserError for mistakes."""
    options = _parser().parse_args(arguments)
    try:
        if not 0 <= options.draws <= _MOST_DRAWS:
            raise ValueError(f"draws: {options.draws} is not allowed; must be 0 to {_MOST_DRAWS:,}")
        law = _law(options)
        points = [_numbers(words) for words in options.at]
        table, notes = _table(options, law.needs)
        fits = [(group, _fitted(law, rows, group, options)) for group, rows in _groups(table, options.by)]
        shown = [_json(group, fit, points) if options.json else _text(group, fit, points) for group, fit in fits]
        drawn = _draw(options.figure, fits, points) if options.figure is not None else []
    except ValueError as error:
        raise UserError([str(error)]) from None
    if options.json:
        print(json.dumps({"notes": notes, "fits": shown}, indent=1, ensure_ascii=False))
    else:
        print("\n\n".join(map(str, [*notes, *shown])))
        if drawn:
            print(f"\nWrote {len(drawn)} figures to {printable(options.figure)}.")
    return 0


def _law(options: argparse.Namespace) -> "Law":
    """The law, with its options. Raises ValueError."""
    from capacity.laws.options import with_options

    return with_options(options.law, LAWS[options.law], _pairs("options", options.options))


def _table(options: argparse.Namespace, needs: Sequence[str]) -> tuple["pd.DataFrame", list[str]]:
    """The table with the columns that a law needs, under its names; and what had to be made up. Raises ValueError."""
    from capacity.laws.options import with_columns
    from capacity.store.tables import read_table

    renamed = {name: getattr(options, name) for name in FLAGS if getattr(options, name) is not None}
    renamed |= _pairs("column", options.column)
    try:
        table = read_table(*options.table)
    except OSError as error:
        raise ValueError(f"table: {error.filename or options.table[0]} cannot be read ({error.strerror})") from None
    return with_columns(table, renamed, needs)


def _groups(table: "pd.DataFrame", by: Sequence[str]) -> Iterator[tuple[dict[str, Any], "pd.DataFrame"]]:
    """The rows of each combination of values in some columns. Raises ValueError."""
    if missing := [name for name in by if name not in table]:
        raise ValueError(f"by: {missing[0]} is not a column; the table has {', '.join(map(str, table.columns))}")
    if not by:
        yield {}, table
        return
    groups = table.groupby(list(by), sort=False, dropna=False)
    if groups.ngroups > _MOST_GROUPS:
        raise ValueError(f"by: {', '.join(by)} has {groups.ngroups:,} groups of rows; allowed are {_MOST_GROUPS}")
    for values, rows in groups:
        yield dict(zip(by, values if isinstance(values, tuple) else (values,), strict=True)), rows


def _fitted(law: "Law", rows: "pd.DataFrame", group: Mapping[str, Any], options: argparse.Namespace) -> "Fit":
    try:
        return law.fit(rows, draws=options.draws, seed=options.seed)
    except ValueError as error:
        raise ValueError(f"{_name(group)}: {error}" if group else str(error)) from None


def _text(group: Mapping[str, Any], fit: "Fit", points: Sequence[Mapping[str, float]]) -> str:
    from capacity.report.fits import text_of, text_of_prediction

    lines = [_name(group)] if group else []
    return "\n".join([*lines, text_of(fit), *(text_of_prediction(fit, point) for point in points)])


def _json(group: Mapping[str, Any], fit: "Fit", points: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    from capacity.report.fits import finite, json_of, json_of_prediction

    by = {name: finite(value) for name, value in group.items()}
    return {"by": by} | json_of(fit) | {"predictions": [json_of_prediction(fit, point) for point in points]}


def _draw(
    folder: Path, fits: Sequence[tuple[dict[str, Any], "Fit"]], points: Sequence[Mapping[str, float]]
) -> list[Path]:
    """Write the figures of all fits. Raises ValueError for a folder that cannot be one."""
    from capacity.report.figures.laws import draw_fits

    if folder.exists() and not folder.is_dir():
        raise ValueError(f"figure: {folder} is a file; must be a folder")
    return draw_fits([(_name(group), fit) for group, fit in fits], points, folder)


def _name(group: Mapping[str, Any]) -> str:
    return short(printable(", ".join(f"{name} {value}" for name, value in group.items())), 200)


def _pairs(flag: str, texts: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE. Raises ValueError."""
    for text in texts:
        if not text.partition("=")[0] or not text.partition("=")[2]:
            raise ValueError(f"{flag}: {text!r} is not allowed; must be NAME=VALUE")
    return {text.partition("=")[0]: text.partition("=")[2] for text in texts}


def _numbers(texts: Sequence[str]) -> dict[str, float]:
    """COLUMN=NUMBER, greater than 0. Raises ValueError."""
    found = {}
    for name, text in _pairs("at", texts).items():
        try:
            found[name] = float(text)
        except ValueError:
            found[name] = 0.0
        if not 0 < found[name] < float("inf"):
            raise ValueError(f"at: {name}={text} is not allowed; must be a number greater than 0")
    return found


def _parser() -> Parser:
    parser = Parser(called_as("capacity.fit"), description="Fit a law of scaling to a table of runs.")
    add = parser.add_argument
    add("table", type=path_argument, nargs="+", metavar="TABLE", help="a file of CSV or Parquet, or folders of runs")
    add("--law", required=True, metavar="NAME", help=f"{', '.join(LAWS.names)}, or your own as module:Name")
    add("--options", nargs="+", default=[], metavar="NAME=VALUE", help="options of the law, such as x=tokens floor=no")
    add("--by", nargs="+", default=[], metavar="COLUMN", help="fit the rows of each value of these columns apart")
    for name in FLAGS:
        add(f"--{name}", metavar="COLUMN", help=f"the column of {name} (default: {name})")
    add("--column", nargs="+", default=[], metavar="NAME=COLUMN", help="names of other columns that the law needs")
    add(
        *("--at",),
        nargs="+",
        action="append",
        default=[],
        metavar="COLUMN=NUMBER",
        help="predict this point; with its measured loss it is a star in figures; repeatable",
    )
    add("--draws", type=int, default=DRAWS, help=f"simulated tables for intervals; 0: no intervals (default: {DRAWS})")
    add("--seed", type=int, default=0, help="of the simulated tables (default: 0)")
    add("--json", action="store_true", help="print JSON")
    add("--figure", type=path_argument, metavar="FOLDER", help="draw the law's figures into this folder")
    return parser


if __name__ == "__main__":
    run_main(main)
