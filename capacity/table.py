"""`python -m capacity.table OUT`: rebuild results.csv and the plots of a store from its runs alone, print its table."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from basis.flags import run_main
from basis.program import called_as
from capacity.report.plots import draw_all
from capacity.report.table import collect, show, write_csv


def main(arguments: Sequence[str] | None = None) -> int:
    """Rebuild results.csv and the plots of a store and print its table; the exit code is 2 if it has no runs."""
    parser = argparse.ArgumentParser(prog=called_as("capacity.table"), description="Rebuild the table and plots.")
    parser.add_argument("out", type=Path, help="folder of the runs")
    out: Path = parser.parse_args(arguments).out
    try:
        frame = collect(out)
        if frame.empty:
            raise ValueError(f"out = '{out}': no finished run in this folder (no */result.json)")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    write_csv(frame, out / "results.csv")
    plots = draw_all(frame, out)
    # A pipe or a file has no width of its own, and the 80 columns that rich assumes are too few.
    console = Console(width=None if sys.stdout.isatty() else 120)
    show(frame, console)
    console.print(f"Wrote {out / 'results.csv'} and {len(plots)} files in {out / 'plots'}.", soft_wrap=True)
    return 0


if __name__ == "__main__":
    run_main(main)
