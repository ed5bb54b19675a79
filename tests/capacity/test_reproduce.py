"""An experiment that is stopped says so in a line."""

import signal
from pathlib import Path

import pytest

from capacity import reproduce
from capacity.runner.sweep import OutGone, Stopped


@pytest.mark.parametrize(("ended", "code"), [(Stopped(signal.SIGTERM), 143), (OutGone(Path("there")), 1)])
def test_an_experiment_that_is_stopped_ends_with_a_line(ended, code, monkeypatch, capsys):
    def stopped(*_):
        raise ended

    monkeypatch.setattr(reproduce, "_run", stopped)
    assert reproduce.main(["law-bios"]) == code
    assert capsys.readouterr() == ("", f"{ended} The same command goes on.\n")
