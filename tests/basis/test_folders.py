"""Folders that may hold anything: nothing outside them is written, and a change of a file is seen."""

import hashlib
import os
from pathlib import Path

import pytest

from basis.files import replace_file
from basis.folders import changed_files, contents, hash_files, own_file, refuse_links


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    out = tmp_path / "out"
    (out / "a" / "b").mkdir(parents=True)
    (out / "a" / "b" / "file").write_text("ours")
    (tmp_path / "precious").mkdir()
    return out


@pytest.mark.parametrize("name", ["link", "a/link", "a/b/.link"])
@pytest.mark.parametrize("target", ["precious", "none", "out-too", ".", ".."])
def test_a_link_that_leads_out_is_refused_however_deep(folder: Path, name: str, target: str):
    wanted = folder.parent / target
    (folder / name).symlink_to(wanted)
    with pytest.raises(ValueError, match=f"^out: {folder / name} is a link to {wanted}, outside {folder}; remove it$"):
        refuse_links(folder)


def test_links_within_a_folder_and_loops_lead_nowhere_else(folder: Path):
    (folder / "link").symlink_to("a/b")
    (folder / "a" / "up").symlink_to("..")
    (folder / "loop").symlink_to("loop")
    (folder.parent / "way in").symlink_to(folder)
    refuse_links(folder)
    refuse_links(folder.parent / "way in")


def test_only_the_named_entries_count(folder: Path):
    (folder / "link").symlink_to("/")
    refuse_links(folder, "a", "none")
    refuse_links(folder / "none")


def test_a_pipe_is_refused(folder: Path):
    os.mkfifo(folder / "a" / "pipe")
    with pytest.raises(ValueError, match=f"^out: {folder / 'a' / 'pipe'} is neither a file nor a folder; remove it$"):
        refuse_links(folder)


def test_a_new_volume_looks_empty(tmp_path: Path):
    (tmp_path / "lost+found").mkdir()
    (tmp_path / ".gitkeep").touch()
    assert contents(tmp_path) == contents(tmp_path / "none") == []
    (tmp_path / "b").touch()
    (tmp_path / "a").touch()
    assert contents(tmp_path) == ["a", "b"]


def test_a_file_of_two_names_gets_a_copy_under_one(tmp_path: Path):
    (tmp_path / "backup").write_text("old")
    os.link(tmp_path / "backup", tmp_path / "log")
    for name in ("log", "none"):
        own_file(tmp_path / name)
    with (tmp_path / "log").open("a") as file:
        file.write(", new")
    assert (tmp_path / "backup").read_text() == "old"
    assert (tmp_path / "log").read_text() == "old, new"
    assert not (tmp_path / "none").exists()


def test_changed_files_are_those_that_differ_or_are_gone(folder: Path):
    (folder / "top").write_text("too")
    hashes = hash_files(folder, "a", "top", "none")
    assert hashes == {
        "a/b/file": hashlib.sha256(b"ours").hexdigest(),
        "top": hashlib.sha256(b"too").hexdigest(),
    }
    assert changed_files(folder, hashes) == []
    replace_file(folder / "top", b"toO")
    (folder / "new").touch()
    assert changed_files(folder, hashes) == ["top"]
    (folder / "a" / "b" / "file").unlink()
    assert changed_files(folder, hashes | {"x" * 9999: "", "\0": ""}) == ["a/b/file", "top", "x" * 9999, "\0"]
