"""docs/tour.ipynb: the code of the notebook runs as it stands, and shows the kinds of things that are stored in it."""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

TOUR = Path(__file__).parents[2] / "docs" / "tour.ipynb"
pytestmark = pytest.mark.xdist_group("tour")  # one process executes it
EXECUTE = "from nbclient.cli import main; main()"


def code_of(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The cells of code after a run in a folder of their own."""
    copy = Path(shutil.copy(TOUR, tmp_path_factory.mktemp("tour")))
    done = subprocess.run([sys.executable, "-c", EXECUTE, "--inplace", copy], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return code_of(copy)


def kinds(cells):
    """What each cell shows: streams, and the types of its results."""
    return [[(one.output_type, *sorted(one.get("data", {}))) for one in cell.outputs] for cell in cells]


def test_the_notebook_runs_and_shows_the_kinds_of_things_that_are_stored_in_it(executed):
    stored = code_of(TOUR)
    assert [cell.execution_count for cell in stored] == [*range(1, len(stored) + 1)]
    assert kinds(executed) == kinds(stored)
    assert not any(one.output_type == "error" or one.get("name") == "stderr" for cell in stored for one in cell.outputs)


def test_what_is_computed_before_any_training_is_the_same_everywhere(executed):
    for cell, stored in zip(executed[:2], code_of(TOUR), strict=False):
        assert cell.outputs[0].text == stored.outputs[0].text


def test_the_figure_is_a_picture(executed):
    (picture,) = [
        one.data["image/png"] for cell in executed for one in cell.outputs if "image/png" in one.get("data", {})
    ]
    assert len(picture) > 10_000
