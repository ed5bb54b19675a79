"""`python -m capacity.run`: plan a sweep, do what is missing, and show what came out.

In: a preset and flags. Out: a folder of runs with results.csv, plots/ and report.html, and a table on the terminal.
Exit codes: 0 all done, 1 a run failed or the folder is gone, 2 a mistake in the options, 130 or 143 stopped by a
signal.
From Python: `run(preset)` does the same and returns the table.
"""

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from basis.fields import split_values
from basis.flags import UserError, parse, run_main
from basis.program import called_as
from basis.text import printable, short
from capacity.spec.preset import Preset
from capacity.spec.presets import DEFAULT, preset_path

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from capacity.runner.launch import Launch

EXAMPLES = [
    "--sizes 2x32 2x48 --people 500 1000 2000 --exposures 100 --r-max 0 9 --dry-run",
    "--optimizer adamw muon --lr 0.003 0.01 --seeds 0 1 2 --sizes 2x32 --people 900 --out runs/optimizers",
    "--config law-laptop/biod --recipe paper --layout rows",
]


def main(arguments: list[str] | None = None) -> int:
    """Run a sweep; returns the exit code. Raises UserError for mistakes, before it writes anything."""
    program = called_as("capacity.run")
    notes: list[str] = []
    by_hand: set[str] = set()

    def adjust(values: dict[str, Any], given: set[str]) -> None:
        by_hand.update(given)
        for fit in (_one_unit, _fit_for_corpus, _what_is_given_is_run):
            notes.extend(fit(values, given))

    preset = parse(
        Preset,
        arguments,
        program=program,
        description=(
            "Train models on synthetic biographies and measure the bits that they store per parameter.\n"
            f"Without --config the preset {DEFAULT} is read. Every option of the model, the data and the training may "
            "be a list: the sweep is every combination. The recipe decides what neither the preset nor a flag sets."
        ),
        examples=[f"{program} {example}" for example in EXAMPLES],
        default_file=preset_path(DEFAULT),
        find_file=preset_path,
        adjust=adjust,
    )
    for note in notes:
        print(note, file=sys.stderr)
    from rich.console import Console  # all that follows is slow to import

    from capacity.runner.launch import Launch
    from capacity.runner.sweep import Ended
    from capacity.store.folders import count_runs

    console = Console()
    launch = Launch(preset, console, given=by_hand)
    if preset.dry_run:
        _show_plan(launch, console)
        return 0
    try:
        failures = launch.do()
        written = _show_results(preset.out, console)
        if preset.report and written:
            _write_report(preset.out, console)
    except Ended as ended:
        again = shlex.join([*shlex.split(program), *(sys.argv[1:] if arguments is None else arguments)])
        _say(console, f"{ended} To go on: {again}")
        return ended.code
    except OSError as error:  # a full disk; the runs that are done are
        _tell(error, preset.out)
        return 1
    for line in launch.unfinished():
        _say(console, f"Not bracketed: {line}.")
    for name, reason in failures.items():
        _say(console, f"failed: {name}: {reason}", style="red")
    if failures:
        _say(console, f"{len(failures)} of {count_runs(len(launch.plans))} failed; --retry-failed takes them up again.")
    return 1 if failures or not written else 0


class RunsFailed(RuntimeError):
    """Some runs of a sweep failed; `reasons` says why, by their ids."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {reason}" for name, reason in reasons.items()))
        self.reasons = dict(reasons)


def run(preset: "Preset | Mapping[str, Any] | Path | str" = DEFAULT, *, quiet: bool = False) -> "pd.DataFrame":
    """Do what is missing of a sweep; returns every run of its folder, a row a run and quantization (`capacity.load`).

    With `dry_run` it prints the plan, does nothing, and returns the runs that are there.

    preset: a mapping of options as in a preset's file, the name or file of a preset, or a `Preset`. quiet: print
    nothing. Raises UserError for mistakes, RunsFailed if a run failed (the others are done), and of
    `capacity.runner.sweep` Stopped after Ctrl-C, and OutGone if the folder was moved or deleted.
    """
    from rich.console import Console

    from basis.streams import guard_streams
    from capacity.runner.launch import Launch, make_preset
    from capacity.store.records import load

    guard_streams()
    console = Console(quiet=quiet)
    launch = Launch(make_preset(preset), console)
    out = launch.preset.out
    if launch.preset.dry_run:
        _show_plan(launch, console)
        return load(*[out] if out.is_dir() else [])
    if failures := launch.do():
        raise RunsFailed(failures)
    return load(out)


def _one_unit(values: dict[str, Any], given: set[str]) -> list[str]:
    """Leave out the preset's exposures if flags ask for tokens, and the other way round; returns what to tell."""
    units = {"exposures", "tokens"}
    if len(by_hand := given & units) != 1 or values.get(other := (units - by_hand).pop()) is None:
        return []
    return [f"--{by_hand.pop()} given, in place of the preset's {other} {values.pop(other)}."]


