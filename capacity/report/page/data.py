"""Everything that a page shows, as one JSON value.

In: folders of sweeps or of published results. Out: a mapping that `document.page` takes.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from basis.text import printable
from capacity.report.page.answer import question_and_answer
from capacity.report.page.columns import as_json, cells_of, columns_of, plain
from capacity.report.page.law import law
from capacity.report.page.people import Asked, people_of
from capacity.report.page.runs import parts_of
from capacity.store.records import load
from capacity.store.sources import left_out


def page_data(
    folders: Sequence[Path], asked: Asked | None = None, on_bad: Callable[[str], None] = left_out
) -> dict[str, Any]:
    """The data of the page of some folders; without a finished run, `runs` is empty.

    on_bad: takes a line about each file that is not the record of a run. Raises ValueError for a folder that is not
    there, and as `people_of` does.
    """
    frame = load(*folders, on_bad=on_bad)
    runs = plain(frame)
    titles = [printable(folder.name or folder.resolve().name) for folder in folders]
    head = {"title": ", ".join(titles), "folders": list(map(printable, folders))}
    if runs.empty:
        return head | {"runs": [], "answer": "No run is finished yet.", "people": {"runs": [], "why": ""}}
    question, answer = question_and_answer(runs)
    columns = columns_of(frame)
    parts = parts_of(frame, folders)
    cells = cells_of(frame, columns)
    return {
        **head,
        **{"question": question, "answer": answer, "made": _made(parts)},
        "columns": as_json(columns),
        "law": law(runs),
        "shared": {"options": parts["options"], "origin": parts["origin"]},
        "runs": [part | {"cells": row} for part, row in zip(parts["runs"], cells, strict=True)],
        "people": people_of(runs, folders, asked or Asked()),
    }


def _made(parts: dict[str, Any]) -> dict[str, Any]:
    """When and by which commits the runs were made."""
    origins = [parts["origin"] | part["origin"] for part in parts["runs"]]
    days = sorted({str(one["finished"])[:10] for one in origins if one.get("finished")})
    commits = list(dict.fromkeys(str(one["commit"]) for one in origins if one.get("commit")))
    return {"days": [days[0], days[-1]] if days else [], "commits": commits[:5], "more": max(0, len(commits) - 5)}
