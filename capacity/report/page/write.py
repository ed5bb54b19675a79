"""Writes the page of some folders to a file.

In: folders of sweeps or of published results. Out: one HTML file, written in one step.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from basis.files import replace_file
from basis.folders import refuse_links
from capacity.report.page.data import page_data
from capacity.report.page.document import page
from capacity.report.page.people import Asked
from capacity.store.sources import left_out

NAME = "report.html"
"""The page in the folder of a sweep."""


def write_page(
    folders: Sequence[Path], out: Path, asked: Asked | None = None, on_bad: Callable[[str], None] = left_out
) -> int:
    """Write the page; returns its bytes.

    Raises ValueError if no run is finished, a folder is not there, or the file is a link that leads out of its folder;
    OSError if it cannot be written.
    """
    refuse_links(out.parent, out.name)
    data = page_data(folders, asked, on_bad)
    if not data["runs"]:
        named = ", ".join(map(str, folders))
        raise ValueError(f"folder: {named} has no finished run (no */result.json); must be the folder of a sweep")
    content = page(data).encode()
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_file(out, content)
    return len(content)
