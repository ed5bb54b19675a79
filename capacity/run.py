"""The command line: `python -m capacity.run` plans a sweep, does what is missing, and shows what came out.

In: a preset and flags. Out: a folder of runs with results.csv and plots/, and a table on the terminal.
Exit codes: 0 all done, 1 a run failed, 2 a mistake in the options, 130 or 143 stopped by a signal.
"""

import os
import shlex
import signal
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from biogen.flags import UserError, parse, run_main
from biogen.tokenizer import is_at_hand
from capacity.config import Preset
from capacity.engine import Stopped, default_workers, run_all
from capacity.plan import make_plans, show_plans
from capacity.plots import draw_all
from capacity.store import run_folder
from capacity.table import collect, show, write_csv
from train.native.library import instruction_set

DEFAULT_PRESET = Path(__file__).parent.parent / "configs" / "laptop.yaml"


def main(arguments: list[str] | None = None) -> int:
    """Run a sweep; returns the exit code. Raises UserError for mistakes, before anything is written."""
    preset = parse(
        Preset,
        arguments,
        program="python -m capacity.run",
        description=(
            "Train models on synthetic biographies and measure the bits they store per parameter. Without --config, "
            "configs/laptop.yaml is read; the defaults below hold for what the preset does not say, and what neither "
            "says the recipe decides."
        ),
        default_file=DEFAULT_PRESET if DEFAULT_PRESET.exists() else None,
    )
    console = Console()
    planned = preset
    if preset.dry_run and not is_at_hand(preset.tokenizer):
        console.print(f"Tokenizer {preset.tokenizer} is not on this machine: V and tokens are those of whole words.")
        planned = preset.model_copy(update={"tokenizer": "word"})
    plans = make_plans(planned)
    workers = preset.workers or default_workers(preset.device)
    if preset.dry_run:
        show_plans(plans, workers, Console(width=max(console.width, 150)))
        return 0
    _check_writable(preset.out)
    todo = [plan for plan in plans if not run_folder(preset.out, plan.config).done]
    failed = []
    if todo:
        if preset.kernels == "auto" and preset.device in ("auto", "cpu") and instruction_set() is None:
            console.print("No compiled kernels on this machine: PyTorch trains instead, about half as fast.")
        console.print(escape(f"{len(todo)} of {len(plans)} runs to do, {workers} side by side, into {preset.out}"))
        try:
            failed = run_all(todo, preset.out, workers=workers, device=preset.device, console=console)
        except Stopped as stopped:
            name = signal.Signals(stopped.signal_number).name
            again = shlex.join(["python", "-m", "capacity.run", *(sys.argv[1:] if arguments is None else arguments)])
            console.print(escape(f"Stopped by {name}; checkpoints are written. To go on: {again}"), soft_wrap=True)
            return 128 + stopped.signal_number
    else:
        console.print(f"All {len(plans)} runs are done; nothing was left to do.")
    try:
        frame = collect(preset.out)
    except ValueError as error:
        raise UserError([str(error)]) from None
    if len(frame):
        write_csv(frame, preset.out / "results.csv")
        plots = draw_all(frame, preset.out)
        show(frame, console)
        console.print(escape(f"Table: {preset.out / 'results.csv'}"), soft_wrap=True)
        for plot in plots:
            if plot.suffix == ".png":
                console.print(escape(f"Plot:  {plot}"), soft_wrap=True)
    for folder in failed:
        console.print(f"[red]failed:[/red] {escape(f'{folder.path.name}: {_reason(folder.log)}')}", soft_wrap=True)
    return 1 if failed else 0


def _check_writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError([f"out: {out} cannot be made ({error.strerror}); give a folder that can be written"]) from None
    if not os.access(out, os.W_OK):
        raise UserError([f"out: {out} cannot be written; give a folder that can"])


def _reason(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"nothing was printed to {log}"


if __name__ == "__main__":
    run_main(main)
