"""The command line: a run is done once, and what is cut off goes on to the same result.

One store goes through what can happen to it, a fixture a chapter: it is interrupted, goes on beside a run that fails,
is asked for again. So a test sees the same whichever ran before it, or in whichever of pytest-xdist's processes.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from basis.flags import UserError
from capacity import table
from capacity.runner.run_in_folder import Run
from capacity.spec.plan import make_plans
from capacity.spec.preset import Preset
from capacity.store.folders import run_folder
from tests.capacity.conftest import wait_for, workers_of
from tests.capacity.run.conftest import PRESET, ROOT, sweep


def losses_of(rows):
    names = ("loss", "qa_", "steps", "tokens", "bits")
    intervals = ("bits_per_param_low", "bits_per_param_high")  # of fewer resamples in this process
    return [{key: row[key] for key in row if key.startswith(names) and key not in intervals} for row in rows]


def processes_of(text):
    """Command lines of running processes that name a text."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if text in line and "ps -eo" not in line]


@pytest.fixture(scope="module")
def store(preset, tmp_path_factory):
    out = tmp_path_factory.mktemp("store")
    folders = [run_folder(out, plan.config) for plan in make_plans(Preset.model_validate(PRESET))]
    flags = ["--config", str(preset), "--out", str(out), "--workers", "1", "--seeds", "0"]
    return SimpleNamespace(out=out, flags=flags, good=folders[0], bad=folders[1])


@pytest.fixture(scope="module")
def interrupted(store):
    driver = subprocess.Popen(
        [sys.executable, "-m", "capacity.run", *store.flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "80"},
    )
    metrics = store.good.metrics
    wait_for(lambda: driver.poll() is not None or (metrics.exists() and metrics.stat().st_size))
    workers = workers_of(store.out)
    for worker in workers:  # so that it can not end before it is told to stop
        os.kill(worker, signal.SIGSTOP)
    driver.send_signal(signal.SIGINT)
    time.sleep(1)
    for worker in workers:
        os.kill(worker, signal.SIGCONT)
    said, _ = driver.communicate(timeout=600)
    return SimpleNamespace(
        code=driver.returncode,
        said=said,
        checkpoints=len(store.good.checkpoints.paths),
        metrics=store.good.metrics.read_text(),
        done=store.good.done,
        processes=processes_of(str(store.out)),
    )


@pytest.fixture(scope="module")
def failed(store, interrupted):
    store.bad.metrics.mkdir(parents=True)  # in the way
    ended = sweep([*store.flags, "1"])  # --seeds 0 1
    return SimpleNamespace(**vars(ended), reason=store.bad.read_failure(), done=store.bad.done)


@pytest.fixture(scope="module")
def asked_again(store, failed):
    before = store.bad.failure.stat().st_mtime_ns
    ended = sweep([*store.flags, "1"])
    return SimpleNamespace(**vars(ended), untouched=store.bad.failure.stat().st_mtime_ns == before)


@pytest.fixture(scope="module")
def finished(store, asked_again):
    store.bad.metrics.rmdir()
    return sweep([*store.flags, "1", "--retry-failed"])


def test_an_interrupted_sweep_says_how_to_go_on(store, interrupted):
    assert interrupted.code == 130
    said, _, again = interrupted.said.splitlines()[-1].partition(" To go on: ")
    assert said == "Stopped by SIGINT; runs go on from their last checkpoints."
    program, *arguments = shlex.split(again)
    assert arguments == ["-m", "capacity.run", *store.flags]
    assert subprocess.run([program, "-c", "import capacity"], cwd=ROOT, check=False).returncode == 0
    assert interrupted.checkpoints == 1
    assert not interrupted.metrics.startswith("\0")
    assert not interrupted.done
    assert interrupted.processes == []


