"""Files of a corpus: which are read, which are skipped, and what is held out."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biogen import corpus as module
from biogen.corpus import corpus_files, describe_corpus, read_corpus, split_texts


def write(folder: Path, **files: str | bytes) -> Path:
    """Files by their names, in which `__` is a slash."""
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


@given(st.lists(st.text(alphabet="ab\n", max_size=60), max_size=12))
def test_the_two_parts_are_all_texts_in_order_and_at_most_one_is_cut(texts: list[str]):
    training, held_out = split_texts(texts)
    assert "".join(training + held_out) == "".join(texts)
    assert all(training + held_out)
    uncut = [text for text in texts if text]
    assert len(training) + len(held_out) - len(uncut) in (0, 1)
    longest = max(map(len, texts), default=0)
    total = sum(map(len, texts))
    assert total / 10 <= sum(map(len, held_out)) + 1e-9 <= total / 10 + longest + 1


def test_a_text_is_cut_at_the_beginning_of_a_line():
    lines = [f"{number}\n" for number in range(100, 200)]
    (training,), (held_out,) = split_texts(["".join(lines)])
    assert (training, held_out) == ("".join(lines[:90]), "".join(lines[90:]))
    assert split_texts(["x" * 100]) == (("x" * 90,), ("x" * 10,))


def test_a_folder_a_file_and_a_pattern(tmp_path: Path):
    folder = write(
        tmp_path,
        **{"a.py": "a", "b.txt": "b", "in__c.py": "c", "in__deep__d.py": "d", ".git__x": "x", ".hidden": "h"},
        **{"in__site-packages__e.py": "e", "__pycache__f.py".replace("__p", "_p"): "f"},
    )
    found = list(corpus_files(str(folder)))
    assert found == sorted(["a.py", "b.txt", "in/c.py", "in/deep/d.py", "_pycache/f.py"])
    assert list(corpus_files(str(folder / "a.py"))) == ["a.py"]
    assert list(corpus_files(str(folder / "in/**/*.py"))) == ["c.py", "deep/d.py"]
    assert list(corpus_files(str(folder / "*.txt"))) == ["b.txt"]


def test_the_standard_library_has_a_name_of_its_own():
    import json

    assert corpus_files("stdlib/json")["decoder.py"].resolve() == Path(json.__path__[0], "decoder.py").resolve()
    assert "json/decoder.py" in corpus_files("stdlib/*/*.py")
    assert not any("site-packages" in name for name in corpus_files("stdlib"))


def test_what_is_no_text_or_a_copy_is_skipped_and_counted(tmp_path: Path):
    write(tmp_path, **{"a": "one\n" * 9, "b": "one\n" * 9, "c": b"\0\1", "d": b"caf\xe9", "e": "", "f": "café\n"})
    os.mkfifo(tmp_path / "pipe")
    found = read_corpus(str(tmp_path))
    assert (found.files, found.skipped, found.bytes) == (2, 4, 36 + 6)
    assert describe_corpus(str(tmp_path)) == "42 bytes in 2 files; skipped: 4 (no text in UTF-8, or a copy)"


def test_a_changed_file_is_read_again(tmp_path: Path):
    file = write(tmp_path, a="one\n") / "a"
    before = read_corpus(str(tmp_path))
    assert read_corpus(str(tmp_path)) is before
    file.write_text("other\n")
    assert read_corpus(str(tmp_path)).bytes == 6


def test_the_order_of_files_is_that_of_their_names_and_not_of_the_disk(tmp_path: Path):
    files = {f"f{number}": f"text {number}\n" for number in range(40)}
    one = read_corpus(str(write(tmp_path / "one", **files)))
    other = read_corpus(str(write(tmp_path / "other", **dict(reversed(files.items())))))
    assert (one.training, one.held_out) == (other.training, other.held_out)
    assert one.held_out not in (tuple(list(files.values())[-4:]), tuple(list(files.values())[:4]))


@pytest.mark.parametrize("named", ["nothing", "nothing/**/*.py", "*.none", "a\0b"])
def test_what_names_no_file_is_refused(tmp_path: Path, named: str):
    with pytest.raises(ValueError, match=r"^corpus: .* names no file; must be a folder, a file, or a pattern"):
        corpus_files(f"{tmp_path}/{named}")


def test_too_much_text_and_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, a="x" * 50, b="y" * 51)
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    with pytest.raises(ValueError, match="has more than 100 bytes of text; name fewer files"):
        read_corpus(str(tmp_path))
    monkeypatch.setattr(module, "MOST_FILES", 1)
    with pytest.raises(ValueError, match="has more than 1 files; name fewer"):
        corpus_files(str(tmp_path))
    with pytest.raises(ValueError, match="corpus: ' ' is not allowed"):
        corpus_files(" ")
