"""docs/laws.md: it has every law and option, and its table of coverage holds what it promises."""

import dataclasses
import re
import shlex
from pathlib import Path

import pytest

from benchmarks.coverage import BEGIN, CASES, END, LEAST, NOISES, UNEVEN
from capacity.fit import _parser
from capacity.laws import LAWS

PAGE = (Path(__file__).parents[2] / "docs" / "laws.md").read_text(encoding="utf-8")
TABLE = PAGE.partition(BEGIN)[2].partition(END)[0]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.splitlines() if line.startswith("| ")]


@pytest.mark.parametrize("name", CASES)
def test_a_law_has_its_columns_and_options_on_the_page(name):
    (row,) = re.findall(rf"^\| `{name}` \| .* \| (.*) \| .* \|$", PAGE.partition("## What a fit says")[0], re.MULTILINE)
    columns = set(re.findall(r"\w+", row)) | ({"flops"} if name == "power" else set())
    assert set(LAWS[name].needs) <= columns
    options = re.findall(rf"^\| `{name}` \| (`.*?`) \| .* \|$", PAGE, re.MULTILINE)
    named = set(re.findall(r"\w+", " ".join(options)))
    assert {field.name for field in dataclasses.fields(LAWS[name])} == named


def test_the_commands_can_be_read():
    commands = [shlex.split(line) for line in re.findall(r"^capacity fit .*$", PAGE, re.MULTILINE)]
    assert len(commands) > 3
    for words in commands:
        options = _parser().parse_args(words[2:])
        assert options.law in LAWS.names


def test_coverage_is_of_every_law_and_noise():
    noises = [noise.name for noise in (*NOISES, UNEVEN)]
    assert [row[:2] for row in ROWS[2:-1]] == [[law, noise] for law in CASES for noise in noises]


def test_intervals_cover():
    total = ROWS[-1]
    assert total[0] == "all but uneven"
    assert all(float(share) >= LEAST for share in (total[2], total[4], total[5]))
