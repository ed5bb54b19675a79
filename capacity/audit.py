"""`python -m capacity.audit [RESULTS]`: recompute published numbers: ids, P, bits, R, commits, proofs, documents.

In: folders of published results, or a folder of such folders (default: `results/`). Out: a line for each failure, with
the file, the run and the field; the exit code is 1 if there is any. Documents are those of this project, and are looked
at where its own results are.
"""

import difflib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from basis.files import path_argument
from basis.flags import Parser, UserError, run_main
from basis.program import called_as
from basis.text import printable, short
from capacity.reproduce import RESULTS
from capacity.store.parquet import RECORDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is wrong; returns 1 if anything is. Raises UserError for a folder without results."""
    parser = Parser(called_as("capacity.audit"), description="Recompute published numbers from their records.")
    parser.add_argument("folder", type=path_argument, nargs="*", help="of published results (default: this project's)")
    parser.add_argument("--no-documents", action="store_true", help="look at records alone")
    options = parser.parse_args(arguments)
    given: list[Path] = options.folder or [RESULTS]
    folders = [found for folder in given for found in folders_in(folder)]
    if empty := [folder for folder in given if not folders_in(folder)]:
        raise UserError([f"folder: {empty[0]} has no {RECORDS}; must be published results, or a folder of them"])
    ours = any(folder.resolve().is_relative_to(RESULTS.resolve()) for folder in folders)
    lines = all_wrong(folders, documents=ours and not options.no_documents)
    for line in lines:
        print(short(printable(line), 500))
    checked = f"{len(folders):,} folder{'s' if len(folders) != 1 else ''} of results"
    print(f"{checked}: {f'{len(lines):,} failures' if lines else 'every number follows from its record'}.", flush=True)
    return 1 if lines else 0


def folders_in(folder: Path) -> list[Path]:
    """The folder if it has records, else those in it that have."""
    if (folder / RECORDS).is_file():
        return [folder]
    return sorted(path.parent for path in folder.glob(f"*/{RECORDS}"))


def all_wrong(folders: Sequence[Path], *, documents: bool) -> list[str]:
    """What is wrong with folders of results, and with the documents, which another process prints meanwhile."""
    from capacity.store.audit import wrong_in

    if not documents:
        return [line for folder in folders for line in wrong_in(folder)]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        beside = pool.submit(wrong_documents)
        lines = [line for folder in folders for line in wrong_in(folder)]
        return lines + beside.result()


def wrong_documents() -> list[str]:
    """The first line of each document that its records do not print."""
    from capacity.results import documents

    return [line for path, text in documents() for line in _first_difference(path, text)]


def _first_difference(path: Path, wanted: str) -> Iterator[str]:
    if not path.exists():
        yield f"{path}: is missing; make results writes it"
        return
    found = path.read_text(encoding="utf-8")
    if found == wanted:
        return
    ours, theirs = found.splitlines(), wanted.splitlines()
    for kind, a, b, c, d in difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        if kind != "equal":
            said, must = " / ".join(ours[a:b]) or "nothing", " / ".join(theirs[c:d]) or "nothing"
            yield f"{path}: line {a + 1}: {said!r:.200} disagrees with its records; must be {must!r:.200}"
            return


if __name__ == "__main__":
    run_main(main)
