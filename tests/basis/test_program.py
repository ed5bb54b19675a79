"""Usage lines say what the user typed."""

import sys

import pytest

from basis import program
from basis.program import called_as


@pytest.mark.parametrize(
    ("started", "module", "expected"),
    [
        ("/bin/capacity", "capacity.run", "capacity run"),
        ("/bin/capacity", "eval.__main__", "capacity eval"),
        ("/bin/capacity", "biogen", "capacity biogen"),
        ("/bin/capacity", "capacity", "capacity"),
        ("/bin/biogen", "biogen", "biogen"),
        ("/lib/capacity/__main__.py", "capacity.run", "PYTHON -m capacity run"),
        ("/lib/capacity/__main__.py", "eval", "PYTHON -m capacity eval"),
        ("/lib/capacity/__main__.py", "capacity", "PYTHON -m capacity"),
        ("/lib/capacity/run.py", "capacity.run", "PYTHON -m capacity.run"),
        ("/lib/eval/__main__.py", "eval.__main__", "PYTHON -m eval"),
        ("/lib/biogen/__main__.py", "biogen", "PYTHON -m biogen"),
    ],
)
def test_a_program_is_called_as_it_was_started(started, module, expected, monkeypatch):
    monkeypatch.setattr(sys, "argv", [started, "--people", "3"])
    monkeypatch.setattr(program, "_python", lambda: "PYTHON")
    assert called_as(module) == expected


def test_python_is_what_a_shell_here_would_find(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["/lib/capacity/run.py"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert called_as("capacity.run") == "python -m capacity.run"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert called_as("capacity.run") == "bin/python -m capacity.run"
    monkeypatch.chdir(tmp_path / "bin" / "..")
    (tmp_path / "else where").mkdir()
    monkeypatch.chdir(tmp_path / "else where")
    assert called_as("capacity.run") == f"{python} -m capacity.run"
    monkeypatch.setattr(sys, "executable", "/some place/python")
    assert called_as("capacity.run") == "'/some place/python' -m capacity.run"
