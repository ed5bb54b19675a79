"""Claims: one holder at a time, the dead are replaced and the living are not, whoever has lost a run knows it."""

import errno
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from capacity.runner import claim
from capacity.runner.claim import Claim, Lost, Process, Watch, acquire, clear, last_notice, started, this_machine


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def dead(tmp_path):
    """Leaves a claim of a process that is gone."""

    def make(folder=tmp_path, number=1, machine=None):
        process = subprocess.Popen([sys.executable, "-c", ""])
        holder = Process(machine or this_machine(), process.pid, started(process.pid))
        process.wait()
        (folder / f"claim-{number}").write_text(json.dumps(vars(holder)))

    return make


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(claim, "BEAT_SECONDS", 0.05)


def test_a_heart_that_beats_again_is_not_taken_over(tmp_path, dead, monkeypatch):
    dead(machine="another")
    with monkeypatch.context() as patched:
        patched.setattr(time, "sleep", lambda _: (tmp_path / "heartbeat.json").write_text("it lives"))
        assert acquire(tmp_path, dead_claim=1) is None
    assert acquire(tmp_path, dead_claim=1).number == 2


def test_whoever_looks_away_can_not_say_that_nothing_beat(tmp_path, dead):
    dead(machine="another")
    now = 100.0
    watch = Watch(lambda: now)
    assert watch.free(tmp_path) is None
    now += 10 * claim.STALE_SECONDS
    assert watch.free(tmp_path) is None
    for _ in range(5):
        now += claim.STALE_SECONDS / 4
        found = watch.free(tmp_path)
    assert found == 1


def test_another_users_process_is_taken_for_alive(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda self: (_ for _ in ()).throw(FileNotFoundError()))
    monkeypatch.setattr(os, "kill", lambda pid, number: (_ for _ in ()).throw(PermissionError()))
    assert Process(this_machine(), 1, "123").dead is False
    monkeypatch.setattr(os, "kill", lambda pid, number: (_ for _ in ()).throw(ProcessLookupError()))
    assert Process(this_machine(), 1, "123").dead is True


def test_a_process_is_known_by_its_number_and_start():
    assert Process.this().dead is False
    assert Process(this_machine(), os.getpid(), "another").dead is True
    assert Process("another machine", os.getpid(), "1").dead is None
    assert started(2**22 + 1) is None


def test_a_claim_is_one_holders_until_released(tmp_path):
    with acquire(tmp_path) as first:
        assert first.held
        assert acquire(tmp_path) is None
        assert Watch().free(tmp_path) is None
        assert names(tmp_path) == ["claim-1", "heartbeat.json"]
    assert not first.held or names(tmp_path) == ["heartbeat.json", "released-1"]
    assert Watch().free(tmp_path) == 0
    with acquire(tmp_path) as second:
        assert names(tmp_path) == ["claim-2", "heartbeat.json"]
        second.finished = True
    assert names(tmp_path) == []


def test_the_dead_of_this_machine_are_replaced_at_once(tmp_path, dead):
    dead()
    assert Watch().free(tmp_path) == 0
    assert acquire(tmp_path).number == 2


def test_the_dead_of_another_are_replaced_when_their_heartbeat_stands_still(tmp_path, dead):
    dead(machine="another")
    now = 100.0
    watch = Watch(lambda: now)
    assert watch.free(tmp_path) is None
    for _ in range(3):
        now += claim.STALE_SECONDS / 3 - 1
        assert watch.free(tmp_path) is None
    (tmp_path / "heartbeat.json").write_text("it lives")
    assert watch.free(tmp_path) is None
    for _ in range(3):
        now += claim.STALE_SECONDS / 3 - 1
        assert watch.free(tmp_path) is None
    now += 3
    assert watch.free(tmp_path) == 1
    assert acquire(tmp_path) is None  # without having seen it dead
    assert acquire(tmp_path, dead_claim=1).number == 2
    assert acquire(tmp_path, dead_claim=1) is None  # the one that took over lives


def record(**changes):
    return json.dumps({"machine": this_machine(), "pid": 1, "started": None} | changes)


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", '{"pid": 1}', "null", "[" * 100_000, record(pid="abc"), record(pid=10**30), record(pid=-1)),
        *(record(pid=True), record(pid=1.0), record(machine=None), record(started=7), record(more=1)),
    ],
    ids=lambda content: content[:90],
)
def test_a_claim_that_cannot_be_read_is_taken_for_alive(tmp_path, content):
    (tmp_path / "claim-1").write_text(content)
    assert acquire(tmp_path) is None
    assert Watch().free(tmp_path) is None
    assert acquire(tmp_path, dead_claim=1).number == 2


def make_link(path):
    path.symlink_to("nowhere")


