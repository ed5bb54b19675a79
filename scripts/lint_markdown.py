"""Check the Markdown of this project: `.venv/bin/python -m scripts.lint_markdown`.

In prose each line is one whole sentence. No line has more than 120 columns, tables and the addresses of links apart.
Links within the project lead somewhere. README.md has at most 700 words, besides what is printed from data.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COLUMNS, README_WORDS = 120, 700
_PRINTED = re.compile(r"<!-- print: .*?<!-- end -->", re.DOTALL)

Finding = tuple[int, str]
"""The number of a line and what is wrong with it."""

_LINK = re.compile(r"(?<=\])\(([^()\s]*(?:\([^()]*\))?[^()\s]*)\)|\b(?:src|href)=\"([^\"]*)\"")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|et al|vs|cf|Fig|No|[A-Z])\.(?= )")
_END = r"[.?!:]['\")\]*_]*"
_TWO_SENTENCES = re.compile(r"[.?!]['\")\]*_]* +(?=['\"(\[*_]*[A-Z`])")
_NO_PROSE = ("|", "#", "<", "![")
_ITEM = re.compile(r"^\s*(?:(?:[-*+]|\d+\.)\s+|>\s?)")


def lint(text: str) -> list[Finding]:
    """What is wrong with the lines of a document, but for its links."""
    found: list[Finding] = []
    lines = text.splitlines()
    prose = list(_prose(lines))
    for number, line in enumerate(lines, 1):
        bare = _LINK.sub("", re.sub(r"<?https?://\S+", "", line))
        if len(bare) > COLUMNS and not line.lstrip().startswith("|"):
            found.append((number, f"{len(bare)} columns; at most {COLUMNS} are allowed"))
    for number, line in prose:
        if _TWO_SENTENCES.search(line):
            found.append((number, "two sentences; one sentence a line is allowed"))
    following = dict(prose)
    for number, line in prose:
        goes_on = number + 1 in following and not _ITEM.match(lines[number])
        if goes_on and not re.search(_END + "$", line):
            found.append((number, "the sentence goes on in the next line; one sentence a line is allowed"))
    return sorted(found)


def _prose(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Lines of paragraphs and lists with their numbers, without markers, code, addresses and abbreviations."""
    fenced = False
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and line.strip() and not line.lstrip().startswith(_NO_PROSE):
            text = re.sub(r"(`+).*?\1", "`code`", _ITEM.sub("", line, count=1).rstrip())
            yield number, _ABBREVIATION.sub("x", _LINK.sub("", text))


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    found: set[str] = set()
    fenced = False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        if line.startswith("#") and not fenced:
            heading = _LINK.sub("", line.lstrip("#").strip()).lower()
            anchor = re.sub(r"[^\w\- ]", "", heading).replace(" ", "-")
            again = (f"{anchor}-{count}" for count in range(1, 100))
            found.add(anchor if anchor not in found else next(name for name in again if name not in found))
    return found


def lint_links(file: Path, text: str) -> list[Finding]:
    """Links within the project that lead nowhere."""
    found: list[Finding] = []
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        fenced ^= line.lstrip().startswith("```")
        for link in () if fenced else _LINK.finditer(re.sub(r"(`+).*?\1", "", line)):
            address = link[1] or link[2] or ""
            if re.match(r"\w+:", address):
                continue
            name, _, anchor = address.partition("#")
            target = (file.parent / name) if name else file
            if not target.exists():
                found.append((number, f"{address} is not there"))
            elif anchor and target.suffix == ".md" and anchor not in anchors(target.read_text(encoding="utf-8")):
                found.append((number, f"{address} has no such heading"))
    return found


def check(file: Path, name: str) -> list[Finding]:
    """All that is wrong with a file of this name in the project."""
    text = file.read_text(encoding="utf-8")
    found = lint_links(file, text)
    found += lint(text)
    if name == "README.md" and (words := len(_PRINTED.sub("", text).split())) > README_WORDS:
        found.append((1, f"{words} words; at most {README_WORDS} are allowed"))
    return sorted(found)


def main() -> int:
    """Check all Markdown that git knows or would know; returns 1 if anything is wrong."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    lines = [f"{name}:{number}: {text}" for name in names for number, text in check(ROOT / name, name)]
    print("\n".join(lines or [f"{len(names)} Markdown files are in order."]))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
