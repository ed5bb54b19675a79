"""Things by name: built in, or a user's own."""

import pytest

from basis.registry import Registry

NUMBERS: Registry[float] = Registry("number", {"pi": "math:pi", "lost": "math:lost"})


def test_what_is_built_in_is_imported_by_name():
    assert NUMBERS["pi"] == pytest.approx(3.14159, abs=1e-5)
    assert NUMBERS.names == ("pi", "lost")


def test_what_a_user_has_is_imported_by_module_and_name(tmp_path, monkeypatch):
    (tmp_path / "my_numbers.py").write_text("e = 2.5\n")
    monkeypatch.chdir(tmp_path)
    assert NUMBERS["my_numbers:e"] == 2.5


@pytest.mark.parametrize("name", ["tau", "math", "math:", ":pi", "../math:pi", "math:pi:e", ""])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match=f"^number: '{name}' is not allowed; must be pi, lost or your own as module:"):
        NUMBERS[name]


@pytest.mark.parametrize("name", ["no_such_module:x", "math:no_such_thing"])
def test_what_cannot_be_imported_says_why(name):
    with pytest.raises(ValueError, match=f"^number: '{name}' cannot be imported"):
        NUMBERS[name]


@pytest.mark.parametrize("line", ["raise SystemExit('bye')", "1 / 0", "raise RecursionError"])
def test_a_users_module_may_do_anything_while_it_is_imported(line, tmp_path, monkeypatch):
    (tmp_path / "wild.py").write_text(line)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^number: 'wild:x' cannot be imported \((SystemExit|ZeroD|Recursion)"):
        Registry("number", {})["wild:x"]


def test_a_mistake_in_a_users_module_is_told_with_its_line(tmp_path, monkeypatch):
    (tmp_path / "half_written.py").write_text("x = 1\ndef f(:\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"cannot be imported \(invalid syntax \(half_written.py, line 2\)\)"):
        NUMBERS["half_written:x"]
