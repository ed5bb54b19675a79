"""The same seeds give the same weights as before, to the last bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pins import ENVIRONMENT, FILE, RUNS
from train.native.library import built

pytestmark = pytest.mark.xdist_group("pins")  # they share runs
KEPT = json.loads(FILE.read_text())


@pytest.fixture(scope="module")
def made():
    if "avx2" not in built():
        pytest.skip("needs kernels for AVX2")
    root = Path(__file__).parent.parent
    command = [sys.executable, "-m", "tests.pins"]
    done = subprocess.run(command, cwd=root, env=os.environ | ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_gives_the_same_data_weights_and_losses(made, name):
    ours, kept = made["runs"][name], KEPT["runs"][name]
    assert ours["batches"] == kept["batches"]
    precision = RUNS[name]["precision"]
    if made["probes"][precision][0] in KEPT["probes"][precision]:
        assert ours == kept
        return
    for row, before in zip(ours["rows"], kept["rows"], strict=True):  # other arithmetic: rounding alone differs
        assert row.keys() == before.keys()
        for key, value in before.items():
            near = {"abs": 0.05} if "accuracy" in key else {"rel": 0.02, "abs": 1e-6}
            assert row[key] == (pytest.approx(value, **near) if isinstance(value, float) else value)
