"""Text for documents: a table of runs, and where its numbers come from."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from capacity.report.markdown import table
from capacity.store.records import by_precision
from capacity.store.sources import records_in


def runs_table(frame: pd.DataFrame) -> str:
    """One line a run: its size and N, losses in nats, R as trained and after each quantization."""
    schemes = sorted(set(frame["quantization"]) - {"none"}, key=by_precision)
    R = frame.pivot_table(index="run_id", columns="quantization", values="bits_per_param", aggfunc="first")
    runs = frame[frame["quantization"] == "none"]
    columns = {
        "size": runs["size"],
        "P": [f"{P:,}" for P in runs["params"]],
        "N": [f"{N:,}" for N in runs["people"]],
        "loss_name": runs["loss_name"].map("{:.2f}".format),
        "loss_value": runs["loss_value"].map("{:.2f}".format),
        "R": runs["bits_per_param"].map("{:.3f}".format),
        "R max": runs["max_bits_per_param"].map("{:.3f}".format),
        "accuracy": runs["qa_accuracy"].map("{:.0%}".format),
        **{scheme: R[scheme].reindex(runs["run_id"]).map("{:.3f}".format).to_numpy() for scheme in schemes},
    }
    return table(pd.DataFrame(columns))


def made_by(frame: pd.DataFrame, folders: Sequence[Path]) -> str:
    """Where the numbers of runs come from: how many there are, when, by which commits, on which machines."""
    runs = frame.drop_duplicates("run_id")
    wanted = set(runs["run_id"])
    records = {record["run_id"]: record for folder in folders for _, record in records_in(folder, runs=wanted)}
    made = [records[run]["provenance"] for run in sorted(wanted)]
    days = sorted({str(one["finished"])[:10] for one in made})
    commits = list(dict.fromkeys(str(one.get("commit")) for one in made))
    machines = sorted({_machine(one) for one in made})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    by = commits[0] if len(commits) == 1 else f"{len(commits)} commits from {commits[0]} on"
    seeds = ", ".join(map(str, sorted(runs["seed"].unique())))
    return "\n".join(
        [f"- {len(runs):,} runs, seeds {seeds}.", f"- {when}, {by}.", *(f"- {machine}." for machine in machines)]
    )


def _machine(made: Mapping[str, object]) -> str:
    return f"{made.get('processor')} ({made.get('kernels')}, {made.get('precision')})"
