"""What a driver shows: how far a sweep is, R so far, the time left by a clock of the test's own."""

import io
import json
from types import SimpleNamespace

import pytest
from rich.console import Console

from capacity.runner.progress import Display, Lines, Row, Tail, bars, display, records


@pytest.fixture
def clock():
    """A clock that the test turns."""
    state = SimpleNamespace(now=1000.0)
    return SimpleNamespace(read=lambda: state.now, turn=lambda seconds: setattr(state, "now", state.now + seconds))


@pytest.fixture
def shown(clock):
    """A display, the rows that it has shown last, and all that was printed."""
    printed = io.StringIO()
    last: list[Row] = []
    made = Display(Console(file=printed, width=60), lambda rows: last.__setitem__(slice(None), rows), clock.read)
    return SimpleNamespace(display=made, rows=last, printed=printed.getvalue)


@pytest.fixture
def report(clock, shown):
    """Let a worker say how far it is, and look at it some seconds later."""

    def make(folder, exposures, seconds=10.0, **more):
        (folder.path / "heartbeat.json").write_text(json.dumps({"exposures": exposures, **more}))
        clock.turn(seconds)
        shown.display.update()

    return make


def test_what_was_done_stays_done_when_workers_stop_and_go_on(prepare, plan_of, shown, report):
    plan, folder = plan_of(exposures=8), prepare(exposures=8)

    def share():
        return shown.display.rows()[0].share

    shown.display.expect(plan, folder)
    assert share() == 0
    shown.display.start(plan, folder)
    report(folder, 2)
    assert share() == pytest.approx(0.25)
    shown.display.end(plan)  # stopped, or dead
    assert share() == pytest.approx(0.25)
    shown.display.start(plan, folder)
    assert share() == pytest.approx(0.25)
    report(folder, 6)
    assert share() == pytest.approx(0.75)
    shown.display.end(plan)
    shown.display.done(plan, folder)
    assert share() == 1
    assert shown.printed() == f"done: {folder.path.name}\n"


def test_a_sweep_that_goes_on_begins_where_it_was(prepare, plan_of, do, shown):
    """Half of one run is done, all of another of the same length, and nothing of a third."""
    plans = [plan_of(exposures=exposures, people=40) for exposures in (40, 41, 42)]
    half = prepare(exposures=40)
    do(half, steps=50)  # of 100
    shown.display.expect(plans[0], half)
    begun = shown.display.rows()[0].share
    assert begun == pytest.approx(0.5, abs=0.1)
    shown.display.start(plans[0], half)
    total, one = shown.display.rows()
    assert (total.share, one.share) == (begun, begun)
    assert "left" not in total.detail + one.detail  # there is no pace yet
    shown.display.expect(plans[1])
    assert shown.display.rows()[0].share == pytest.approx((40 * begun + 41) / 81)
    shown.display.expect(plans[2], prepare(exposures=42))
    assert shown.display.rows()[0].share == pytest.approx((40 * begun + 41) / 123)


def test_the_time_left_is_that_of_the_pace_since_the_start(prepare, plan_of, clock, shown, report):
    plans = [plan_of(exposures=exposures) for exposures in (100, 300)]
    folders = [prepare(exposures=exposures) for exposures in (100, 300)]
    for plan, folder in zip(plans, folders, strict=True):
        shown.display.expect(plan, folder)
    shown.display.start(plans[0], folders[0])
    report(folders[0], 20, seconds=60)  # 80 of 400 exposures' work would take 240 s
    total, one = shown.rows
    assert one.detail == "left 0:04:00"
    assert total.detail == "elapsed 0:01:00, left 0:19:00"  # 380 of 400 at 20 a minute
    report(folders[0], 40, seconds=30)
    assert shown.rows[1].detail == "left 0:02:15"
    shown.display.finish(plans[1])  # failed: no work, and none is left
    assert shown.rows[0].detail == "elapsed 0:01:30, left 0:02:15"


def test_what_another_driver_did_does_not_quicken_the_pace(prepare, plan_of, clock, shown, report):
    plans = [plan_of(exposures=exposures) for exposures in (100, 200, 300)]
    folders = [prepare(exposures=exposures) for exposures in (100, 200, 300)]
    for plan, folder in zip(plans, folders, strict=True):
        shown.display.expect(plan, folder)
    shown.display.start(plans[0], folders[0])
    report(folders[0], 50, seconds=50)
    shown.display.done(plans[1], folders[1])
    assert shown.rows[0].detail == "elapsed 0:00:50, left 0:05:50"  # 350 of 600 at 1 a second
    shown.display.end(plans[0])
    clock.turn(50)
    shown.display.done(plans[0], folders[0])  # a short rest that was never reported
    assert shown.rows[0].detail == "elapsed 0:01:40, left 0:05:00"


