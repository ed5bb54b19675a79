"""The linter of Markdown finds what breaks its rules, and nothing else."""

import pytest

from scripts.lint_markdown import anchors, check, lint


def problems(text):
    return [(number, problem.partition(";")[0]) for number, problem in lint(text)]


@pytest.mark.parametrize(
    "text",
    [
        "A sentence.\nAnother one.\n",
        "- An item.\n  It has two sentences.\n- no sentence\n- nor this\n",
        "1. First.\n2. Second.\n",
        "It takes N = 3, e.g. Ann and Bob, as Li et al. Show (Fig. 3).\n",
        "`a. B` is code, and 1.5 is a number: so they say.\n",
        "It ends **in bold.**\nThe next begins.\n",
        'It says (in brackets.)\n"Quoted?"\n',
        "# A heading. With two sentences\n",
        "| a table. It may hold more | " + "x" * 130 + " |\n",
        "```sh\na. B\nc d\n```\n",
        "An address may be long: [text](https://example.org/" + "x" * 130 + ").\n",
        "It asks <https://example.org/" + "x" * 130 + ">.\n",
        "> A quotation.\n> Its second sentence.\n",
        "These follow:\n\n- one\n",
    ],
)
def test_what_is_in_order(text):
    assert problems(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two.\n", [(1, "two sentences")]),
        ("Fine.\n\nIs it? `code` says so.\n", [(3, "two sentences")]),
        ("**One.** Two.\n", [(1, "two sentences")]),
        ("- One. Two.\n", [(1, "two sentences")]),
        ("It goes on\nin another line.\n", [(1, "the sentence goes on in the next line")]),
        ("- It goes on\n  in another line.\n", [(1, "the sentence goes on in the next line")]),
        ("x" * 121 + "\n", [(1, "121 columns")]),
        ("```\n" + "x" * 121 + "\n```\n", [(2, "121 columns")]),
        ("[text](address) " + "x" * 115 + "\n", [(1, "122 columns")]),
    ],
)
def test_what_is_not(text, expected):
    assert problems(text) == expected


def test_links_lead_somewhere(tmp_path):
    (tmp_path / "other.md").write_text("# Its heading\n")
    file = tmp_path / "one.md"
    file.write_text(
        "# A (good) heading: `code`\n"
        "[this](#a-good-heading-code) [that](other.md#its-heading) [web](https://none.example/x) `[code](none.md)`\n"
        '[bad](#nothing)\n[bad](other.md#nothing)\n![bad](none.png)\n<img src="none.svg">\n'
        "```\n[code](none.md)\n```\n"
    )
    assert [finding for finding in check(file, "docs/other.md") if "sentence" not in finding[1]] == [
        (3, "#nothing has no such heading"),
        (4, "other.md#nothing has no such heading"),
        (5, "none.png is not there"),
        (6, "none.svg is not there"),
    ]


def test_anchors_of_equal_headings_are_counted():
    text = "# One\n## One\n```\n# comment\n```\n### [Two, three](x.md) & _four_\n"
    assert anchors(text) == {"one", "one-1", "two-three--_four_"}


def test_the_readme_is_short(tmp_path):
    file = tmp_path / "README.md"
    file.write_text("word\n\n" * 701)
    assert check(file, "README.md") == [(1, "701 words; at most 700 are allowed")]
    assert check(file, "docs/other.md") == []
