"""Check the size of files: `.venv/bin/python -m scripts.lint_tree`.

No file of code has more than 400 lines. All files that git knows have at most 5 MB together, history apart.
"""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CODE = (".py", ".h", ".cpp")
MOST_LINES, MOST_BYTES = 400, 5_000_000


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
    """A line if the tree is too large."""
    size = sum((root / name).lstat().st_size for name in names)
    return [f"the tree has {size:,} bytes; at most {MOST_BYTES:,} are allowed"] if size > MOST_BYTES else []


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
