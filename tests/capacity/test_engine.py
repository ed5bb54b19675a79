"""The engine: side by side, largest first, failures named and alone, signals passed on, nobody left behind.

The workers here are shell scripts in place of Python, so that they do exactly what a test says; `test_run.py` starts
the real ones.
"""

import io
import os
import signal
import sys
import threading
import time

import pytest
from rich.console import Console

from capacity import engine
from capacity.config import Preset
from capacity.engine import Stopped, default_workers, run_all
from capacity.plan import make_plans
from capacity.store import run_folder

PEOPLE = (20, 30, 40)
# Whoever is started says so in a common log; "$3" is the run's folder.
HEADER = """#!/bin/sh
echo "start $(basename $3) $OMP_NUM_THREADS $1 $2 $4" >> "$3/../log"
"""
FOOTER = """
echo "end $(basename $3)" >> "$3/../log"
"""


@pytest.fixture
def plans():
    shape = {"K": 2, "C": 2, "D": 8, "L": 1, "T": 8}
    return make_plans(Preset(dataset="biod", sizes="1x16", people=PEOPLE, exposures=2, biod=shape))


@pytest.fixture
def sweep(tmp_path, monkeypatch, plans):
    """Run all plans with a shell script as the worker; returns the failed people and what was printed."""
    monkeypatch.setattr(engine, "_POLL_SECONDS", 0.02)

    def make(script, workers=1):
        stub = tmp_path / "worker.sh"
        stub.write_text(HEADER + script + FOOTER)
        stub.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(stub))
        printed = io.StringIO()
        failed = run_all(plans, tmp_path, workers=workers, device="cpu", console=Console(file=printed, width=60))
        return [folder.read_config().data.people for folder in failed], printed.getvalue()

    return make


def events(out):
    return [line.split()[:2] for line in (out / "log").read_text().splitlines()]


def folder_of(plans, out, people):
    (plan,) = [plan for plan in plans if plan.config.data.people == people]
    return run_folder(out, plan.config)


DONE = 'echo "{}" > "$3/result.json"'


def test_the_largest_run_is_first(sweep, tmp_path):
    failed, printed = sweep(DONE)
    assert failed == []
    order = [name for kind, name in events(tmp_path) if kind == "start"]
    assert [name.split("-")[2] for name in order] == ["n40", "n30", "n20"]
    assert [line for line in printed.splitlines() if line.startswith("done: ")] == [f"done: {name}" for name in order]


@pytest.mark.parametrize("workers", [1, 2, 3, 9])
def test_as_many_are_under_way_as_there_are_workers(sweep, tmp_path, workers):
    sweep("sleep 0.3\n" + DONE, workers)
    running, most = 0, 0
    for kind, _ in events(tmp_path):
        running += 1 if kind == "start" else -1
        most = max(most, running)
    assert most == min(workers, 3)


def test_a_worker_gets_its_folder_and_device_and_one_thread(sweep, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    sweep(DONE)
    for line in (tmp_path / "log").read_text().splitlines():
        if line.startswith("start"):
            assert line.split()[2:] == ["1", "-m", "capacity.worker", "cpu"]


def test_a_config_is_there_before_its_worker_starts(sweep):
    failed, _ = sweep('test -s "$3/config.yaml" && ' + DONE)
    assert failed == []


def test_one_failure_stops_no_other(sweep, tmp_path, plans):
    script = 'case "$3" in *-n30-*) echo "error: bad luck" >&2; exit 1;; esac\n' + DONE
    failed, printed = sweep(script)
    assert failed == [30]
    name = folder_of(plans, tmp_path, 30).path.name
    assert f"failed: {name} (see {tmp_path}/{name}/worker.log)" in printed.splitlines()
    assert folder_of(plans, tmp_path, 30).log.read_text() == "error: bad luck\n"
    assert folder_of(plans, tmp_path, 20).done
    assert folder_of(plans, tmp_path, 40).done


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ("kill -9 $$", "error: killed by SIGKILL"),
        ("kill -6 $$", "error: killed by SIGABRT"),
        ("exit 130", "error: stopped by a signal; the same command goes on from its checkpoint"),
        ("echo 'error: this time' >&2; exit 1", "error: this time"),
    ],
)
def test_the_reason_is_that_of_the_last_attempt(sweep, tmp_path, plans, ending, reason):
    for plan in plans:
        folder = run_folder(tmp_path, plan.config)
        folder.write_config(plan.config)
        folder.log.write_text("error: some other time\n")
    failed, _ = sweep(ending, workers=3)
    assert sorted(failed) == list(PEOPLE)
    for plan in plans:
        lines = run_folder(tmp_path, plan.config).log.read_text().splitlines()
        assert lines[-1] == reason
        assert "error: some other time" not in lines


