"""Launches a sweep: plans it, compares it with its folder, and does the missing runs on an engine.

In: a `Preset`. Out: a `Launch`, which can be inspected (a dry run) or done.
"""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from basis.flags import UserError
from basis.text import printable, shown
from biogen.bank import left_unused
from biogen.corpus import describe_corpus
from biogen.tokenizer import is_at_hand
from capacity.runner.bracket import Bracket
from capacity.runner.engine import Engine, LocalEngine, WorkerOptions, default_workers
from capacity.runner.estimate import lack_of_memory
from capacity.runner.fingerprint import changed_since, names_files
from capacity.runner.logs import check_log, passed_on
from capacity.runner.sweep import run_all
from capacity.spec.plan import Plan, make_sweep
from capacity.spec.preset import Preset
from capacity.store.folders import RunFolder, check_store, count_runs, open_store, run_folder, trained_alike
from train.native.library import instruction_set


class Launch:
    """The runs of a preset and their folder. Raises UserError for mistakes; nothing is written before `do`."""

    def __init__(
        self, preset: Preset, console: Console, *, given: Collection[str] = (), elsewhere: Collection[str] = ()
    ) -> None:
        """given: the options that a user gave by hand; each must apply to one of the runs. elsewhere: ids of runs that
        are done in another folder, and left out here; `bracket` does all again."""
        self.preset, self._console = preset, console
        planned = preset
        if preset.dry_run and (away := _away(preset)):
            other, what = ("bytes", "single bytes") if "corpus" in preset.dataset else ("word", "whole words")
            self._say(f"Tokenizer {away[0]} is not on this machine: V and tokens are those of {what}.")
            here = tuple(other if name in away else name for name in preset.tokenizer)
            planned = preset.model_copy(update={"tokenizer": here})
        if preset.bracket:  # r_max only says where to begin
            planned = planned.model_copy(update={"r_max": None})
        sweep = make_sweep(planned, given)
        lacking = [plan for plan in sweep.plans if preset.bracket or plan.run_id not in elsewhere]
        if len(lacking) < len(sweep.plans):
            self._say(f"Done elsewhere: {len(sweep.plans) - len(lacking)} of {count_runs(len(sweep.plans))}.")
        self.bracket = Bracket(lacking, preset.r_max if preset.bracket else None, preset.out)
        self.bracket.grow()
        later = len(lacking) - len(self.bracket.plans)
        if sweep.outside:
            self._say(f"Combinations left out, as their R max is outside r_max {preset.r_max}: {sweep.outside}.")
        if later:
            self._say(f"Combinations that wait until the best N so far is beside theirs: {later}.")
        for reason, count in sweep.impossible.items():
            self._say(f"Combinations that cannot be: {count} ({reason}).")
        for data in {
            (plan.config.data.bank, plan.config.data.pools, plan.config.data.templates) for plan in sweep.plans
        }:
            if unused := left_unused(*data):
                self._say(f"Of the bank {data[0]} are in use: {unused}.")
        for corpus in dict.fromkeys(plan.config.data.corpus for plan in sweep.plans):
            if corpus is not None:
                self._say(f"Corpus {printable(corpus)}: {describe_corpus(corpus)}; a tenth is held out.")

    @property
    def plans(self) -> list[Plan]:
        """The runs so far; `bracket` may add some."""
        return self.bracket.plans

    @property
    def workers(self) -> int:
        """Trainings side by side on this machine."""
        workers: int | None = self.preset.workers
        return workers or default_workers(self.preset.device, self.preset.processes)

    def check(self) -> None:
        """Check that the folder, if there is one, can hold the results, and that those in it are of the same texts."""
        with _told(self.preset.out):
            check_store(self.preset.out)
        reading = [plan for plan in self.plans if names_files(plan.config)]
        if lines := [line for plan in reading if (line := _other_texts(plan, self.preset.out))]:
            raise UserError(lines)

    def done(self) -> tuple[int, int]:
        """The number of runs that are done, and of those that are trained and only have to be measured."""
        folders = [(run_folder(self.preset.out, plan.config), plan) for plan in self.plans]
        done = sum(folder.done for folder, _ in folders)
        return done, sum(any(trained_alike(folder, plan.config)) for folder, plan in folders if not folder.done)

    def do(self) -> dict[str, str]:
        """Do what is missing; returns why runs failed, now or before, by their ids.

        Raises UserError for a folder that cannot be written, OSError for a full disk, and as `run_all` does.
        """
        check_log(self.preset.log)
        self.check()
        with passed_on(self.preset.log, self.preset.out, lambda: list(self.plans), self._say):
            return self._do()

    def _do(self) -> dict[str, str]:
        preset, out = self.preset, self.preset.out
        missing = _missing(self.plans, out)
        while not missing and self.bracket.grow():  # another driver has just ended the last one
            missing = _missing(self.plans, out)
        if not missing:
            self._say(f"{len(self.plans)} of {count_runs(len(self.plans))} done; nothing was left to do.")
        known = {name: why for name, folder in missing.items() if (why := folder.read_failure()) is not None}
        failures = {} if preset.retry_failed else known
        todo = [plan for plan in self.plans if plan.run_id in missing.keys() - failures.keys()]
        if not todo:  # nothing is written, so the folder may be one that cannot be
            return failures
        self._open()
        done = [plan for plan in self.plans if plan.run_id not in missing]
        return failures | self._run(todo, done)

    def unfinished(self) -> list[str]:
        """A line for each size whose best N is not bracketed, if that was asked for."""
        return self.bracket.unfinished() if self.preset.bracket else []

    def _open(self) -> None:
        """Make the folder ready for results. Raises UserError for one that cannot be written."""
        preset, out = self.preset, self.preset.out
        if preset.engine == "ray":
            from capacity.runner.ray_engine import check_address  # an extra

            check_address(preset.ray_address)
        with _told(out):
            open_store(out)
        if not os.access(out, os.W_OK):
            raise UserError([f"out: {out} cannot be written; give a folder that can"])
        if preset.retry_failed:
            for folder in _missing(self.bracket.allowed, out).values():
                with suppress(ValueError):  # a link; the run fails once more
                    folder.forget_failure()

    def _run(self, todo: list[Plan], done: list[Plan]) -> dict[str, str]:
        preset = self.preset
        if "auto" in preset.kernels and preset.device in ("auto", "cpu") and instruction_set() is None:
            self._say("No compiled kernels on this machine: PyTorch trains instead, about half as fast.")
        if preset.engine == "local" and (lack := lack_of_memory(todo, self.workers)) is not None:
            self._say(lack)
        engine = _engine(preset, self.workers)
        try:
            begun = sum(bool(run_folder(preset.out, plan.config).checkpoints.paths) for plan in todo)
            to_do = f"{len(todo)} of {count_runs(len(self.plans))} to do{f' ({begun} begun)' if begun else ''}"
            counts = f"{to_do}, {engine.slots()} side by side"
            self._say(f"{counts}, into {preset.out}")
            return run_all(todo, preset.out, engine, self._console, self.bracket.grow, done)
        finally:
            engine.close()

    def _say(self, text: str) -> None:
        self._console.print(printable(text), soft_wrap=True, markup=False, highlight=False)


