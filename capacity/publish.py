"""`python -m capacity.publish FOLDER [STORE ...]`: put finished runs into two small files, or share models.

In: folders of sweeps, and what FOLDER holds already. Out, in FOLDER: `records.parquet`, `curves.parquet` and the
figures of all kinds of runs together, as PNG. `capacity.table FOLDER` prints their table and draws
the other figures. With `--weights`, FOLDER/weights has the models of some runs, and their proofs.

`python -m capacity.publish RUN ... --to FOLDER` shares the models of runs with cards and data sets instead, in a folder
or on the Hugging Face hub (`capacity.share`).
"""

import sys
from argparse import ArgumentTypeError
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NoReturn

import pandas as pd

from basis.files import path_argument
from basis.flags import Parser, run_main
from basis.folders import refuse_links
from basis.program import called_as
from basis.text import printable, short
from capacity.report.best import best_table
from capacity.report.figures import OF_ALL
from capacity.report.figures.runs import draw_all
from capacity.report.figures.style import Print, printed
from capacity.store.folders import count_runs
from capacity.store.parquet import CURVES, RECORDS, write_curves, write_records
from capacity.store.record import Record
from capacity.store.records import load
from capacity.store.sources import HELDOUT, RECALL, TRAIN, load_curves, records_in

if TYPE_CHECKING:
    from capacity.store.folders import RunFolder


def publish(folder: Path, stores: Sequence[Path] = ()) -> int:
    """Put the finished runs of some stores and of `folder` into `folder`; returns their number.

    If a run is in several places, the first store's numbers count, then the folder's. The JSON files of an earlier
    layout of `folder` are read, and removed once the new files are written.

    Raises:
        ValueError: a store does not exist or has a broken record, there is no finished run, or a link in `folder` leads
            out of it.

    """
    refuse_links(folder, CURVES, RECORDS, "plots")
    sources = [*stores, *([folder] if folder.is_dir() else [])]
    if load(*sources, on_bad=_refuse).empty:
        named = ", ".join(map(str, sources)) or folder
        raise ValueError(f"folder: {named} has no finished run (no */result.json); must be the folder of a sweep")
    records: dict[str, Record] = {}
    for source in sources:
        for _, record in records_in(source, _refuse):
            records.setdefault(record["run_id"], record)
    recall, losses, heldout = (load_curves(*sources, runs=records, kind=kind) for kind in (RECALL, TRAIN, HELDOUT))
    folder.mkdir(parents=True, exist_ok=True)
    write_curves(recall, losses, folder / CURVES, heldout)
    write_records(list(records.values()), folder / RECORDS)
    _remove_old(folder, records)
    return len(records)


def _refuse(line: str) -> NoReturn:
    """Publish nothing without a run that cannot be read, as the folder's old files are replaced."""
    raise ValueError(line)


def _remove_old(folder: Path, runs: Collection[str]) -> None:
    """Remove the JSON files of these runs as an earlier layout had them, and nothing else that lies there."""
    old = [folder / "runs" / f"{run}{ending}" for run in runs for ending in (".json", ".metrics.jsonl")]
    there = [path for path in old if path.is_file() and not (folder / "runs").is_symlink()]
    for path in there:
        path.unlink()
    if there:
        (folder / "results.csv").unlink(missing_ok=True)  # of the same layout
        with suppress(OSError):  # something else lies in it
            (folder / "runs").rmdir()


def draw(
    folder: Path, frame: pd.DataFrame | None = None, sources: Sequence[Path] = (), names: Sequence[str] = OF_ALL
) -> list[Path]:
    """Draw figures of published results as PNG, in place of those that were there; returns their paths.

    frame, sources: the runs and the folders that they were read from; those of `folder` itself, unless given.
    """
    with printed(Print(("png",))):  # vectors take much space
        return draw_all(load(folder) if frame is None else frame, folder, sources, names)


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish, draw, and print the best N of each size in Markdown; the exit code is 2 if there are no runs."""
    parser = Parser(prog=called_as("capacity.publish"), description=__doc__)
    parser.add_argument(
        "folder", type=path_argument, help="where the results go, such as results/law-laptop; with --to: a run"
    )
    parser.add_argument(
        "stores", type=path_argument, nargs="*", metavar="STORE", help="folders of sweeps; with --to: more runs"
    )
    parser.add_argument(
        "--to", metavar="PLACE", help="share these runs with cards and data: a folder, hub, or hub:OWNER for an account"
    )
    parser.add_argument("--private", action="store_true", help="with --to hub: new repositories are private")
    parser.add_argument(
        "--weights",
        nargs="+",
        metavar="RUN",
        default=[],
        help="keep and prove the models of these runs (ids, or best: the best N of each size), as float32 and int8",
    )
    options = parser.parse_args(arguments)
    if options.to is None and options.private:
        parser.error("--private: is for --to hub")
    if options.to is not None and options.weights:
        parser.error("--weights: is not allowed with --to, which shares the models themselves")
    try:
        if options.to is not None:
            return _share([options.folder, *options.stores], options.to, private=options.private)
        kept = _find_kept(options.folder, options.stores, options.weights)
        number = publish(options.folder, options.stores)
        for run in kept:
            print(_keep(run, options.folder), flush=True)
    except ValueError as error:
        print(f"error: {short(printable(error), 2000)}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        print(f"error: {short(printable(error), 2000)}", file=sys.stderr)
        return 1
    figures = draw(options.folder)
    frame = load(options.folder)
    if frame["bits_per_param"].notna().any():
        print(best_table(frame))
    print(f"{count_runs(number)} and {len(figures)} files of figures in {options.folder}.")
    return 0


def _share(paths: Sequence[Path], to: str, *, private: bool) -> int:
    """Share runs. Raises ValueError for what cannot be shared, and RuntimeError where the hub does not take it."""
    from capacity.share.bundle import IN_FOLDER, make_folders
    from capacity.share.hub import HUB, owner_of, places_of, upload
    from capacity.share.shared_run import open_all

    on_hub = to == HUB or to.startswith(f"{HUB}:")
    if private and not on_hub:
        raise ValueError(f"private: is not allowed with {to!r}; must be with --to {HUB}")
    try:
        home = None if on_hub else path_argument(to)
    except ArgumentTypeError as error:
        raise ValueError(f"to: {error}") from None
    runs = open_all(paths)
    if home is not None:
        for made in make_folders(runs, home, IN_FOLDER):
            print(f"{made.kind:7} {made.folder}")
        return 0
    owner = owner_of(to)
    with TemporaryDirectory() as temporary:
        for made in make_folders(runs, Path(temporary), places_of(owner)):
            print(f"{made.kind:7} {upload(made, owner, private=private)}", flush=True)
    return 0


def _find_kept(folder: Path, stores: Sequence[Path], named: Sequence[str]) -> list["RunFolder"]:
    """The runs whose models are to be kept. Raises ValueError for one that is not there."""
    if not named:
        return []
    from capacity.runner.kept import find_runs

    sources = [*stores, *([folder] if folder.is_dir() else [])]
    return list(find_runs(named, load(*sources), stores).values())


def _keep(run: "RunFolder", folder: Path) -> str:
    """Keep the model of a run; returns a line about its proofs."""
    from capacity.runner.kept import keep

    R = {weights: proof["bits_per_param"] for weights, proof in keep(run, folder).items()}
    return f"{run.path.name}: " + ", ".join(f"R = {value:.3f} from the code of {name}" for name, value in R.items())


if __name__ == "__main__":
    run_main(main)
