"""A path is what a shell would make of it, wherever it is given; a file is replaced in one step."""

import os
import re
from argparse import ArgumentTypeError
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError
from torch import nn

from basis.files import UserPath, named_path, path_argument, replace_file, user_path, working_folder
from basis.flags import UserError, run_main
from biogen.config import DataConfig
from capacity.run import run
from capacity.spec.config import RunOptions
from capacity.spec.preset import Preset
from capacity.spec.presets import preset_path
from capacity.store.records import load
from eval import measure


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_home_is_what_a_shell_says(home):
    assert user_path("~/a") == home / "a"
    assert user_path(Path("~")) == home
    assert user_path("a/~/b") == Path("a/~/b")
    assert user_path("./~") == Path("~") == TypeAdapter(UserPath).validate_python("./~")
    with pytest.raises(ValueError, match="a home folder that this machine does not know"):
        user_path("~no-such-user/a")
    with pytest.raises(ValidationError, match="a home folder that this machine does not know"):
        TypeAdapter(UserPath).validate_python("~no-such-user/a")


@pytest.mark.parametrize("path", ["", "a\0b", "a" * 300, "a/" * 5000, "\udcff"], ids=ascii)
def test_what_no_system_has_as_a_path_is_refused(path):
    with pytest.raises(ValueError, match=r"^must be a (shorter )?path"):
        user_path(path)
    with pytest.raises(ArgumentTypeError, match=r"is not allowed; must be a (shorter )?path"):
        path_argument(path)


def test_every_option_with_a_path_knows_home(home):
    preset = Preset.model_validate(
        {"out": "~/out", "tokenizer": ["bpe", "~/words"], "architecture_options": {"bank": "~/bank", "a": "~", "b": 1}}
    )
    assert preset.out == home / "out"
    assert preset.tokenizer == ("bpe", str(home / "words"))
    assert preset.architecture_options == ({"bank": str(home / "bank"), "a": "~", "b": 1},)
    assert DataConfig(tokenizer="~/words").tokenizer == str(home / "words")
    assert RunOptions(tokenizer="~/words").tokenizer == str(home / "words")


def test_python_knows_home_too(home):
    (home / "p.yaml").write_text("sizes: 3")
    assert preset_path("~/p.yaml") == home / "p.yaml"
    for function in (load, lambda folder: measure(nn.Linear(1, 1), None, folder)):
        with pytest.raises(ValueError, match=str(home / "none")):
            function("~/none")
    with pytest.raises(UserError, match="'~no-such-user/p' begins with a home folder"):
        run("~no-such-user/p")


@pytest.mark.parametrize("path", [None, 5, b"a", ["a"], "", "a\0b", "~no-such-user/a"], ids=ascii)
def test_an_argument_that_is_no_path_is_named(path):
    with pytest.raises(ValueError, match=rf"^folder: {re.escape(repr(path))} is not allowed; "):
        named_path("folder", path)


def test_a_working_folder_may_be_gone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert working_folder() == Path.cwd()
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    os.rmdir(tmp_path / "gone")
    assert working_folder() is None
    with pytest.raises(SystemExit, match="2"):
        run_main(lambda: 0)
    monkeypatch.chdir(tmp_path)


def test_a_file_that_cannot_be_replaced_is_named_and_nothing_is_left(tmp_path):
    (tmp_path / "table.csv").mkdir()
    for path in (tmp_path / "table.csv", tmp_path / "nowhere" / "table.csv"):
        with pytest.raises(OSError, match=f": '{path}'$"):
            replace_file(path, b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
