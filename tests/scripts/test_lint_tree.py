"""The linter of sizes counts lines of code, and bytes of everything."""

from scripts.lint_tree import MOST_BYTES, MOST_LINES, long_files, too_large


def test_a_file_of_code_has_at_most_so_many_lines(tmp_path):
    for name, lines in (("fits.py", MOST_LINES), ("long.py", MOST_LINES + 1), ("long.h", 500), ("long.md", 500)):
        (tmp_path / name).write_text("x\n" * lines)
    names = [path.name for path in tmp_path.iterdir()]
    assert sorted(long_files(tmp_path, names)) == [
        "long.h: 500 lines; at most 400 are allowed",
        "long.py: 401 lines; at most 400 are allowed",
    ]


def test_the_tree_has_at_most_so_many_bytes(tmp_path):
    (tmp_path / "one").write_bytes(b"x" * (MOST_BYTES - 1))
    (tmp_path / "two").write_bytes(b"x")
    assert too_large(tmp_path, ["one", "two"]) == []
    (tmp_path / "two").write_bytes(b"xx")
    assert too_large(tmp_path, ["one", "two"]) == ["the tree has 5,000,001 bytes; at most 5,000,000 are allowed"]
