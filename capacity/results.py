"""`python -m capacity.results`: print every table and page of results/ and of the documents from the published data.

`--check` changes nothing and ends with 1 where a document disagrees with the data.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from basis.flags import Parser, UserError, run_main
from basis.program import called_as
from capacity.experiments import EXPERIMENTS
from capacity.reproduce import RESULTS
from capacity.reproduce import draw as draw_experiment

if TYPE_CHECKING:
    import pandas as pd

    from capacity.experiments.experiment import Selected, Verdict

ROOT = RESULTS.parent
EXAMPLES = ROOT / "docs" / "examples"
_OF_EXPERIMENTS = ("comparisons", "scaling")
"""Folders of runs that experiments share; their pages have the figures."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the documents; returns 1 if `--check` found one that disagrees. Raises UserError outside a checkout."""
    parser = Parser(called_as("capacity.results"), description="Print the documents from the data.")
    parser.add_argument("--check", action="store_true", help="only look whether the documents agree with the data")
    check = parser.parse_args(arguments).check
    if not (RESULTS / "README.md").is_file():
        raise UserError(["results: is not here; this command is for a checkout of the project"])
    from basis.files import replace_file

    if not check:
        draw_figures()
    wrong = []
    for path, text in documents():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            wrong.append(path.relative_to(ROOT))
            if not check:
                path.parent.mkdir(exist_ok=True)  # a page without figures
                replace_file(path, text.encode())
    for name in wrong:
        print(f"{name}: {'disagrees with results/; run make results' if check else 'printed anew'}", file=sys.stderr)
    return 1 if check and wrong else 0


def draw_figures() -> None:
    """Draw the figures of every published folder and experiment."""
    from capacity.publish import draw
    from capacity.report.figures.style import Print, printed

    for folder in _folders():
        if folder.name not in _OF_EXPERIMENTS:
            draw(folder)
    with printed(Print(("png",))):  # vectors take much space
        for name in EXPERIMENTS.names:
            if _has_page(name):
                draw_experiment(EXPERIMENTS[name], _chosen(name), RESULTS / name, _published(name))


