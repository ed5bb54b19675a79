"""`python -m capacity.reproduce NAME ...`: run a named experiment and say what its source found and what came out.

What is missing of its sweeps is run, in the folder of OUT that has the name of its published results: experiments share
runs. `--dry-run` plans them, `--published` shows the results that come with a checkout, and `--extend` runs what these
lack.
"""

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from basis.files import path_argument
from basis.flags import Parser, UserError, run_main
from basis.program import called_as
from capacity.experiments import EXPERIMENTS

if TYPE_CHECKING:
    from capacity.experiments.experiment import Experiment, Selected, Verdict

RESULTS = Path(__file__).parent.parent / "results"
"""Published results, in a checkout."""
PAGES = "pages"
"""The folder of the pages, beside those of the runs."""
_PAGE = "README.md"
_LONGEST_TITLE = 1 << 12


def main(arguments: Sequence[str] | None = None) -> int:
    """Reproduce experiments; the exit code is 1 if a run failed. Raises UserError for mistakes."""
    from capacity.experiments.experiment import SCALES
    from capacity.runner.sweep import Ended

    parser = Parser(called_as("capacity.reproduce"), description="Run a named experiment and say what came out.")
    parser.add_argument("name", nargs="*", help=f"{', '.join(EXPERIMENTS.names)}, all, or your own as module:Name")
    parser.add_argument(
        "--list", action="store_true", help="list the experiments, what their sources say and our verdicts"
    )
    parser.add_argument("--scale", choices=SCALES, default="laptop", help="laptop: two cores and an hour (default)")
    parser.add_argument(
        "--out", type=path_argument, default=Path("runs"), help="folder of the folders of runs (default: runs)"
    )
    parser.add_argument("--dry-run", action="store_true", help="plan the sweeps: hours, FLOPs, and do nothing")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--published", action="store_true", help="show the results in this checkout; run nothing")
    shown.add_argument("--extend", action="store_true", help="run what the published results lack, and show both")
    options = parser.parse_args(arguments)
    if options.list:
        _show_list()
        return 0
    names = list(EXPERIMENTS.names) if options.name == ["all"] else options.name
    if not names:
        raise UserError([f"name: is required; must be all, {', '.join(EXPERIMENTS.names)} or your own as module:Name"])
    try:
        experiments = {name: EXPERIMENTS[name] for name in names}
        for experiment in experiments.values():
            experiment.sweeps(options.scale)
    except ValueError as error:
        raise UserError([str(error)]) from None
    failed = False
    for name, experiment in experiments.items():
        published = _published(name, experiment) if options.published or options.extend else []
        elsewhere = _ids(published) if options.extend else frozenset()
        home = _home(options.out, experiment)
        if options.dry_run:
            _plan(experiment, options.scale, home, elsewhere)
            continue
        page = _page_folder(options.out, name)
        if options.published:
            _show(name, experiment, published, page)
            continue
        try:
            failed |= _run(experiment, options.scale, home, elsewhere)
        except Ended as ended:
            print(f"{ended} The same command goes on.", file=sys.stderr)
            return ended.code
        _show(name, experiment, [*published, *([home] if home.is_dir() else [])], page)
    return 1 if failed else 0


def _published(name: str, experiment: "Experiment") -> list[Path]:
    """The folders of its published results. Raises UserError if it has none."""
    folders = [RESULTS / folder for folder in experiment.published]
    if not all(folder.is_dir() for folder in folders):
        raise UserError([f"name: {name!r} has no published results; capacity reproduce {name} makes some"])
    return folders


def _ids(folders: Sequence[Path]) -> frozenset[str]:
    """The ids of the runs in some folders."""
    from capacity.store.records import load

    return frozenset(load(*folders)["run_id"])


def _home(out: Path, experiment: "Experiment") -> Path:
    """The folder of an experiment's runs."""
    return out / experiment.published[0]


def _page_folder(out: Path, name: str) -> Path:
    """The folder of an experiment's page. Raises UserError if it holds anything else."""
    from basis.folders import contents, refuse_links

    folder = out / PAGES / name
    try:
        refuse_links(folder, _PAGE, "plots")
        if not _is_page(folder / _PAGE, EXPERIMENTS[name]) or (folder.exists() and not folder.is_dir()):
            raise ValueError(f"out: {folder / _PAGE} is not the page of this experiment; move it away")
        if (found := contents(folder)) and _PAGE not in found:
            raise ValueError(f"out: {folder} holds something else than a page ({found[0]}); move it away")
    except ValueError as error:
        raise UserError([str(error)]) from None
    except OSError as error:
        raise UserError(
            [f"out: {folder} cannot be made ({error.strerror}); give a folder that can be written"]
        ) from None
    return folder