def test_an_end_without_a_result_is_a_failure(sweep):
    assert sorted(sweep("true", workers=3)[0]) == list(PEOPLE)


def send(numbers, when):
    """Signals to this process, once a condition holds, a while apart."""

    def wait():
        deadline = time.monotonic() + 20
        while not when() and time.monotonic() < deadline:
            time.sleep(0.01)
        for number in numbers:
            os.kill(os.getpid(), number)
            time.sleep(0.2)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


WAITING = """
trap 'touch "$3/checkpoint.safetensors"; exit 130' TERM
trap 'echo interrupted >> "$3/../log"' INT
touch "$3/ready"
while :; do sleep 0.02; done
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_with_their_checkpoints(sweep, tmp_path, number):
    before = signal.getsignal(number)
    thread = send([number], lambda: len(list(tmp_path.glob("*/ready"))) == 2)
    with pytest.raises(Stopped) as stopped:
        sweep(WAITING, workers=2)
    thread.join()
    assert stopped.value.signal_number == number
    assert len(list(tmp_path.glob("*/checkpoint.safetensors"))) == 2
    assert [kind for kind, _ in events(tmp_path)] == ["start", "start"]  # the third never began
    assert signal.getsignal(number) == before


def test_a_run_that_ends_well_all_the_same_is_done(sweep, tmp_path):
    thread = send([signal.SIGINT], lambda: list(tmp_path.glob("*/ready")))
    with pytest.raises(Stopped):
        sweep(WAITING.replace("exit 130", DONE + "; exit 0"))
    thread.join()
    assert len(list(tmp_path.glob("*/result.json"))) == 1


def test_a_second_signal_kills_who_does_not_listen(sweep, tmp_path):
    deaf = "trap '' TERM\ntouch \"$3/ready\"\nwhile :; do sleep 0.02; done\n"
    thread = send([signal.SIGINT, signal.SIGINT], lambda: len(list(tmp_path.glob("*/ready"))) == 3)
    with pytest.raises(Stopped):
        sweep(deaf, workers=3)
    thread.join()


def test_progress_is_printed_now_and_then_without_a_terminal(sweep, monkeypatch):
    monkeypatch.setattr(engine, "_PLAIN_SECONDS", 0.0)
    train = '{"kind": "train", "exposures": 1, "loss": 4.25, "tokens_per_second": 9000}'
    _, printed = sweep(f"echo '{train}' > \"$3/metrics.jsonl\"\nsleep 0.2\n{DONE}")
    assert any("50% loss 4.250  9K tokens/s" in line for line in printed.splitlines())
    assert "all runs 22%" in printed  # half of the largest: 40 of 90 people


def test_workers_by_default(monkeypatch):
    monkeypatch.setattr(engine.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(engine.torch.cuda, "device_count", lambda: 4)
    assert default_workers("auto") == default_workers("cuda") == 4
    assert default_workers("mps") == 1
    assert default_workers("cpu") == len(os.sched_getaffinity(0))
    monkeypatch.setattr(engine.torch.cuda, "is_available", lambda: False)
    assert default_workers("auto") == len(os.sched_getaffinity(0))
