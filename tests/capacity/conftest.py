"""Small presets, and runs of them in this process."""

import json
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from capacity.runner.run_in_folder import Run
from capacity.spec.plan import make_plans
from capacity.spec.preset import Preset
from capacity.store.folders import run_folder
from eval import interval

BIOD = {
    **{"dataset": "biod", "sizes": ["1x16"], "people": 40, "exposures": 4, "batch": 16, "optimizer": "adamw"},
    **{"biod": {"K": 2, "C": 2, "D": 8, "L": 1, "T": 8}, "device": "cpu", "quantize": []},
}
POOLS = {"first_names": 20, "middle_names": 20, "last_names": 20, "years": 9, "majors": 9, "employers": 9}
BIOS = {
    **{"dataset": "bios", "sizes": ["1x16"], "people": 90, "exposures": 3, "device": "cpu", "quantize": []},
    **{"pools": POOLS | {"birth_cities": 9, "universities": 9}, "templates": 12, "tokenizer": "word"},
}


def metrics_of(run, kind=None):
    """The metrics in a run's folder, or those of a kind, without the time that they were written at."""
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [record | {"seconds": 0} for record in records if kind in (None, record["kind"])]


def be_done(folder, exposures=2, **row):
    """Give a run a result."""
    rows = [{"exposures": exposures, **row}]
    folder.result.write_text(json.dumps({"run_id": folder.path.name, "config": {"exposures": exposures}, "rows": rows}))


def workers_of(folder):
    """Process numbers of the workers of a store or of a run, of this machine."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
                if "capacity.runner.worker" in command and str(folder) in command:
                    found.append(int(entry.name))
    return found


def wait_for(what, seconds=600.0):
    """What a condition says once it says anything."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@pytest.fixture(autouse=True, scope="module")
def few_resamples():
    """No test here looks at the width of an interval."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(interval, "RESAMPLES", 19)
        yield


@pytest.fixture(scope="session")
def plan_of():
    """The one plan of a small preset with changes: of bioD, unless they say otherwise."""

    def make(**changes):
        base = BIOS if changes.get("dataset") == "bios" else BIOD
        (plan,) = make_plans(Preset.model_validate(base | changes))
        return plan

    return make


@pytest.fixture
def prepare(tmp_path, plan_of):
    """The folder of a run that has not begun."""

    def make(at="runs", **changes):
        plan = plan_of(**changes)
        folder = run_folder(tmp_path / at, plan.config)
        folder.path.parent.mkdir(exist_ok=True)
        folder.write_config(plan.config)
        return folder

    return make


@pytest.fixture(scope="session")
def do():
    """Do a run in this process; a number of steps stops it early. Returns whether it finished."""

    def make(folder, steps=None):
        torch.set_num_threads(1)
        run = Run(folder, torch.device("cpu"))
        last = None if steps is None else run.trainer.steps + steps
        return run.go(lambda: last is not None and run.trainer.steps >= last)

    return make


@pytest.fixture
def rows_of():
    return lambda folder: json.loads(folder.result.read_text())["rows"]