def make_preset(options: Any) -> Preset:
    """A preset from a mapping of options, a preset's name or file, or a `Preset`. Raises UserError for mistakes."""
    from pydantic import ValidationError

    from basis.flags import explain, read_yaml
    from capacity.spec.presets import preset_path

    if isinstance(options, Preset):
        return options
    if not isinstance(options, Mapping | str | Path):
        raise UserError([f"preset: {shown(options)} is not allowed; must be a mapping of options, a name or a file"])
    if strange := [name for name in options if not isinstance(name, str)] if isinstance(options, Mapping) else []:
        raise UserError([f"preset: {shown(strange[0])} is not a key; must be the name of an option"])
    values = read_yaml(preset_path(str(options))) if isinstance(options, str | Path) else dict(options)
    try:
        return Preset.model_validate(values)
    except ValidationError as error:
        raise UserError(explain(error, Preset)) from None


def _away(preset: Preset) -> list[str]:
    """The tokenizers that are to be downloaded. Raises UserError for those that cannot be."""
    try:
        return [name for name in preset.tokenizer if not is_at_hand(name)]
    except ValueError as error:
        raise UserError([str(error)]) from None


@contextmanager
def _told(out: Path) -> Iterator[None]:
    """Raises UserError for a folder that cannot hold results, or whose results cannot be read."""
    try:
        yield
    except OSError as error:
        raise UserError([f"out: {out} cannot be made ({error.strerror}); give a folder that can be written"]) from None
    except ValueError as error:
        raise UserError([str(error)]) from None


def _missing(plans: Sequence[Plan], out: Path) -> dict[str, RunFolder]:
    """The folders of the runs that are not done."""
    folders = [run_folder(out, plan.config) for plan in plans]
    return {folder.path.name: folder for folder in folders if not folder.done}


def _other_texts(plan: Plan, out: Path) -> str:
    """Why the result of a run that is done is not that of its plan, as a file that options name has changed."""
    with suppress(ValueError):
        if (result := run_folder(out, plan.config).read_result()) and (why := changed_since(plan.config, result)):
            return f"out: {plan.run_id} in {out} is done, and {why}; give another folder, or delete the run"
    return ""


def _engine(preset: Preset, workers: int) -> Engine:
    options = WorkerOptions(preset.device, preset.processes, preset.save_seconds)
    if preset.engine == "ray":
        from capacity.runner.ray_engine import RayEngine

        return RayEngine(preset.workers, options, preset.gpus, preset.ray_address)
    return LocalEngine(workers, options)