def documents() -> Iterator[tuple[Path, str]]:
    """Every document with the text that it should have."""
    from capacity.experiments.page import page
    from capacity.report.markdown import fill

    for name in EXPERIMENTS.names:
        if not _has_page(name):
            continue
        folder = RESULTS / name
        pictures = [f"plots/{picture.name}" for picture in sorted((folder / "plots").glob("*.png"))]
        about = EXPERIMENTS[name], _chosen(name), _verdict(name), _published(name)
        yield folder / "README.md", page(*about, pictures, f"capacity reproduce {name}")
    for path in [ROOT / "README.md", RESULTS / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        try:
            yield path, fill(path.read_text(encoding="utf-8"), block)
        except ValueError as error:
            raise UserError([f"{path.relative_to(ROOT)}: {error}"]) from None


def block(name: str) -> str:
    """The text of a block of a document. Raises ValueError for an unknown block.

    `best FOLDER`: the best R over N; `runs FOLDER`: every run; `made FOLDER`: where its numbers come from;
    `text FILE`: a file of results/ as it is; `example FILE`: one of docs/examples/; `experiments`: all verdicts;
    `finding`: the law in a sentence; `findings`: what each source found, beside what came out; `headlines`: the first
    of each experiment; `record`: its table; `proofs`: those of weights that are kept.
    """
    from capacity.report.best import best_table
    from capacity.report.documents import made_by, runs_table

    kind, _, folder = name.partition(" ")
    if name in _OF_ALL:
        return _OF_ALL[name]()
    if kind == "text" and (RESULTS / folder).is_file():
        return f"```text\n{(RESULTS / folder).read_text(encoding='utf-8').rstrip()}\n```"
    if kind == "example" and (EXAMPLES / folder).is_file():
        return f"```text\n{(EXAMPLES / folder).read_text(encoding='utf-8').rstrip()}\n```"
    if kind not in ("best", "runs", "made") or RESULTS / folder not in _folders():
        raise ValueError(f"print: {name!r} is not a block; must be best, runs or made with a folder of results/")
    frame = _load(folder)
    if kind == "made":
        return made_by(frame, [RESULTS / folder])
    return best_table(frame) if kind == "best" else runs_table(frame)


def _experiments() -> str:
    import pandas as pd

    from capacity.report.markdown import table

    rows = []
    for name in EXPERIMENTS.names:
        experiment = EXPERIMENTS[name]
        page = f"[{name}]({name}/README.md)" if _has_page(name) else name
        verdict = _verdict(name)
        rows.append({"experiment": page, "question": experiment.question, "verdict": verdict.status})
    return table(pd.DataFrame(rows))


def _findings(most: int | None = None, folder: str = "") -> str:
    """What each source found, beside what came out, a row each; `most` of each experiment."""
    import pandas as pd

    from capacity.report.markdown import table

    rows = []
    for name in EXPERIMENTS.names:
        verdict = _verdict(name)
        found = [one for one in verdict.findings if one.here]
        rows += [
            {"experiment": f"[{name}]({folder}{name}/README.md)", "what": one.what}
            | {"the source": one.source, "here": one.here}
            | ({"so": one.status} if most is None else {"all that it says": verdict.status})
            for one in found[:most]
        ]
    return table(pd.DataFrame(rows))


def _table_of(name: str) -> str:
    from capacity.report.markdown import table

    return table(EXPERIMENTS[name].table(_selected(name)))


def _finding() -> str:
    """The law on bioD as the source trains, in a sentence."""
    from capacity.laws.capacity import best_over_people

    frame = _selected("law-biod")
    frame = frame[(frame["quantization"] == "none") & (frame["recipe"] == "paper")]
    best = best_over_people(frame, ["exposures"]).groupby("exposures")["R"].agg(["min", "max"])
    many, few = (f"{best['min'][at]:.2f} to {best['max'][at]:.2f}" for at in (1000, 100))
    P = f"{frame['params'].min():,} to {frame['params'].max():,}"
    return (
        f"Models of {P} parameters store {many} bits per parameter if each fact is seen 1000 times.\n"
        f"If it is seen 100 times, they store {few} (abstract people, the paper's AdamW, two CPU cores)."
    )


def _proofs() -> str:
    """What the codes of weights that are kept say, a row for each run."""
    import pandas as pd

    from basis.reading import read_json
    from capacity.report.markdown import table
    from capacity.store.audit import PROOFS
    from capacity.store.folders import WEIGHTS

    rows = []
    for path in sorted(RESULTS.glob(f"*/{WEIGHTS}/*/{PROOFS['float32']}")):
        proof, packed = read_json(path), read_json(path.with_name(PROOFS["int8"]))
        rows.append(
            {"run": path.parent.name, "P": f"{proof['params']:,}", "fields": f"{proof['fields']:,}"}
            | {"bits of the code": f"{proof['code_bits']:,}", "against the losses": f"{proof['difference']:+.2%}"}
            | {"R of the code": f"{proof['bits_per_param']:.3f}", "R of int8": f"{packed['bits_per_param']:.3f}"}
        )
    return table(pd.DataFrame(rows)) if rows else "No weights are kept yet."


_OF_ALL: dict[str, Callable[[], str]] = {
    "experiments": _experiments,
    "finding": _finding,
    "findings": _findings,
    "proofs": _proofs,
    "record": lambda: _table_of("record"),
    "headlines": lambda: _findings(most=1, folder="results/"),
}
"""The blocks that take nothing."""


def _folders() -> list[Path]:
    """The folders of published results."""
    return sorted(path.parent for path in RESULTS.glob("*/records.parquet"))


def _published(name: str) -> list[Path]:
    return [RESULTS / folder for folder in EXPERIMENTS[name].published]


def _has_page(name: str) -> bool:
    """Whether the published runs say anything about what the source says; some belong to several experiments."""
    return any(finding.here for finding in _verdict(name).findings)


@cache
def _verdict(name: str) -> "Verdict":
    """The verdict on the published runs; some fits take seconds, and several documents have it."""
    return EXPERIMENTS[name].verdict(_selected(name))


def _selected(name: str) -> "pd.DataFrame":
    return _chosen(name).frame


@cache
def _chosen(name: str) -> "Selected":
    from capacity.experiments.experiment import selected

    return selected(EXPERIMENTS[name], _load(*EXPERIMENTS[name].published), _published(name))


@cache
def _load(*folders: str) -> "pd.DataFrame":
    from capacity.store.records import load

    return load(*(RESULTS / folder for folder in folders if (RESULTS / folder).is_dir()))


if __name__ == "__main__":
    run_main(main)
