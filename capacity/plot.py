"""`python -m capacity.plot NAME FOLDER ...`: draw one figure for a paper, or the figures of an experiment.

In: the name of a figure or of an experiment, and folders of runs. Out: files in OUT/plots, as wide as a column, and on
demand the runs that they show as CSV.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from basis.files import path_argument
from basis.flags import Parser, UserError, run_main
from basis.program import called_as

_CSV = "csv"
_NARROWEST, _WIDEST = 2.0, 30.0
"""Inches."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw; raises UserError for mistakes, before anything is written."""
    from capacity.experiments import EXPERIMENTS
    from capacity.report.figures import FIGURES
    from capacity.report.figures.style import FORMATS, Print, printed

    parser = Parser(prog=called_as("capacity.plot"), description="Draw a figure for a paper.")
    known = f"{', '.join(FIGURES.names)}, your own as module:Name; or the experiment {', '.join(EXPERIMENTS.names)}"
    parser.add_argument("name", help=f"the figure {known}")
    parser.add_argument(
        "folders", type=path_argument, nargs="+", metavar="FOLDER", help="of a sweep, or of published results"
    )
    parser.add_argument(
        "--format", nargs="+", choices=(*FORMATS, _CSV), default=["pdf"], help="csv: the runs shown (default: pdf)"
    )
    parser.add_argument(
        "--width", type=_inches, help="inches, as 3.3 for one column of two (default: what it asks for)"
    )
    parser.add_argument("--out", type=path_argument, default=Path(), help="where plots/ goes (default: here)")
    options = parser.parse_args(arguments)
    out: Path = options.out
    if out.exists() and not out.is_dir():
        raise UserError([f"out: {out} is a file; must be a folder"])
    formats = tuple(dict.fromkeys(one for one in options.format if one != _CSV))
    try:
        with printed(Print(formats, options.width)):
            written = _draw(options.name, options.folders, out, csv=_CSV in options.format)
    except ValueError as error:
        raise UserError([str(error)]) from None
    except OSError as error:
        print(f"error: {error.filename or out}: {error.strerror}", file=sys.stderr)
        return 1
    for path in written:
        print(path)
    return 0


def _inches(text: str) -> float:
    """The width of a figure. Raises UserError."""
    try:
        width = float(text)
    except ValueError:
        width = 0.0
    if not _NARROWEST <= width <= _WIDEST:
        raise UserError([f"width: {text!r} is not allowed; must be {_NARROWEST:g} to {_WIDEST:g} inches"])
    return width


def _draw(name: str, folders: Sequence[Path], out: Path, *, csv: bool) -> list[Path]:
    """Write the figures, and the runs that they show. Raises ValueError for mistakes, and OSError."""
    from basis.folders import refuse_links
    from capacity.experiments import EXPERIMENTS
    from capacity.experiments.experiment import selected
    from capacity.report.figures import FIGURES
    from capacity.report.figures.runs import draw_all, file_name
    from capacity.reproduce import draw as draw_experiment
    from capacity.store.records import load, write_csv

    of_experiment = name in EXPERIMENTS.names and name not in FIGURES.names
    if not of_experiment:
        FIGURES[name]
    refuse_links(out, "plots")
    frame = load(*folders)
    chosen = selected(EXPERIMENTS[name], frame, folders) if of_experiment else None
    shown = frame if chosen is None else chosen.runs
    if shown.empty:
        named = ", ".join(map(str, folders))
        raise ValueError(f"folder: {named} has no finished run that {name} shows; must be the folder of a sweep")
    if chosen is None:
        written = draw_all(frame, out, folders, [name])
    else:
        written = draw_experiment(EXPERIMENTS[name], chosen, out, folders)
    if csv:
        path = out / "plots" / f"{file_name(name, '')}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_csv(shown, path)
        written.append(path)
    if not written:
        raise ValueError(f"name: {name} shows nothing of these runs; must be a figure of what they vary")
    return written


if __name__ == "__main__":
    run_main(main)
