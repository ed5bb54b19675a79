"""Put finished runs into results/: `.venv/bin/python -m scripts.publish results/NAME OUT [OUT ...]`.

In: folders of sweeps, and what results/NAME/runs holds already (delete there what new runs replace). Out, in
results/NAME: each run's result and metrics, results.csv and the plots of all of them; two tables in Markdown are
printed, of the best N of each size and of all runs.
"""

import argparse
import json
import math
import shutil
import tempfile
from pathlib import Path

import pandas as pd

from biogen.datasets import title_of
from capacity.laws.capacity import best_over_people
from capacity.report.plots import draw_all
from capacity.store.records import by_precision, load, write_csv

KIND = ["dataset", "exposures", "junk", "recipe"]
ONE = "{}.json", "{}.metrics.jsonl"
"""Files of a run in results/NAME/runs: result.json and metrics.jsonl of its folder."""


def gather(published: Path, stores: list[Path]) -> None:
    """Copy results and metrics of finished runs into `published`."""
    published.mkdir(parents=True, exist_ok=True)
    for result in (path for store in stores for path in store.glob("*/result.json")):
        for name, source in zip(ONE, (result, result.with_name("metrics.jsonl")), strict=True):
            shutil.copy(source, published / name.format(result.parent.name))


def as_store(published: Path, store: Path) -> None:
    """Lay published runs out as a sweep does."""
    for result in published.glob("*.json"):
        folder = store / result.stem
        folder.mkdir()
        shutil.copy(result, folder / "result.json")
        shutil.copy(published / ONE[1].format(result.stem), folder / "metrics.jsonl")


def best(frame: pd.DataFrame) -> str:
    """One line a size and kind of run: the largest R over N, and R of the same runs after quantization."""
    of_size = [*KIND, "params", "size"]
    schemes = sorted(set(frame["quantization"]) - {"none"}, key=by_precision)
    means = frame.groupby([*of_size, "people", "quantization"], dropna=False)["bits_per_param"].mean()
    tried = frame.groupby(of_size, dropna=False)["people"].agg(lambda N: ", ".join(f"{n:,}" for n in sorted(set(N))))
    largest = best_over_people(frame, KIND)
    largest = largest[largest["quantization"] == "none"].sort_values([*KIND, "params"])
    names = ["data", "exposures", "recipe", "size", "P", "best R", "N", *schemes, "N tried"]
    lines = [names, ["---"] * len(names)]
    for row in largest.to_dict("records"):
        one = tuple(row[name] for name in of_size)
        recipe = row["recipe"] + ("" if row["junk"] == "0" else f", {row['junk']} junk")
        how = [title_of(row["dataset"]), f"{row['exposures']:,.10g}", recipe, row["size"], f"{row['params']:,}"]
        found = ("" if row["bracketed"] else "≥ ") + f"**{row['R']:.2f}**"
        quantized = [f"{means.get((*one, row['people'], name), math.nan):.2f}".replace("nan", "-") for name in schemes]
        lines.append([*how, found, f"{row['people']:,}", *quantized, tried[one]])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def markdown(frame: pd.DataFrame, published: Path) -> str:
    """One line a run; `decay` is its weight decay, the option that recipes have changed most."""
    schemes = sorted(set(frame["quantization"]) - {"none"}, key=by_precision)
    R = frame.pivot_table(index="run_id", columns="quantization", values="bits_per_param", aggfunc="first")
    names = ["data", "size", "P", "N", "exposures", "recipe", "decay", "seed", "loss_name", "loss_value", "R", "R max"]
    names += ["accuracy", *schemes]
    lines = [names, ["---"] * len(names)]
    for run in frame.drop_duplicates("run_id").itertuples():
        whole = [f"{number:,}" for number in (run.params, run.people, run.exposures)]
        reals = [f"{run.loss_name:.2f}", f"{run.loss_value:.2f}", f"**{run.bits_per_param:.3f}**"]
        ends = [f"{run.max_bits_per_param:.3f}", f"{run.qa_accuracy:.0%}"]
        ends += [f"{R[scheme][run.run_id]:.3f}".replace("nan", "-") for scheme in schemes]
        training = json.loads((published / ONE[0].format(run.run_id)).read_text())["config"]["training"]
        how = [run.recipe, f"{training['weight_decay']:g}", str(run.seed)]
        lines.append([title_of(run.dataset), run.size, *whole, *how, *reals, *ends])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Read the arguments, copy, draw, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("stores", type=Path, nargs="*")
    options = parser.parse_args()
    gather(options.results / "runs", options.stores)
    with tempfile.TemporaryDirectory() as folder:
        as_store(options.results / "runs", Path(folder))
        frame = load(Path(folder))
        figures = draw_all(frame, Path(folder))
        write_csv(frame, options.results / "results.csv")
        shutil.rmtree(options.results / "plots", ignore_errors=True)
        for drawn in figures:
            if drawn.suffix == ".png" or drawn.stem == "law":  # of one figure vectors, too: they take much space
                (options.results / "plots").mkdir(exist_ok=True)
                shutil.copy(drawn, options.results / "plots")
    print(best(frame), end="\n\n")
    print(markdown(frame, options.results / "runs"))


if __name__ == "__main__":
    main()
