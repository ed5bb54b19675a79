"""The sweep: side by side, largest first, failures named and alone, signals passed on, deaths made good, work shared.

The workers here are shell scripts in place of Python, so that they do exactly what a test says; `run/` starts the
real ones, and `test_faults.py` kills them.
"""

import errno
import io
import os
import signal
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from capacity.runner import claim, engine, progress, sweep
from capacity.runner.claim import acquire
from capacity.runner.engine import LocalEngine, WorkerOptions, default_workers, worker_command
from capacity.runner.sweep import OutGone, Stopped, run_all
from capacity.spec.plan import make_plans
from capacity.spec.preset import Preset
from capacity.store.folders import RunFolder, fail, open_store, run_folder
from tests.capacity.conftest import be_done

PEOPLE = (20, 30, 40)
# Whoever is started says so in a common log; "$3" is the run's folder.
HEADER = """#!/bin/sh
echo "start $(basename $3) $OMP_NUM_THREADS $1 $2 $5" >> "$3/../log"
"""
FOOTER = """
echo "end $(basename $3)" >> "$3/../log"
"""


@pytest.fixture
def plans():
    shape = {"K": 2, "C": 2, "D": 8, "L": 1, "T": 8}
    return make_plans(Preset(dataset="biod", sizes="1x16", people=PEOPLE, exposures=2, biod=shape))


