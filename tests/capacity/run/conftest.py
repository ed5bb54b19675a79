"""A small preset, and sweeps of it by the command line, in this process."""

import io
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from capacity import run

ROOT = Path(__file__).parents[3]
PRESET = {
    **{"dataset": "biod", "sizes": ["1x16"], "people": 60, "exposures": 400, "batch": 60, "seeds": [0, 1]},
    **{"biod": {"K": 2, "C": 2, "D": 8, "L": 1, "T": 8}, "optimizer": "adamw", "device": "cpu", "quantize": "int8"},
}


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    file = tmp_path_factory.mktemp("preset") / "tiny.yaml"
    file.write_text(yaml.safe_dump(PRESET))
    return file


@pytest.fixture(scope="module", autouse=True)
def no_plots():
    """Plots and the report take seconds and have tests of their own."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("capacity.report.figures.runs.draw_all", lambda *_: [])
        patched.setattr("capacity.report.page.write.write_page", lambda *_, **__: 0)
        yield


def sweep(flags):
    """Exit code and printed text of a sweep in this process."""
    with redirect_stdout(io.StringIO()) as printed:
        code = run.main(flags)
    return SimpleNamespace(code=code, said=printed.getvalue())
