"""The names of our packages mean ours, even beside a user's modules of the same names; Ctrl-C ends a start quietly."""

import os
import signal
import subprocess
import sys
from functools import partial
from types import ModuleType

import pytest

from basis import start


@pytest.fixture
def folder(tmp_path):
    """A user's folder: `train.py`, and a package `eval`."""
    (tmp_path / "train.py").write_text("raise SystemExit('the train of a user')")
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "__init__.py").write_text("raise SystemExit('the eval of a user')")
    (tmp_path / "basis.py").write_text("raise SystemExit('the basis of a user')")
    (tmp_path / "own.py").write_text("")
    return tmp_path


def run(folder, program):
    path = os.pathsep.join([str(folder), str(start.FOLDER)])
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("first", ["capacity", "eval", "train.sizes", "biogen.rng", "basis.files"])
def test_our_packages_find_each_other(folder, first):
    if first in ("eval", "train.sizes", "basis.files"):
        for name in ("train.py", "eval/__init__.py", "basis.py"):
            (folder / name).unlink()  # which of two is imported first is not ours to say
        (folder / "eval").rmdir()
    done = run(
        folder, f"import {first}, train, eval, basis.files, own; print(train.__file__, eval.__file__, own.__file__)"
    )
    assert done.stderr == ""
    ours = [str(start.FOLDER / name / "__init__.py") for name in ("train", "eval")]
    assert done.stdout.split() == [*ours, str(folder / "own.py")]


def test_a_module_of_a_user_that_is_there_first_is_refused_in_a_line(folder):
    (folder / "train.py").write_text("")
    done = run(folder, "import train, biogen")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: a module train is already imported, from {folder / 'train.py'}, and knowledge-capacity has a "
        "package of this name; rename that module, or use knowledge-capacity in a process of its own"
    )


def test_only_our_names_are_ours():
    assert start.PackageFinder.find_spec("numpy") is None
    assert start.PackageFinder.find_spec("train.model") is None
    for name in start.PACKAGES:
        found = start.PackageFinder.find_spec(name)
        assert found is not None
        assert found.origin == str(start.FOLDER / name / "__init__.py")


def test_a_process_is_prepared_once(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [])
    start.start()
    start.start()
    assert sys.meta_path == [start.PackageFinder]


def test_a_module_without_a_file_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "eval", ModuleType("eval"))
    with pytest.raises(ImportError, match="a module eval is already imported, from memory"):
        start.start()


@pytest.mark.parametrize("program", ["capacity.run", "capacity.table", "eval", "biogen"])
def test_an_interrupt_while_a_program_is_imported_leaves_no_traceback(program):
    command = [sys.executable, "-X", "importtime", "-m", program, "--help"]
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # which a job in the background does not by itself
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    codes = []
    for _ in range(5):  # on a busy machine a signal may come when the imports are over
        with subprocess.Popen(command, preexec_fn=heed, cwd=start.FOLDER, **pipes) as process:
            imported = iter(process.stderr.readline, "")  # a line for each module that is there
            assert any(line.endswith(" basis\n") for line in imported)
            process.send_signal(signal.SIGINT)
            assert "Traceback" not in process.communicate(timeout=60)[1]
        codes.append(process.returncode)
        if codes[-1] == -signal.SIGINT:
            break
    assert codes[-1] == -signal.SIGINT, codes