@pytest.fixture
def do_all(tmp_path, monkeypatch, plans):
    """Run all plans with a shell script as the worker; returns the reasons by people and what was printed."""
    monkeypatch.setattr(sweep, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(sweep, "_LOOK_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(progress, "_LOOK_SECONDS", 0.0)
    open_store(tmp_path)

    def make(script, workers=1, plans=plans, grow=list):
        stub = tmp_path / "worker.sh"
        stub.write_text(HEADER + script + FOOTER)
        stub.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(stub))
        printed = io.StringIO()
        engine = LocalEngine(workers, WorkerOptions("cpu"))
        failed = run_all(plans, tmp_path, engine, Console(file=printed, width=60), grow)
        people = {plan.run_id: plan.config.data.people for plan in plans}
        return {people[name]: reason for name, reason in failed.items()}, printed.getvalue()

    return make


def events(out):
    return [line.split()[:2] for line in (out / "log").read_text().splitlines()]


def folder_of(plans, out, people):
    (plan,) = [plan for plan in plans if plan.config.data.people == people]
    return run_folder(out, plan.config)


RESULT = '{"run_id": "$(basename $3)", "config": {"exposures": 2}, "rows": [{"exposures": 2}]}'.replace('"', '\\"')
DONE = f'echo "{RESULT}" > "$3/result.json"'


def test_the_largest_run_is_first(do_all, tmp_path):
    failed, printed = do_all(DONE)
    assert failed == {}
    order = [name for kind, name in events(tmp_path) if kind == "start"]
    assert [name.split("-")[2] for name in order] == ["n40", "n30", "n20"]
    assert [line for line in printed.splitlines() if line.startswith("done: ")] == [f"done: {name}" for name in order]


def test_what_a_finished_run_asks_for_is_done_too(do_all, tmp_path, plans):
    wanted = [[plans[2]], [], []]
    failed, printed = do_all(DONE, plans=plans[:2], grow=lambda: wanted.pop(0))
    assert failed == {}
    assert wanted == []
    assert [name.split("-")[2] for kind, name in events(tmp_path) if kind == "start"] == ["n30", "n40", "n20"]
    assert f"added: {plans[2].run_id}, as the best N so far is beside it" in printed


def test_a_sweep_grows_from_what_another_driver_did(do_all, tmp_path, plans):
    folder_of(plans, tmp_path, 30).write_config(plans[1].config)
    be_done(folder_of(plans, tmp_path, 30))
    wanted = [[plans[2]], []]
    _, printed = do_all(DONE, plans=[plans[1]], grow=lambda: wanted.pop(0))
    assert "other drivers" not in printed
    assert [name.split("-")[2] for kind, name in events(tmp_path) if kind == "start"] == ["n40"]


@pytest.mark.parametrize("workers", [1, 2, 3, 9])
def test_as_many_are_under_way_as_there_are_workers(do_all, tmp_path, workers):
    least = min(workers, 3)
    waits = f'touch "$3/here"; while [ $(ls "$3"/../*/here | wc -l) -lt {least} ]; do sleep 0.01; done\n'
    do_all(waits + DONE, workers)
    running, most = 0, 0
    for kind, _ in events(tmp_path):
        running += 1 if kind == "start" else -1
        most = max(most, running)
    assert most == least


def test_a_worker_gets_its_folder_and_device_and_one_thread(do_all, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    do_all(DONE)
    for line in (tmp_path / "log").read_text().splitlines():
        if line.startswith("start"):
            assert line.split()[2:] == ["1", "-m", "capacity.runner.worker", "cpu"]


def test_a_config_is_there_before_its_worker_starts(do_all):
    failed, _ = do_all('test -s "$3/config.yaml" && ' + DONE)
    assert failed == {}


def test_one_failure_stops_no_other(do_all, tmp_path, plans):
    script = 'case "$3" in *-n30-*) echo "error: bad luck" >&2; exit 1;; esac\n' + DONE
    failed, printed = do_all(script)
    bad = folder_of(plans, tmp_path, 30)
    assert failed == {30: "ended with exit code 1 3 times without progress: error: bad luck"}
    assert f"failed: {bad.path.name}: {failed[30]}" in printed.splitlines()
    assert "biod-1x16-n30-e2: error: bad luck" in printed.splitlines()  # what a worker says is passed on
    assert folder_of(plans, tmp_path, 20).done
    assert folder_of(plans, tmp_path, 40).done


def test_a_run_that_is_a_link_fails_alone_and_what_it_leads_to_is_left_alone(do_all, tmp_path, plans):
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    bad = folder_of(plans, tmp_path, 30).path
    bad.symlink_to(elsewhere)
    failed, printed = do_all(DONE)
    assert failed == {30: f"out: {bad} is a link to {elsewhere}; remove it"}
    assert f"failed: {bad.name}: {failed[30]}" in printed.splitlines()
    assert list(elsewhere.iterdir()) == []
    assert folder_of(plans, tmp_path, 20).done


def test_the_reason_is_what_the_worker_recorded(do_all, tmp_path, plans):
    reason = "disk full: no space"
    failed, _ = do_all(f'echo \'{{"reason": "{reason}"}}\' > "$3/failed.json"; echo \'error: another\' >&2; exit 1')
    assert failed == dict.fromkeys(PEOPLE, reason)


@pytest.mark.parametrize(
    ("ending", "how"),
    [
        ("kill -9 $$", "killed by SIGKILL 3 times without progress (out of memory?)"),
        ("kill -6 $$", "killed by SIGABRT 3 times without progress"),
        ("exit 7", "ended with exit code 7 3 times without progress"),
        ("exit 0", "ended with exit code 0 3 times without progress"),
    ],
)
def test_a_worker_that_dies_again_and_again_has_failed(do_all, tmp_path, plans, ending, how):
    failed, _ = do_all(ending, workers=3)
    assert failed == dict.fromkeys(PEOPLE, how)
    assert [kind for kind, _ in events(tmp_path)].count("start") == 9
    for plan in plans:
        assert run_folder(tmp_path, plan.config).read_failure() == how


def test_a_worker_that_dies_and_gets_on_is_started_again(do_all, tmp_path):
    script = """
    n=$(ls "$3/checkpoints" 2>/dev/null | wc -l)
    if [ $n -lt 5 ]; then mkdir -p "$3/checkpoints"; touch "$3/checkpoints/$n.safetensors"; kill -9 $$; fi
    """
    failed, printed = do_all(script + DONE)
    assert failed == {}
    assert printed.count("killed by SIGKILL; it goes on from its last checkpoint") == 15


def test_a_worker_that_was_asked_to_stop_by_others_is_started_again(do_all, tmp_path):
    failed, _ = do_all(f'[ -e "$3/once" ] || {{ touch "$3/once"; exit 130; }}\n{DONE}')
    assert failed == {}
    assert [kind for kind, _ in events(tmp_path)].count("start") == 6


def test_what_failed_before_is_not_tried_again(do_all, tmp_path, plans):
    folder = folder_of(plans, tmp_path, 30)
    folder.write_config(next(plan.config for plan in plans if plan.config.data.people == 30))
    fail(folder, "some\nother time")
    failed, _ = do_all(DONE)
    assert failed == {30: "some other time"}
    assert len(events(tmp_path)) == 4


def test_a_run_that_another_driver_does_is_waited_for(do_all, tmp_path, plans):
    folder = folder_of(plans, tmp_path, 40)
    folder.path.mkdir()
    held = acquire(folder.path)

    def finish():
        (tmp_path / "waited").touch()
        be_done(folder)

    with held:
        timer = threading.Timer(1.0, finish)
        timer.start()
        failed, printed = do_all(DONE)
        timer.join()
    assert failed == {}
    assert (tmp_path / "waited").exists()
    assert {name.split("-")[2] for _, name in events(tmp_path)} == {"n20", "n30"}
    assert "runs left to other drivers on this folder: 1; waiting for them" in printed
    assert f"done: {folder.path.name}" in printed


def test_a_dead_claimant_of_this_machine_is_replaced_at_once(do_all, tmp_path, plans, monkeypatch):
    folder = folder_of(plans, tmp_path, 40)
    folder.path.mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(claim, "started", lambda pid: "long ago")
        assert acquire(folder.path) is not None
    failed, _ = do_all(DONE)
    assert failed == {}
    assert len(events(tmp_path)) == 6


def test_a_claimant_elsewhere_is_replaced_when_its_heart_stands_still(do_all, tmp_path, plans, monkeypatch):
    monkeypatch.setattr(claim, "STALE_SECONDS", 0.5)
    folder = folder_of(plans, tmp_path, 40)
    folder.path.mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(claim, "this_machine", lambda: "another")
        assert acquire(folder.path).number == 1
    failed, _ = do_all('echo "$@" > "$3/arguments"\n' + DONE)
    assert failed == {}
    assert "--dead-claim 1" in (folder.path / "arguments").read_text()
    assert "--dead-claim 0" in (folder_of(plans, tmp_path, 20).path / "arguments").read_text()


def test_a_run_that_was_just_taken_is_looked_at_again(do_all, tmp_path):
    failed, _ = do_all(f'[ -e "$3/once" ] || {{ touch "$3/once"; exit 75; }}\n{DONE}')
    assert failed == {}


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
trap 'touch "$3/checkpoint"; exit 130' TERM
trap 'echo interrupted >> "$3/../log"' INT
touch "$3/ready"
while :; do sleep 0.02; done
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_with_their_checkpoints(do_all, tmp_path, number):
    before = signal.getsignal(number)
    thread = send([number], lambda: len(list(tmp_path.glob("*/ready"))) == 2)
    with pytest.raises(Stopped) as stopped:
        do_all(WAITING, workers=2)
    thread.join()
    assert stopped.value.code == 128 + number
    assert len(list(tmp_path.glob("*/checkpoint"))) == 2
    assert [kind for kind, _ in events(tmp_path)] == ["start", "start"]  # the third never began
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("gone", ['rm "$3/../store.json"', 'mv "$(dirname "$3")" "$(dirname "$3")-moved"'])
def test_a_sweep_whose_folder_is_gone_stops_and_makes_no_other(do_all, tmp_path, gone):
    with pytest.raises(OutGone, match=f"^Stopped, as {tmp_path} was moved or deleted; ") as ended:
        do_all(gone + WAITING.replace("$3/ready", "/dev/null"), workers=2)
    assert ended.value.code == 1
    moved = tmp_path.with_name(f"{tmp_path.name}-moved")
    assert tmp_path.exists() != moved.exists()
    assert not list(tmp_path.glob("*/result.json"))
    if moved.exists():
        moved.rename(tmp_path)


def test_a_file_server_that_does_not_answer_ends_no_sweep(do_all, monkeypatch):
    answers = iter([OSError(errno.EIO, "bad"), OSError(errno.ESTALE, "stale")])

    def stat(path):
        if (error := next(answers, None)) is not None:
            raise error
        return os.stat_result(range(10))

    monkeypatch.setattr(sweep, "os", SimpleNamespace(stat=stat))
    assert do_all(DONE)[0] == {}


def test_a_run_that_ends_well_all_the_same_is_done(do_all, tmp_path):
    thread = send([signal.SIGINT], lambda: list(tmp_path.glob("*/ready")))
    with pytest.raises(Stopped):
        do_all(WAITING.replace("exit 130", DONE + "; exit 0"))
    thread.join()
    assert len(list(tmp_path.glob("*/result.json"))) == 1


def test_a_second_signal_kills_who_does_not_listen(do_all, tmp_path):
    deaf = "trap '' TERM\ntouch \"$3/ready\"\nwhile :; do sleep 0.02; done\n"
    thread = send([signal.SIGINT, signal.SIGINT], lambda: len(list(tmp_path.glob("*/ready"))) == 3)
    with pytest.raises(Stopped):
        do_all(deaf, workers=3)
    thread.join()


def test_progress_is_printed_now_and_then_without_a_terminal(do_all, monkeypatch):
    monkeypatch.setattr(progress, "_PLAIN_SECONDS", 0.0)
    notice = '{"exposures": 1, "loss": 4.25, "tokens_per_second": 9000}'
    _, printed = do_all(f"echo '{notice}' > \"$3/heartbeat.json\"\nsleep 0.2\n{DONE}")
    assert any("n40-e2 50%, left 0:00:0" in line for line in printed.splitlines())
    assert "loss 4.250, 9K tokens/s" in printed
    assert "all runs 22%, elapsed 0:00:0" in printed  # half of the largest: 40 of 90 people


def test_workers_by_default(monkeypatch):
    monkeypatch.setattr(engine.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(engine.torch.cuda, "device_count", lambda: 4)
    assert default_workers("auto") == default_workers("cuda") == 4
    assert default_workers("auto", 2) == 2
    assert default_workers("auto", 8) == 1
    assert default_workers("mps") == 1
    assert default_workers("cpu") == len(os.sched_getaffinity(0))
    monkeypatch.setattr(engine.torch.cuda, "is_available", lambda: False)
    assert default_workers("auto") == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("processes", "seen"), [(1, ["0", "1", "2", "3", "0"]), (2, ["0,1", "2,3", "0,1", "2,3", "0,1"])]
)
def test_every_worker_sees_its_own_gpus(monkeypatch, processes, seen):
    monkeypatch.setattr(engine.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(engine.torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    local = LocalEngine(5, WorkerOptions("auto", processes))
    assert [local._environment(slot) for slot in range(5)] == [{"CUDA_VISIBLE_DEVICES": text} for text in seen]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7,GPU-2")  # what a scheduler left to this process
    assert LocalEngine(2, WorkerOptions("auto"))._environment(1) == {"CUDA_VISIBLE_DEVICES": "GPU-2"}


def test_a_worker_hears_nothing_of_another_torchrun(do_all, tmp_path, plans, monkeypatch):
    theirs = "RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE GROUP_RANK ROLE_NAME NODE_RANK MASTER_ADDR MASTER_PORT "
    for name in [*theirs.split(), "PET_NNODES", "TORCHELASTIC_RUN_ID", "NCCL_DEBUG", "MY_RANK"]:
        monkeypatch.setenv(name, "of another")
    do_all(f'env > "$3/../environment"\n{DONE}', plans=plans[:1])
    lines = (tmp_path / "environment").read_text().splitlines()
    kept = {name for name, _, value in (line.partition("=") for line in lines) if value == "of another"}
    assert kept == {"NCCL_DEBUG", "MY_RANK"}


def test_several_processes_are_started_by_torchrun(tmp_path):
    command = worker_command(RunFolder(tmp_path), 3, WorkerOptions("cuda", processes=4, save_seconds=9.0))
    assert " ".join(command[1:]) == (
        "-m torch.distributed.run --standalone --nproc-per-node=4 -m capacity.runner.worker "
        f"{tmp_path} --device cuda --dead-claim 3 --save-seconds 9.0 --processes 4"
    )