def _fit_for_corpus(values: dict[str, Any], given: set[str]) -> list[str]:
    """Take bytes where flags ask for a corpus and the preset for words; returns what to tell."""
    asked = "dataset" in given and split_values(values["dataset"]) == ["corpus"]
    if not asked or "tokenizer" in given or split_values(values.get("tokenizer")) != ["word"]:
        return []
    values["tokenizer"] = "bytes"
    return ["--dataset corpus given: tokenizer bytes, in place of the preset's word."]


def _what_is_given_is_run(values: dict[str, Any], given: set[str]) -> list[str]:
    """Switch the preset's r_max off if it could leave out sizes or people that flags ask for; returns what to tell."""
    by_hand = given & {"sizes", "people"}
    if not by_hand or "r_max" in given or values.get("r_max") is None:
        return []
    if values.get("bracket") and "people" not in given:  # it begins in r_max, with every size
        return []
    if "bracket" in given and values.get("bracket"):
        raise UserError(["r_max: is required with --bracket and --people; say which R max to begin with"])
    names = " and ".join(f"--{name}" for name in sorted(by_hand, reverse=True))
    told = f"{names} given: the preset's r_max {values['r_max']} leaves nothing out."
    values |= {"r_max": None, "bracket": False}
    return [told]


def _show_plan(launch: "Launch", console: "Console") -> None:
    from capacity.report.plans import show_plans
    from capacity.store.folders import count_runs

    launch.check()
    show_plans(launch.plans, launch.workers, console)
    done, trained = launch.done()
    if done or trained:
        to_measure = f", {trained} trained, and only to be measured" if trained else ""
        _say(console, f"In {launch.preset.out}: {done} of {count_runs(len(launch.plans))} done{to_measure}.")


def _show_results(out: Path, console: "Console") -> bool:
    """Print the table and write it with the figures; returns False if they cannot be written."""
    from capacity.report.figures.runs import draw_all
    from capacity.report.table import show
    from capacity.store.folders import holes
    from capacity.store.records import load, write_csv

    frame = load(out)
    if frame.empty:
        return True
    show(frame, console)
    if not os.access(out, os.W_OK):
        _say(console, f"{out} cannot be written: it gets no results.csv and no plots.")
        return True
    try:
        write_csv(frame, out / "results.csv")
        plots = draw_all(frame, out)
    except OSError as error:
        _tell(error, out)
        return False
    _say(console, f"Table: {out / 'results.csv'}")
    for plot in plots:
        if plot.suffix == ".png":
            _say(console, f"Plot:  {plot}")
    for line in holes(out):
        print(f"warning: {printable(line)}", file=sys.stderr)
    return True


def _write_report(out: Path, console: "Console") -> None:
    """Write the page of the sweep's runs; whatever goes wrong is a line of warning, as the runs are done."""
    from capacity.report.page.write import NAME, write_page
    from capacity.store.folders import RunFolder

    if not os.access(out, os.W_OK) or not any(RunFolder(path.parent).done for path in out.glob("*/result.json")):
        return
    try:
        write_page([out], out / NAME, on_bad=lambda line: None)  # the table has told what was left out
    except Exception as error:  # a library of charts that is not there, a figure of a strange store
        reason = short(printable(" ".join(str(error).split()) or type(error).__name__), 500)
        print(f"warning: no report: {reason}; `capacity report {shlex.quote(str(out))}` tries again", file=sys.stderr)
    else:
        _say(console, f"Report: {out / NAME}")


def _tell(error: OSError, out: Path) -> None:
    text = f"error: {error.filename or out}: {error.strerror}; what was there is whole"
    print(printable(text), file=sys.stderr)


def _say(console: "Console", text: str, style: str | None = None) -> None:
    console.print(printable(text), style=style, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    run_main(main)
