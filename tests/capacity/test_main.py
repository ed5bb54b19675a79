"""`capacity COMMAND`: every module with a `main` is a command, with a line that says what it does."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import capacity
from basis.flags import UserError
from capacity.__main__ import choose, commands, summary

PACKAGE = Path(capacity.__file__).parent


def test_every_program_of_the_package_is_a_command():
    assert {"run", "table", "eval", "biogen"} <= set(commands())
    for path in PACKAGE.glob("*.py"):
        program = path.stem if "\ndef main(" in path.read_text() and path.stem != "__main__" else None
        assert program is None or commands()[program] == f"capacity.{program}"


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_has_a_line(name):
    line = summary(commands()[name])
    assert 10 < len(line) < 120
    assert "`" not in line
    assert callable(importlib.import_module(commands()[name]).main)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["help"]])
def test_without_a_command_all_are_listed(arguments, capsys):
    assert choose(arguments)() == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert all(any(line.startswith(f"  {name} ") for line in lines) for name in commands())
    assert max(map(len, lines[1:-1])) <= 80


def test_the_list_is_printed_without_importing_a_command():
    program = (
        "import sys, capacity.__main__ as m; m.choose([])(); "
        "assert not {'torch', 'pandas', 'capacity.run'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], cwd=PACKAGE.parent, check=True, capture_output=True)


def test_a_command_gets_the_words_behind_its_name(tmp_path, capsys):
    assert choose(["table", str(tmp_path / "none")])() == 2
    assert str(tmp_path / "none") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "told"), [("tabel", "did you mean table?"), ("zzz", f"must be one of {', '.join(commands())}")]
)
def test_what_is_no_command_is_told_in_a_line(name, told):
    with pytest.raises(UserError) as refused:
        choose([name])()
    assert refused.value.lines == [f"{name!r} is not a command; {told}"]