def _is_page(path: Path, experiment: "Experiment") -> bool:
    """Whether a file is the page of an experiment, or is not there yet."""
    from basis.reading import open_file
    from capacity.experiments.page import heading

    begins = f"{heading(experiment)}: ".encode()
    try:
        with open_file(path) as file:
            return file.read(len(begins)) == begins
    except FileNotFoundError:
        return True


def _show_list() -> None:
    """Print every experiment with the verdict of its published page, which `make results` prints from the data."""
    from basis.reading import open_file
    from capacity.experiments.page import heading

    for name in EXPERIMENTS.names:
        experiment = EXPERIMENTS[name]
        print(f"{name}\n  {experiment.question}\n  {experiment.source}")
        begins = f"{heading(experiment)}: "
        verdict = "none yet"
        with suppress(FileNotFoundError), open_file(RESULTS / name / _PAGE) as file:
            title = file.readline(_LONGEST_TITLE).decode(errors="replace").rstrip()
            verdict = title.removeprefix(begins) if title.startswith(begins) else verdict
        print(f"  Published results: {verdict}.")


def _plan(experiment: "Experiment", scale: str, out: Path, elsewhere: frozenset[str]) -> None:
    from rich.console import Console

    from capacity.report.plans import show_plans
    from capacity.runner.launch import Launch, make_preset

    console = Console()
    for options in experiment.sweeps(scale):  # type: ignore[arg-type]
        launch = Launch(make_preset({**options, "out": out, "dry_run": True}), console, elsewhere=elsewhere)
        if launch.plans:
            show_plans(launch.plans, launch.workers, console)


def _run(experiment: "Experiment", scale: str, out: Path, elsewhere: frozenset[str]) -> bool:
    """Do what is missing of the sweeps; returns whether a run failed."""
    from rich.console import Console

    from capacity.runner.launch import Launch, make_preset

    console = Console()
    failures: dict[str, str] = {}
    for options in experiment.sweeps(scale):  # type: ignore[arg-type]
        launch = Launch(make_preset({**options, "out": out}), console, elsewhere=elsewhere)
        failures |= launch.do() if launch.plans else {}
    for run, reason in failures.items():
        print(f"failed: {run}: {reason}")
    return bool(failures)


def _show(name: str, experiment: "Experiment", folders: Sequence[Path], out: Path) -> None:
    """Print what came out, and write the page and its figures."""
    from capacity.experiments.experiment import selected
    from capacity.store.records import load

    try:
        chosen = selected(experiment, load(*folders), folders)
    except ValueError as error:
        raise UserError([str(error)]) from None
    frame = chosen.frame
    if frame.empty:
        raise UserError([f"name: {name!r} has no finished run in {', '.join(map(str, folders))}; run it first"])
    verdict = experiment.verdict(frame)
    page = write_page(name, experiment, chosen, verdict, folders, out / _PAGE)
    print(f"\n{experiment.question}\n\nSource: {experiment.source}\n")
    print(experiment.table(frame).to_string(index=False))
    print(f"\nVerdict: {verdict.status}.")
    for one in verdict.findings:
        print(f"- {one.what}: {one.here or 'no runs'}; the source says {one.source}: {one.status}.")
    for sentence in verdict.evidence:
        print(f"- {sentence}")
    print(f"\nPage: {page}")


def write_page(
    name: str, experiment: "Experiment", chosen: "Selected", verdict: "Verdict", folders: Sequence[Path], path: Path
) -> Path:
    """Write the page of an experiment and, beside it, its figures as PNG files."""
    from basis.files import replace_file
    from capacity.experiments.page import page

    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = draw(experiment, chosen, path.parent, folders)
    shown = [picture.relative_to(path.parent).as_posix() for picture in pictures if picture.suffix == ".png"]
    text = page(experiment, chosen, verdict, folders, shown, f"capacity reproduce {name}")
    replace_file(path, text.encode())
    return path


def draw(experiment: "Experiment", chosen: "Selected", out: Path, folders: Sequence[Path]) -> list[Path]:
    """Write the figures of an experiment, of its runs and of its fits, to `out`/plots; returns their paths."""
    from capacity.experiments.fitted import DrawsItself, HasFits, HoldsOut
    from capacity.report.figures.laws import draw_fits
    from capacity.report.figures.runs import draw_all, save_all

    drawn = draw_all(chosen.frame, out, folders, experiment.figures) if experiment.figures else []
    if isinstance(experiment, HasFits):
        held_out = experiment.held_out(chosen.frame) if isinstance(experiment, HoldsOut) else ()
        drawn += draw_fits(experiment.fitted(chosen.frame), held_out, out / "plots")
    if isinstance(experiment, DrawsItself):
        drawn += save_all(lambda: experiment.drawn(chosen.frame), out / "plots")
    return drawn


if __name__ == "__main__":
    run_main(main)
