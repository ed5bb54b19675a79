"""Learning curves: what runs measured while they were trained.

In: folders of sweeps. Out: a DataFrame with a row for each measurement.
"""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd


def load_curves(*folders: Path | str, runs: Collection[str]) -> pd.DataFrame:
    """The measurements of some runs during training: `run_id`, `exposures`, R, accuracy and whatever else is there.

    A run that went on from a checkpoint may have measured twice; the later one stands. Rows are sorted by run and
    exposures. Lines that the end of a run cut off are left out; a run without metrics has no rows. Where several
    folders have a run, the first one's are taken.
    """
    rows = []
    for run in dict.fromkeys(runs):
        paths = [Path(folder) / run / "metrics.jsonl" for folder in folders]
        found = {record["exposures"]: record for path in paths[::-1] for record in _recalls(path)}
        rows += [{"run_id": run, **found[exposures]} for exposures in sorted(found)]
    return pd.DataFrame(rows, columns=None if rows else ["run_id", "exposures", "bits_per_param", "qa_accuracy"])


def _recalls(path: Path) -> Iterator[dict[str, Any]]:
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for line in text.splitlines():
        if '"recall"' not in line:  # nearly all lines are about training
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        yield {name: value for name, value in record.items() if name not in ("kind", "seconds")}