def test_it_goes_on_and_names_what_fails(store, failed):
    assert failed.code == 1
    *_, line, advice = failed.said.splitlines()
    assert line == f"failed: {store.bad.path.name}: {store.bad.metrics}: Is a directory"
    assert advice == "1 of 2 runs failed; --retry-failed takes them up again."
    assert store.good.done
    assert not failed.done
    assert not store.good.checkpoints.paths
    assert failed.reason == line.partition(f"{store.bad.path.name}: ")[2]


def test_what_failed_waits_to_be_asked_for(store, asked_again, finished):
    assert asked_again.code == 1
    assert f"failed: {store.bad.path.name}: " in asked_again.said
    assert asked_again.untouched
    assert finished.code == 0
    assert store.bad.done
    assert not store.bad.failure.exists()
    assert "failed" not in finished.said


def test_its_result_is_that_of_an_undisturbed_run(store, finished, tmp_path):
    folder = run_folder(tmp_path, store.good.read_config())
    folder.write_config(store.good.read_config())
    torch.set_num_threads(1)
    assert Run(folder, torch.device("cpu")).go(lambda: False)
    expected, found = (json.loads(each.result.read_text())["rows"] for each in (folder, store.good))
    assert [row["quantization"] for row in found] == ["none", "rtn-int8+embedding"]
    assert losses_of(found) == losses_of(expected)


def test_what_is_done_is_not_done_again(store, finished):
    before = {file: file.stat().st_mtime_ns for file in store.good.path.rglob("*")}
    ended = sweep(store.flags)
    assert ended.code == 0
    assert "1 of 1 run done; nothing was left to do." in ended.said
    assert {file: file.stat().st_mtime_ns for file in store.good.path.rglob("*")} == before


def test_a_finished_sweep_is_shown_where_nothing_can_be_written(store, finished, monkeypatch, capfd):
    before = {file: file.stat().st_mtime_ns for file in store.out.rglob("*")}
    monkeypatch.setattr("os.access", lambda *_: False)
    ended = sweep(store.flags)
    assert ended.code == 0
    assert "R max" in ended.said
    assert ended.said.splitlines()[-1] == f"{store.out} cannot be written: it gets no results.csv and no plots."
    assert table.main([str(store.out)]) == 0
    assert f"{store.out} cannot be written: give --out for results.csv and plots." in capfd.readouterr().out
    assert {file: file.stat().st_mtime_ns for file in store.out.rglob("*")} == before
    with pytest.raises(UserError, match=r"out: .* cannot be written; give a folder that can"):
        sweep([*store.flags, "7"])


def test_what_is_printed_changes_nothing(store, finished):
    command = f"{sys.executable} -m capacity.table {store.out} --figure law"
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "MPLBACKEND": "agg"}
    for line in (f"{command} | head -1; exit ${{PIPESTATUS[0]}}", f"{command} >/dev/full", f"{command} >&-"):
        done = subprocess.run(["bash", "-c", line], cwd=ROOT, env=environment, capture_output=True, check=False)
        warned = b"warning: standard output cannot be written (No space left on device)\n" if "full" in line else b""
        assert (done.returncode, done.stderr) == (0, warned)


def test_a_dry_run_tells_what_is_there(store, finished, preset, tmp_path):
    flags = [*store.flags, "1", "2", "--dry-run"]
    assert f"In {store.out}: 2 of 3 runs done." in sweep(flags).said
    there = f"In {store.out}: 0 of 3 runs done, 2 trained, and only to be measured."
    assert there in sweep([*flags, "--quantize", "int4"]).said
    assert "these" not in sweep([*flags, "--out", str(tmp_path / "new")]).said


def test_the_table_is_rebuilt_byte_by_byte(store, finished, capfd):
    csv = store.out / "results.csv"
    before = csv.read_bytes()
    csv.unlink()
    assert table.main([str(store.out)]) == 0
    capfd.readouterr()
    assert csv.read_bytes() == before
    assert before.count(b"\n") == 5  # a heading, two runs, their quantized copies
