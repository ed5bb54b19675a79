"""`python -m capacity.table A [B ...]`: one table, results.csv and the figures of all runs in some folders together."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from basis.files import path_argument
from basis.flags import Parser, run_main
from basis.folders import refuse_links
from basis.program import called_as
from basis.text import printable, short
from capacity.report.figures import FIGURES, OF_SWEEPS
from capacity.report.figures.runs import draw_all
from capacity.report.table import show
from capacity.store.folders import holes
from capacity.store.parquet import RECORDS
from capacity.store.records import load, write_csv


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, and write results.csv and figures; the exit code is 2 if there are no runs."""
    options = _parser().parse_args(arguments)
    folders: list[Path] = options.folders
    names: list[str] = options.figure or list(OF_SWEEPS)
    # Published results have their figures already, and no results.csv.
    out: Path | None = options.out or (None if os.path.exists(folders[0] / RECORDS) else folders[0])
    try:
        for name in names:
            FIGURES[name]
        frame = load(*folders)
        if frame.empty:
            named = ", ".join(map(str, folders))
            raise ValueError(f"folder: {named} has no finished run (no */result.json); must be the folder of a sweep")
        if out is not None:
            refuse_links(out, "results.csv", "plots")
            if not out.is_dir() and out.exists():
                raise ValueError(f"out: {out} is a file; must be a folder")
    except (ValueError, OSError) as error:
        print(f"error: {short(printable(error), 2000)}", file=sys.stderr)
        return 2
    # A pipe or a file has no width of its own, and the 80 columns that rich assumes are too few.
    console = Console(width=None if sys.stdout.isatty() else 120)
    show(frame, console)
    for line in (line for folder in folders for line in holes(folder)):
        print(f"warning: {printable(line)}", file=sys.stderr)
    if options.out is None and out is not None and not os.access(out, os.W_OK):
        console.print(f"{out} cannot be written: give --out for results.csv and plots.", soft_wrap=True, markup=False)
        return 0
    try:
        return _write(frame, out, folders, names, console) if out is not None else 0
    except ValueError as error:  # a figure of the user's own
        print(f"error: {short(printable(error), 2000)}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {printable(error.filename or out)}: {error.strerror}", file=sys.stderr)
        return 1


def _write(frame: pd.DataFrame, out: Path, folders: list[Path], figures: list[str], console: Console) -> int:
    """Write results.csv and the figures; returns the exit code. Raises OSError, and ValueError as `draw_all` does."""
    plots = draw_all(frame, out, folders, figures)
    write_csv(frame, out / "results.csv")
    text = f"Wrote {out / 'results.csv'} and {len(plots)} files in {out / 'plots'}."
    console.print(printable(text), soft_wrap=True, markup=False)
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog=called_as("capacity.table"),
        description="Put the runs of some folders into one table, results.csv and figures. Runs are averaged over "
        "seeds alone; whatever else differs has a column, and a line in figures.",
    )
    parser.add_argument(
        "folders", type=path_argument, nargs="+", metavar="FOLDER", help="of a sweep, or of published results"
    )
    parser.add_argument(
        "--out",
        type=path_argument,
        help="where results.csv and plots/ go (default: the first folder; of published results nothing is written)",
    )
    parser.add_argument(
        "--figure",
        action="append",
        metavar="NAME",
        help=f"draw this instead of all figures: {', '.join(FIGURES.names)}, or your own as module:Name; repeatable",
    )
    return parser


if __name__ == "__main__":
    run_main(main)
