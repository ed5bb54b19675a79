"""Check the size of files: `.venv/bin/python -m scripts.lint_tree`.

No file of code has more than 400 lines. Of the files that git knows, those of results/ have at most 5 MB together, the
weights that are kept there another 4 MB, and all others at most 4 MB, history apart.
"""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CODE = (".py", ".h", ".cpp")
MOST_LINES = 400
MOST_BYTES = {"results/law-laptop/weights/": 4_000_000, "results/": 5_000_000, "": 4_000_000}
"""For the files in a folder, and for all others."""


def long_files(root: Path, names: Iterable[str]) -> list[str]:
    """A line for every file of code that is too long."""
    code = [name for name in names if name.endswith(CODE)]
    lines = {name: len((root / name).read_text(encoding="utf-8").splitlines()) for name in code}
    return [
        f"{name}: {count} lines; at most {MOST_LINES} are allowed"
        for name, count in lines.items()
        if count > MOST_LINES
    ]


def too_large(root: Path, names: Iterable[str]) -> list[str]:
    """A line for each part of the tree that is too large."""
    size = dict.fromkeys(MOST_BYTES, 0)
    for name in names:
        part = next(part for part in MOST_BYTES if name.startswith(part))
        size[part] += (root / name).lstat().st_size
    return [
        f"{part or 'the rest of the tree'}: {size[part]:,} bytes; at most {most:,} are allowed"
        for part, most in MOST_BYTES.items()
        if size[part] > most
    ]


def main() -> int:
    """Check what git knows or would know; returns 1 if anything is wrong."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    known = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    names = [name for name in known if (ROOT / name).is_file()]
    lines = long_files(ROOT, sorted(names)) + too_large(ROOT, names)
    print("\n".join(lines or [f"{len(names)} files are within their sizes."]))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
