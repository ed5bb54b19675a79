"""`python -m capacity.run`: plan a sweep, do what is missing, and show what came out.

In: a preset and flags. Out: a folder of runs with results.csv and plots/, and a table on the terminal.
Exit codes: 0 all done, 1 a run failed, 2 a mistake in the options, 130 or 143 stopped by a signal.
"""

import math
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from basis.flags import UserError, parse, run_main
from basis.program import called_as
from biogen.tokenizer import is_at_hand
from capacity.report.plans import show_plans
from capacity.report.plots import draw_all
from capacity.report.table import count_runs, show
from capacity.runner.bracket import Bracket
from capacity.runner.engine import Engine, LocalEngine, WorkerOptions, default_workers
from capacity.runner.sweep import Stopped, run_all
from capacity.spec.config import Preset
from capacity.spec.plan import Plan, make_plans
from capacity.spec.presets import DEFAULT, preset_path
from capacity.store.folders import RunFolder, check_store, open_store, run_folder, trained_alike
from capacity.store.records import load, write_csv
from train.native.library import instruction_set


def main(arguments: list[str] | None = None) -> int:
    """Run a sweep; returns the exit code. Raises UserError for mistakes, before anything is written."""
    preset = parse(
        Preset,
        arguments,
        program=called_as("capacity.run"),
        description=(
            "Train models on synthetic biographies and measure the bits they store per parameter. Without --config, "
            "the preset laptop is read; the defaults below hold for what the preset does not say, and what neither "
            "says the recipe decides."
        ),
        default_file=preset_path(DEFAULT),
        find_file=preset_path,
    )
    console = Console()
    planned = preset
    if preset.dry_run and not is_at_hand(preset.tokenizer):
        console.print(f"Tokenizer {preset.tokenizer} is not on this machine: V and tokens are those of whole words.")
        planned = preset.model_copy(update={"tokenizer": "word"})
    if preset.bracket:
        bracket = Bracket(make_plans(planned.model_copy(update={"r_max": None})), preset.r_max, preset.out)
    else:
        bracket = Bracket(make_plans(planned), None, preset.out)
    bracket.more()
    lists = (preset.sizes, preset.people, preset.exposures, preset.junk, preset.seeds)
    if left_out := math.prod(len(set(one)) for one in lists) - len(bracket.plans):
        later = " Those beside a best N will follow." if preset.bracket else ""
        console.print(
            f"{left_out} combinations are left out: their R max is outside r_max {preset.r_max}.{later}", soft_wrap=True
        )
    if preset.dry_run:
        _usable(preset.out, check_store)
        workers = preset.workers or default_workers(preset.device, preset.processes)
        show_plans(bracket.plans, workers, Console(width=max(console.width, 165)))
        _show_done(preset.out, bracket.plans, console)
        return 0
    if preset.engine == "ray":
        from capacity.runner.ray_engine import check_address  # an extra

        check_address(preset.ray_address)
    _usable(preset.out, open_store)
    if not os.access(preset.out, os.W_OK):
        raise UserError([f"out: {preset.out} cannot be written; give a folder that can"])
    try:
        failures = _do(preset, bracket, console)
        _show_results(preset.out, console)
    except Stopped as stopped:
        name = signal.Signals(stopped.signal_number).name
        again = f"{called_as('capacity.run')} {shlex.join(sys.argv[1:] if arguments is None else arguments)}"
        console.print(
            escape(f"Stopped by {name}; runs go on from their last checkpoints. To go on: {again}"), soft_wrap=True
        )
        return 128 + stopped.signal_number
    except OSError as error:  # a full disk; the runs that are done are
        print(f"error: {error.filename or preset.out}: {error.strerror}; what was there is whole", file=sys.stderr)
        return 1
    if preset.bracket:
        for line in bracket.unfinished():
            console.print(f"Not bracketed: {line}.", soft_wrap=True)
    for name, reason in failures.items():
        console.print(f"[red]failed:[/red] {escape(f'{name}: {reason}')}", soft_wrap=True)
    if failures:
        console.print(
            f"{len(failures)} of {count_runs(len(bracket.plans))} failed; --retry-failed takes them up again."
        )
    return 1 if failures else 0


def _usable(out: Path, check: Callable[[Path], None]) -> None:
    """See that a folder can hold results, and that those that are there can be read. Raises UserError."""
    try:
        check(out)
        if out.exists():
            load(out)
    except OSError as error:
        raise UserError([f"out: {out} cannot be made ({error.strerror}); give a folder that can be written"]) from None
    except ValueError as error:
        raise UserError([str(error)]) from None


def _show_done(out: Path, plans: list[Plan], console: Console) -> None:
    """Say what a dry run's sweep would find in its folder."""
    folders = [(run_folder(out, plan.config), plan) for plan in plans]
    done = sum(folder.done for folder, _ in folders)
    trained = sum(any(trained_alike(folder, plan.config)) for folder, plan in folders if not folder.done)
    if done or trained:
        more = f", {trained} trained, and only to be measured" if trained else ""
        console.print(escape(f"In {out}: {done} of {count_runs(len(plans))} done{more}."), soft_wrap=True)


def _do(preset: Preset, bracket: Bracket, console: Console) -> dict[str, str]:
    """Do what is missing; returns why runs failed, now or before."""
    plans, missing = bracket.plans, _missing(bracket.plans, preset.out)
    while not missing and bracket.more():  # another driver ends the last one just now
        missing = _missing(plans, preset.out)
    if not missing:
        console.print(f"{len(plans)} of {count_runs(len(plans))} done; nothing was left to do.")
    if preset.retry_failed:
        for folder in _missing(bracket.allowed, preset.out).values():
            folder.failure.unlink(missing_ok=True)
    failures = {name: reason for name, folder in missing.items() if (reason := folder.read_failure()) is not None}
    todo = [plan for plan in plans if plan.config.run_id in missing.keys() - failures.keys()]
    if not todo:
        return failures
    if preset.kernels == "auto" and preset.device in ("auto", "cpu") and instruction_set() is None:
        console.print("No compiled kernels on this machine: PyTorch trains instead, about half as fast.")
    engine = _engine(preset)
    try:
        counts = f"{len(todo)} of {count_runs(len(plans))} to do, {engine.slots()} side by side"
        console.print(escape(f"{counts}, into {preset.out}"))
        done = [plan for plan in plans if plan.config.run_id not in missing]
        return failures | run_all(todo, preset.out, engine, console, bracket.more, done)
    finally:
        engine.close()


def _missing(plans: Sequence[Plan], out: Path) -> dict[str, RunFolder]:
    """The folders of the runs that are not done."""
    folders = {plan.config.run_id: run_folder(out, plan.config) for plan in plans}
    return {name: folder for name, folder in folders.items() if not folder.done}


def _engine(preset: Preset) -> Engine:
    options = WorkerOptions(preset.device, preset.processes, preset.save_seconds)
    if preset.engine == "ray":
        from capacity.runner.ray_engine import RayEngine

        return RayEngine(preset.workers, options, preset.gpus, preset.ray_address)
    return LocalEngine(preset.workers or default_workers(preset.device, preset.processes), options)


def _show_results(out: Path, console: Console) -> None:
    frame = load(out)
    if frame.empty:
        return
    write_csv(frame, out / "results.csv")
    plots = draw_all(frame, out)
    show(frame, console)
    console.print(escape(f"Table: {out / 'results.csv'}"), soft_wrap=True)
    for plot in plots:
        if plot.suffix == ".png":
            console.print(escape(f"Plot:  {plot}"), soft_wrap=True)


if __name__ == "__main__":
    run_main(main)
