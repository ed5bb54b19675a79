"""`python -m capacity.table A [B ...]`: one table, results.csv and the plots of all runs in some folders together."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from basis.flags import run_main
from basis.program import called_as
from capacity.report.plots import draw_all
from capacity.report.table import show
from capacity.store.records import load, write_csv


def main(arguments: Sequence[str] | None = None) -> int:
    """Write results.csv and plots, and print the table; the exit code is 2 if there are no runs."""
    parser = argparse.ArgumentParser(
        prog=called_as("capacity.table"),
        description="Put the runs of some folders into one table, results.csv and plots.",
    )
    parser.add_argument("folders", type=Path, nargs="+", help="folders of sweeps")
    parser.add_argument("--out", type=Path, help="where results.csv and plots are written (default: the first folder)")
    options = parser.parse_args(arguments)
    folders: list[Path] = options.folders
    out: Path = options.out or folders[0]
    try:
        frame = load(*folders)
        if frame.empty:
            named = ", ".join(f"'{folder}'" for folder in folders)
            raise ValueError(f"folders = {named}: no finished run in there (no */result.json)")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    out.mkdir(parents=True, exist_ok=True)
    write_csv(frame, out / "results.csv")
    plots = draw_all(frame, out, folders)
    # A pipe or a file has no width of its own, and the 80 columns that rich assumes are too few.
    console = Console(width=None if sys.stdout.isatty() else 120)
    show(frame, console)
    console.print(f"Wrote {out / 'results.csv'} and {len(plots)} files in {out / 'plots'}.", soft_wrap=True)
    return 0


if __name__ == "__main__":
    run_main(main)
