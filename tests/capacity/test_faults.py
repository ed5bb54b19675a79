"""Whatever dies, and whenever: the same command finishes, each run is done once, and all is as if nothing had been.

Real sweeps in processes of their own, killed at random moments (the seed of the moments is in the test's name). The
short versions run with `make test`, the long ones with `make test-faults`.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.capacity.conftest import metrics_of, wait_for, workers_of

ROOT = Path(__file__).parents[2]
PRESET = {
    **{"dataset": "biod", "sizes": ["1x16", "2x16"], "people": [60, 90], "exposures": 3000, "batch": 64},
    **{"biod": {"K": 2, "C": 2, "D": 8, "L": 1, "T": 8}, "device": "cpu", "quantize": "none", "save_seconds": 0.2},
}
SHORT = {"sizes": "1x16", "exposures": 400}
TIMINGS = ["seconds"]


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory):
    """Starts sweeps of a preset; `undisturbed(changes)` is the folder of one that nothing happened to."""

    class Sweeps:
        done: dict[str, Path] = {}  # noqa: RUF012

        def preset(self, changes):
            file = tmp_path_factory.mktemp("preset") / "preset.yaml"
            file.write_text(yaml.safe_dump(PRESET | changes))
            return file

        def start(self, out, changes, *flags):
            command = [sys.executable, "-m", "capacity.run", "--config", self.preset(changes), "--out", out]
            with (out.parent / f"{out.name}.log").open("a") as log:
                return subprocess.Popen([*command, *flags], cwd=ROOT, stdout=log, stderr=log)

        def finish(self, out, changes, *flags):
            driver = self.start(out, changes, "--retry-failed", *flags)
            assert driver.wait(600) == 0, (out.parent / f"{out.name}.log").read_text()

        def undisturbed(self, changes):
            key = json.dumps(changes)
            if key not in self.done:
                self.done[key] = tmp_path_factory.mktemp("undisturbed") / "out"
                self.finish(self.done[key], changes)
            return self.done[key]

    return Sweeps()


def table_of(out):
    return pd.read_csv(out / "results.csv").drop(columns=TIMINGS)


def same(out, expected):
    """Whether two stores hold the same, to the last bit, but for the time it took; and nothing is left over."""
    pd.testing.assert_frame_equal(table_of(out), table_of(expected), check_exact=True)
    runs = sorted(path.parent.name for path in expected.glob("*/result.json"))
    assert sorted(path.parent.name for path in out.glob("*/result.json")) == runs
    for name in runs:
        ours, theirs = ((store / name / "model" / "model.safetensors").read_bytes() for store in (out, expected))
        assert ours == theirs
        assert metrics_of(out / name) == metrics_of(expected / name)
        left = {path.name for path in (out / name).iterdir()} - {"worker.log"}
        assert left == {"config.yaml", "metrics.jsonl", "model", "result.json"}


def kill(pid, number=signal.SIGKILL):
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def nobody_left(out):
    wait_for(lambda: not workers_of(out), 30)


def disturb(sweeps, out, changes, kills, seed, who):
    """Kill workers or the driver at random moments, so many times; a sweep that ends before is begun anew."""
    chance = random.Random(seed)
    driver, struck = sweeps.start(out, changes, "--retry-failed"), 0
    try:
        while struck < kills:
            time.sleep(chance.uniform(0.05, 4.0))
            if driver.poll() is not None:
                assert driver.returncode in (0, 1)
                if driver.returncode == 0:  # else a run was killed three times before its first step
                    same(out, sweeps.undisturbed(changes))
                    shutil.rmtree(out)
                driver = sweeps.start(out, changes, "--retry-failed")
            victims = workers_of(out)
            target = who if who != "both" else chance.choice(["worker", "driver", "all"])
            if target in ("worker", "all") and victims:
                for victim in victims if target == "all" else [chance.choice(victims)]:
                    kill(victim)
                struck += 1
            if target in ("driver", "all"):
                kill(driver.pid)
                driver.wait()
                struck += target == "driver"
                driver = sweeps.start(out, changes, "--retry-failed")
    finally:
        kill(driver.pid)
        driver.wait()


def test_a_worker_and_a_driver_killed_once(sweeps, tmp_path):
    out, changes = tmp_path / "out", SHORT | {"exposures": 2000, "quantize": "int8"}
    driver = sweeps.start(out, changes)
    saved = wait_for(lambda: list(out.glob("*/checkpoints/*.safetensors")))
    for victim in workers_of(saved[0].parents[1]):
        kill(victim)
    wait_for(lambda: "killed by SIGKILL; it goes on" in (tmp_path / "out.log").read_text())
    kill(driver.pid)
    driver.wait()
    sweeps.finish(out, changes)
    same(out, sweeps.undisturbed(changes))
    nobody_left(out)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("who", "kills", "optimizer"), [("worker", 20, "muon"), ("driver", 10, "adamw"), ("both", 12, "muon")]
)
def test_killed_at_random_moments(sweeps, tmp_path, who, kills, optimizer):
    out, changes = tmp_path / "out", {"optimizer": optimizer, "exposures": 15_000}
    disturb(sweeps, out, changes, kills, kills, who)
    sweeps.finish(out, changes)
    same(out, sweeps.undisturbed(changes))
    nobody_left(out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_checkpoints_and_nobody(sweeps, tmp_path, number):
    out, changes = tmp_path / "out", {"sizes": "1x16", "people": [90], "exposures": 1_000_000, "save_seconds": 1000}
    driver = sweeps.start(out, changes)
    wait_for(lambda: driver.poll() is not None or any(map(notice_of, out.glob("*/heartbeat.json"))))
    assert driver.poll() is None
    driver.send_signal(number)
    assert driver.wait(60) == 128 + number
    assert workers_of(out) == []
    assert len(list(out.glob("*/checkpoints/*.safetensors"))) == 1
    said = (tmp_path / "out.log").read_text().splitlines()
    assert said[-1].startswith(f"Stopped by {number.name}; runs go on from their last checkpoints. To go on: ")
    assert "python -m capacity.run --config" in said[-1]


def notice_of(path):
    with suppress(OSError, ValueError):
        return "exposures" in json.loads(path.read_text())
    return False


@pytest.mark.faults
def test_two_drivers_share_the_work(sweeps, tmp_path):
    out, changes = tmp_path / "out", SHORT | {"people": [50, 60, 70]}
    drivers = [sweeps.start(out, changes, "--workers", "1") for _ in range(2)]
    assert [driver.wait(600) for driver in drivers] == [0, 0]
    same(out, sweeps.undisturbed(changes))
    said = (tmp_path / "out.log").read_text()
    assert sum(said.count(f"done: {path.parent.name}") for path in out.glob("*/result.json")) >= 3


@pytest.mark.faults
def test_two_drivers_and_one_is_killed(sweeps, tmp_path):
    out = tmp_path / "out"
    first, second = (sweeps.start(out, {}, "--workers", "1") for _ in range(2))
    wait_for(lambda: len(list(out.glob("*/config.yaml"))) >= 2 and list(out.glob("*/checkpoints/*.safetensors")))
    kill(first.pid)
    first.wait()
    assert second.wait(600) == 0
    same(out, sweeps.undisturbed({}))
    nobody_left(out)


def test_a_changed_preset_adds_runs(sweeps, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(sweeps.undisturbed(SHORT), out)
    sweeps.finish(out, SHORT | {"lr": 0.005})
    found = table_of(out)
    assert len(found) == 2 * len(table_of(sweeps.undisturbed(SHORT)))
    assert len({path.parent.name for path in out.glob("*/result.json")}) == 4


@pytest.mark.skipif(not hasattr(os, "posix_fallocate") or os.geteuid() != 0, reason="needs to mount a small disk")
def test_a_full_disk_damages_nothing(sweeps, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", disk], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        driver = sweeps.start(disk / "out", SHORT)
        assert driver.wait(300) == 1
        said = (disk / "out.log").read_text() if (disk / "out.log").stat().st_size else ""
        subprocess.run(["mount", "-o", "remount,size=50m", disk], check=True)
        assert "Traceback" not in said
        sweeps.finish(disk / "out", SHORT)
        same(disk / "out", sweeps.undisturbed(SHORT))
    finally:
        subprocess.run(["umount", "-l", disk], check=False)
