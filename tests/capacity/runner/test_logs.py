"""Metrics that are passed on: all of them, once, in the order of steps, and never at the price of the sweep."""

import json

import pytest

from basis.flags import UserError
from capacity.runner import logs
from capacity.runner.logs import Follower, check_log, passed_on
from capacity.spec.plan import make_plans
from capacity.spec.preset import Preset
from capacity.store.folders import run_folder

TRAIN = [{"kind": "train", "steps": n, "exposures": n / 2, "loss": 1 / n, "seconds": 1.0} for n in (1, 2, 3, 4)]
RECALL = {"kind": "recall", "exposures": 1, "bits_per_param": 0.5, "note": "text", "qa_accuracy": None}


@pytest.fixture
def plan():
    options = {"dataset": "biod", "sizes": "1x16", "people": 100, "exposures": 2, "seeds": 0}
    return make_plans(Preset.model_validate(options))[0]


class Memory:
    def __init__(self, plan, out):
        self.taken, self.closed = [], False
        made.append(self)

    def write(self, step, scalars):
        self.taken.append((step, scalars))

    def close(self):
        self.closed = True


made: list[Memory] = []


@pytest.fixture
def memory(monkeypatch):
    made.clear()
    monkeypatch.setitem(logs._SINKS, "tensorboard", Memory)
    return made


def write(path, records, *, cut=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records) + cut)


def test_every_number_is_passed_on_once_and_a_recall_belongs_to_the_step_before(plan, tmp_path, memory):
    metrics = run_folder(tmp_path, plan.config).metrics
    follower = Follower(plan, tmp_path, "tensorboard")
    follower.look()
    assert memory == []  # nothing was measured yet
    write(metrics, [*TRAIN[:2], RECALL], cut='{"kind": "tra')
    follower.look()
    write(metrics, [*TRAIN[:2], RECALL, *TRAIN[2:]])
    follower.look()
    follower.look()
    (sink,) = memory
    assert [step for step, _ in sink.taken] == [1, 2, 2, 3, 4]
    assert sink.taken[0][1] == {"train/exposures": 0.5, "train/loss": 1.0}
    assert sink.taken[2][1] == {"recall/exposures": 1.0, "recall/bits_per_param": 0.5}


def test_steps_that_a_resumed_worker_does_again_are_not_passed_on_twice(plan, tmp_path, memory):
    metrics = run_folder(tmp_path, plan.config).metrics
    follower = Follower(plan, tmp_path, "tensorboard")
    write(metrics, TRAIN)
    follower.look()
    write(metrics, TRAIN[:2])  # back to its checkpoint
    follower.look()
    write(metrics, [*TRAIN, TRAIN[-1] | {"steps": 5}])
    follower.look()
    steps = [step for step, _ in memory[0].taken]
    assert steps == sorted(steps)
    assert {1, 2, 3, 4, 5} == set(steps)


def test_a_run_that_is_done_is_passed_on_to_its_last_line_and_closed(plan, tmp_path, memory):
    folder = run_folder(tmp_path, plan.config)
    write(folder.metrics, TRAIN)
    (folder.path / "result.json").write_text("{}")
    with passed_on("tensorboard", tmp_path, lambda: [plan], print):
        pass
    assert len(memory[0].taken) == 4
    assert memory[0].closed


def test_a_log_that_fails_costs_a_line_and_not_the_sweep(plan, tmp_path, monkeypatch):
    def broken(plan, out):
        raise ConnectionError("no network\x1b[31m")

    monkeypatch.setitem(logs._SINKS, "tensorboard", broken)
    write(run_folder(tmp_path, plan.config).metrics, TRAIN)
    lines, swept = [], []
    with passed_on("tensorboard", tmp_path, lambda: [plan], lines.append):
        swept.append(1)
    assert swept == [1]
    (line,) = lines
    assert line.startswith("warning: log tensorboard failed (ConnectionError: no network")
    assert "\x1b" not in line


def test_without_a_log_nothing_is_read(tmp_path):
    with passed_on("none", tmp_path, lambda: pytest.fail("read"), print):
        pass


def test_a_package_that_is_not_installed_costs_a_line(monkeypatch):
    monkeypatch.setattr(logs, "find_spec", lambda name: None)
    check_log("none")
    with pytest.raises(UserError, match=r"^log: 'wandb' is not allowed; must be installed: pip install '.*\[wandb\]'$"):
        check_log("wandb")


def test_tensorboard_reads_the_numbers_and_an_earlier_drivers_are_replaced(plan, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    write(run_folder(tmp_path, plan.config).metrics, [*TRAIN, RECALL])
    for _ in range(2):
        with passed_on("tensorboard", tmp_path, lambda: [plan], pytest.fail):
            pass
    (events,) = (tmp_path / "tensorboard").glob("*/events.*")
    read = accumulator.EventAccumulator(str(events))
    read.Reload()
    assert [(event.step, event.value) for event in read.Scalars("train/loss")] == [
        (n, pytest.approx(1 / n)) for n in (1, 2, 3, 4)
    ]
    assert [event.step for event in read.Scalars("recall/bits_per_param")] == [4]


def test_wandb_writes_its_files_into_the_folder(plan, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    write(run_folder(tmp_path, plan.config).metrics, [*TRAIN, RECALL])
    with passed_on("wandb", tmp_path, lambda: [plan], pytest.fail):
        pass
    (found,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    assert plan.run_id in found.name
