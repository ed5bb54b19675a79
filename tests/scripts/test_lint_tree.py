"""The linter of sizes counts lines of code, and bytes of everything."""

import pytest

from scripts.lint_tree import MOST_BYTES, MOST_LINES, long_files, too_large


def test_a_file_of_code_has_at_most_so_many_lines(tmp_path):
    for name, lines in (("fits.py", MOST_LINES), ("long.py", MOST_LINES + 1), ("long.h", 500), ("long.md", 500)):
        (tmp_path / name).write_text("x\n" * lines)
    names = [path.name for path in tmp_path.iterdir()]
    assert sorted(long_files(tmp_path, names)) == [
        "long.h: 500 lines; at most 400 are allowed",
        "long.py: 401 lines; at most 400 are allowed",
    ]


@pytest.mark.parametrize(("folder", "named"), [("results/", "results/"), ("", "the rest of the tree")])
def test_each_part_of_the_tree_has_at_most_so_many_bytes(tmp_path, folder, named):
    most = MOST_BYTES[folder]
    (tmp_path / "results").mkdir()
    names = [f"{folder}one", f"{folder}two"]
    for name, size in zip(names, (most - 1, 1), strict=True):
        (tmp_path / name).write_bytes(b"x" * size)
    assert too_large(tmp_path, names) == []
    (tmp_path / names[1]).write_bytes(b"xx")
    assert too_large(tmp_path, names) == [f"{named}: {most + 1:,} bytes; at most {most:,} are allowed"]