def test_R_so_far_is_that_of_the_latest_mark(prepare, plan_of, shown, report):
    plan, folder = plan_of(exposures=100), prepare(exposures=100)
    shown.display.expect(plan, folder)
    shown.display.start(plan, folder)
    report(folder, 1, seconds=3)
    assert "R" not in shown.rows[1].detail
    curve = [
        {"kind": "recall", "exposures": 1, "bits_per_param": 0.01},
        {"kind": "train", "exposures": 1.5, "loss": 3.0},
        {"kind": "recall", "exposures": 2, "bits_per_param": 0.126},
    ]
    written = "".join(json.dumps(record) + "\n" for record in curve)
    folder.metrics.write_text(written + '{"kind": "recall", "expo')
    report(folder, 4, seconds=1, loss=2.5, tokens_per_second=12_345)
    assert shown.rows[1].detail == "R 0.13 after 2 exposures, left 0:01:36, loss 2.500, 12K tokens/s"
    with folder.metrics.open("a") as file:
        file.write('sures": 5, "bits_per_param": 0.5}\n{"kind": "recall"}\n[]\nno JSON\n')
    report(folder, 100, seconds=1, measuring=True)
    assert shown.rows[1].detail == "R 0.50 after 5 exposures, measuring"
    folder.metrics.write_text(written)  # a worker that goes on from a checkpoint cuts it off
    shown.display.end(plan)
    shown.display.start(plan, folder)
    report(folder, 6, seconds=1)
    assert shown.rows[1].detail.startswith("R 0.13 after 2 exposures")


def test_what_workers_say_is_passed_on_once(prepare, plan_of, clock, shown):
    plan, folder = plan_of(exposures=8), prepare(exposures=8)
    folder.log.write_text("of an earlier worker\n")
    shown.display.expect(plan, folder)
    shown.display.start(plan, folder)
    name = folder.path.name.rpartition("-")[0]
    with folder.log.open("a") as file:
        file.write("[one]\ntw")
        file.flush()
        for _ in range(2):
            clock.turn(1)
            shown.display.update()
        assert shown.printed() == f"{name}: [one]\n"
        file.write("o\n")
    shown.display.end(plan)
    assert shown.printed() == f"{name}: [one]\n{name}: two\n"


def test_what_workers_say_is_shown_and_not_obeyed(prepare, plan_of, shown):
    plan, folder = plan_of(exposures=8), prepare(exposures=8)
    shown.display.expect(plan, folder)
    shown.display.start(plan, folder)
    folder.log.write_bytes(b"\x1b[2J\x1b]0;title\x07 \xff\x00\n")
    shown.display.end(plan)
    name = folder.path.name.rpartition("-")[0]
    assert shown.printed() == f"{name}: \\x1b[2J\\x1b]0;title\\x07 \ufffd\\x00\n"


def test_the_folders_are_looked_at_once_a_second(prepare, plan_of, clock, shown, report):
    plan, folder = plan_of(exposures=8), prepare(exposures=8)
    shown.display.expect(plan, folder)
    shown.display.start(plan, folder)
    report(folder, 2, seconds=0)
    report(folder, 4, seconds=0.9)
    assert shown.rows[1].share == 0.25
    report(folder, 4, seconds=0.1)
    assert shown.rows[1].share == 0.5


def test_without_a_terminal_a_line_is_printed_every_half_minute(clock):
    printed = io.StringIO()
    lines = Lines(Console(file=printed, width=20), clock.read)
    rows = [Row("all runs", 0.25, "elapsed 0:00:30, left 0:01:30"), Row("one", 0.5, "R 1.00 after 5 exposures")]
    for _ in range(70):
        lines(rows)
        clock.turn(1)
    line = "all runs 25%, elapsed 0:00:30, left 0:01:30; one 50%, R 1.00 after 5 exposures\n"
    assert printed.getvalue() == 2 * line


def test_a_terminal_shows_a_row_for_each_run_at_80_columns(prepare, plan_of):
    console = Console(file=io.StringIO(), width=80)
    console.print(bars([Row("all runs", 0.25, "elapsed 0:00:30"), Row("[one]", 1.0, "R 1.00, " + "x" * 80)]))
    first, second = console.file.getvalue().splitlines()
    assert first.split()[0] == "all"
    assert " 25% elapsed 0:00:30" in first
    assert second.startswith("[one]")
    assert "100% R 1.00, xxx" in second
    assert second.rstrip().endswith("…")


def test_a_live_display_prints_lines_above(prepare, plan_of):
    printed = io.StringIO()
    console = Console(file=printed, width=80, force_terminal=True)
    plan, folder = plan_of(exposures=8), prepare(exposures=8)
    with display(console) as shown:
        shown.expect(plan, folder)
        shown.start(plan, folder)
        shown.update()
        shown.print("a line")
    assert "a line" in printed.getvalue()
    assert "starting" in printed.getvalue()


def test_a_line_without_an_end_holds_nothing_up(tmp_path):
    file = tmp_path / "log"
    file.write_bytes(b"x" * 100_000 + b"\nlast\n")
    tail = Tail(file)
    assert [len(line) for line in tail.lines()] == [1 << 16]
    assert tail.lines()[-1] == "last"
    assert tail.lines() == []
    assert Tail(tmp_path / "none").lines() == []


def test_records_are_the_objects_among_lines():
    assert list(records(['{"a": 1}', "[1]", "", '{"b', '{"c": 2}'])) == [{"a": 1}, {"c": 2}]
