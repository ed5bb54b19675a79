"""What a driver shows: how far a sweep is only ever grows."""

import io
import json

import pytest
from rich.console import Console
from rich.progress import Progress

from capacity.runner import progress
from capacity.runner.progress import Display


def test_what_was_done_stays_done_when_workers_stop_and_go_on(prepare, plan_of, monkeypatch):
    monkeypatch.setattr(progress, "_SHOW_SECONDS", 0.0)
    plan, folder = plan_of(exposures=8), prepare(exposures=8)
    bars = Progress(console=Console(file=io.StringIO()), disable=True)
    shown = Display(bars)
    shown.expect([plan])

    def share():
        return bars.tasks[0].percentage

    def tell(exposures):
        (folder.path / "heartbeat.json").write_text(json.dumps({"exposures": exposures}))
        shown.show(plan, folder)

    shown.add(plan, folder)
    tell(2)
    assert share() == pytest.approx(25)
    shown.remove(plan, folder)  # stopped, or dead
    assert share() == pytest.approx(25)
    shown.add(plan, folder)
    assert share() == pytest.approx(25)
    tell(6)
    assert share() == pytest.approx(75)
    shown.remove(plan, folder)
    shown.done(plan, folder)
    assert share() == pytest.approx(100)
