"""Files that anyone may have written: reading them ends, with an error of one line where they are not what they say."""

import os
from pathlib import Path

import pytest

from basis.reading import check_file, parse_json, read_file, read_json


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, make):
    make(tmp_path / "it")
    with pytest.raises(OSError, match=r"Not a file|Is a directory"):
        read_file(tmp_path / "it", 10)


def test_a_file_is_read_up_to_a_limit(tmp_path: Path):
    (tmp_path / "it").write_bytes(b"x" * 10)
    assert read_file(tmp_path / "it", 10) == b"x" * 10
    with pytest.raises(ValueError, match=r"^it is larger than 9 bytes$"):
        read_file(tmp_path / "it", 9)


def test_a_file_for_another_library_is_there_or_not_and_no_pipe(tmp_path: Path):
    check_file(tmp_path / "it", 9)
    (tmp_path / "it").write_bytes(b"x" * 10)
    check_file(tmp_path / "it", 10)
    with pytest.raises(ValueError, match=r"it is larger than 9 bytes$"):
        check_file(tmp_path / "it", 9)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="Not a file"):
        check_file(tmp_path / "pipe", 9)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, b"\xff", "1" * 10_000, "{'a': 1}"])
def test_any_other_text_than_json_is_a_value_error(text: str | bytes):
    with pytest.raises(ValueError, match=r"\w"):
        parse_json(text)


def test_json_comes_back(tmp_path: Path):
    (tmp_path / "it").write_text('{"a": [1, 2.5, null]}')
    assert read_json(tmp_path / "it") == {"a": [1, 2.5, None]}