@pytest.mark.parametrize("make", [make_link, lambda path: path.symlink_to(path.name), Path.mkdir, os.mkfifo])
@pytest.mark.parametrize("kind", ["claim", "released"])
def test_what_is_no_file_is_nobodys_claim(tmp_path, make, kind):
    make(tmp_path / f"{kind}-7")
    assert Watch().free(tmp_path) == 0
    with acquire(tmp_path) as held:
        assert held.number == 8
        assert acquire(tmp_path) is None
        held.finished = True
    assert names(tmp_path) == ([f"{kind}-7"] if (tmp_path / f"{kind}-7").is_dir() else [])


@pytest.mark.parametrize(
    "name", ["claim-²", "claim-٣", "claim-007", "claim-0", "claim-", "claim--1", "claim-1x", "claim-1.txt"]
)
def test_files_of_other_names_are_no_claims_and_stay(tmp_path, name):
    (tmp_path / name).write_text("precious")
    assert Watch().free(tmp_path) == 0
    with acquire(tmp_path) as held:
        assert held.number == 1
        held.finished = True
    assert names(tmp_path) == [name]


def test_a_claim_may_have_any_number(tmp_path, dead):
    dead(number=9999999999999999999999999999)
    assert Watch().free(tmp_path) == 0
    with acquire(tmp_path) as held:
        assert held.number == 10**28
        held.finished = True
    assert names(tmp_path) == []


def test_whoever_was_replaced_knows_it_and_stops_beating(tmp_path, monkeypatch):
    monkeypatch.setattr(claim, "BEAT_SECONDS", 0.01)
    with acquire(tmp_path) as first:
        first.check()
        (tmp_path / "claim-2").write_text("{}")  # while this process could not beat, say
        (tmp_path / "claim-1").unlink()
        with pytest.raises(Lost):
            first.check()
        first._thread.join(60)
        assert first.lost
        (tmp_path / "heartbeat.json").unlink()
        time.sleep(0.1)
        assert names(tmp_path) == ["claim-2"]
    assert names(tmp_path) == ["claim-2"]  # not released by the one that lost it


def test_a_heartbeat_goes_on_and_tells_how_far_the_run_is(tmp_path, monkeypatch):
    monkeypatch.setattr(claim, "BEAT_SECONDS", 0.01)
    assert last_notice(tmp_path) is None
    with acquire(tmp_path) as held:
        first = last_notice(tmp_path)["beat"]
        held.notice = {"exposures": 3.5}
        time.sleep(0.2)
        assert last_notice(tmp_path)["beat"] > first
        assert last_notice(tmp_path)["exposures"] == 3.5
    clear(tmp_path)
    assert names(tmp_path) == []


def test_a_heart_beats_on_when_the_disk_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(claim, "BEAT_SECONDS", 0.01)
    with acquire(tmp_path) as held, monkeypatch.context() as patched:

        def full(self):
            raise OSError("full")

        patched.setattr(Claim, "_beat", full)
        time.sleep(0.1)
        assert held._thread.is_alive()


def test_a_file_system_without_links_will_do(tmp_path, monkeypatch):
    def refuses(*_):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuses)
    assert acquire(tmp_path).number == 1
    assert acquire(tmp_path) is None
    assert names(tmp_path) == ["claim-1"]


def _compete(folder, rounds, wins, gate):
    gate.wait()
    while len(os.listdir(wins)) < rounds:
        held = acquire(folder)
        if held is None:
            continue
        with held:
            inside = wins.parent / "inside"
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))  # fails if another is inside too
            (wins / f"{len(os.listdir(wins))}-{os.getpid()}-{held.number}").touch()
            inside.unlink()


def test_many_that_compete_are_never_inside_together(tmp_path):
    folder, wins = tmp_path / "run", tmp_path / "wins"
    folder.mkdir()
    wins.mkdir()
    context = multiprocessing.get_context("fork")
    gate = context.Event()
    processes = [context.Process(target=_compete, args=(folder, 200, wins, gate)) for _ in range(6)]
    for process in processes:
        process.start()
    gate.set()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 6
    assert len({name.split("-")[1] for name in os.listdir(wins)}) > 1


def test_one_of_many_replaces_a_dead_one(tmp_path, dead):
    dead()
    won = []
    gate = threading.Barrier(8)

    def take():
        gate.wait()
        won.append(acquire(tmp_path))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [held.number for held in won if held] == [2]


@pytest.mark.parametrize("pid", ["x", None, -1, 0, True, 1.5, 10**30, []])
def test_a_claim_that_names_no_process_counts_as_one_of_another_machine(tmp_path, pid):
    """It is free once its heartbeat has stopped for long enough; nothing is asked about such a process here."""
    record = {"machine": this_machine(), "pid": pid, "started": "5"}
    (tmp_path / "claim-1").write_text(json.dumps(record))
    assert free_at_last(tmp_path) == 1


def free_at_last(folder):
    """What is told of a run after the time in which a heartbeat would have come."""
    now = 0.0
    watch = Watch(lambda: now)
    while now < claim.STALE_SECONDS:
        assert watch.free(folder) is None
        now += claim.BEAT_SECONDS
    return watch.free(folder)
