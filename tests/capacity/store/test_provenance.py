"""Where a number comes from is recorded with it."""

import os
import subprocess

import pytest
import torch

from capacity.store import provenance
from capacity.store.provenance import commit
from tests.train.test_loop import SETTINGS

CPU = torch.device("cpu")
OURS, OTHERS = '[project]\nname = "knowledge-capacity"\n', '[project]\nname = "of-a-user"\n'


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Makes a repository with these files, and puts the code of provenance into a folder of it."""

    def make(files, place="."):
        root = tmp_path / "root"
        file = root / place / "capacity" / "store" / "provenance.py"
        for path, content in {**files, file.relative_to(root): "code"}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(content)
        git(root, "init")
        git(root, "add", ".")
        git(root, "commit", "-m", "all")
        monkeypatch.setattr(provenance, "__file__", str(file))
        return root

    return make


def git(folder, *arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def head_of(root):
    return git(root, "rev-parse", "HEAD")[:12]


def test_numbers_carry_where_they_come_from():
    record = provenance.provenance(CPU, SETTINGS)
    assert record["torch"] == torch.__version__
    assert record["device"] == "cpu"
    assert record["commit"] == commit()


def test_a_commit_is_that_of_a_checkout(repository):
    root = repository({"pyproject.toml": OURS})
    head = head_of(root)
    assert commit() == head
    (root / "pyproject.toml").write_text(OURS + "#")
    assert commit() == head + "+"


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"pyproject.toml": OTHERS}, "."),  # installed into a user's repository, and committed there
        ({"pyproject.toml": OTHERS}, ".venv/lib/site-packages"),
        ({"pyproject.toml": OURS}, "vendor"),
        ({"vendor/pyproject.toml": OURS}, "vendor"),
        ({}, "."),
    ],
)
def test_a_repository_of_something_else_has_no_commit_of_ours(repository, files, place):
    repository(files, place)
    assert commit() is None


def test_the_environment_names_no_other_repository(repository, tmp_path, monkeypatch):
    root = repository({"pyproject.toml": OURS})
    head = head_of(root)
    git(tmp_path, "init", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    assert commit() == head
    assert os.environ["GIT_DIR"]


def test_outside_a_repository_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "capacity" / "store" / "provenance.py"))
    assert commit() is None
    (tmp_path / "pyproject.toml").write_text(OURS)
    assert commit() is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit() is None
