"""docs/extending.md: its files are those of docs/examples, its commands work, and its changes do what it says."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from basis.start import PACKAGES

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
SECTIONS = {text.partition("\n")[0]: text for text in PAGE.split("\n## ")[1:]}
SMALL = ["--sizes", "1x16", "--people", "20", "--exposures", "2", "--device", "cpu", "--workers", "1"]


def blocks(language, text=PAGE):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(text=PAGE):
    lines = "".join(blocks("sh", text)).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines]


def call(command, *, at, root):
    """What a command of the page prints, of the project in `root`. Its exit code must be 0."""
    program = ["capacity", *command] if command[0] == "biogen" else command
    found = os.environ | {"PYTHONPATH": str(root), "COLUMNS": "200"}
    done = subprocess.run([sys.executable, "-m", *program], cwd=at, env=found, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def apply(changes, root):
    """Make the changes of a block; returns the files. What a change takes away or begins with stands there once."""
    files = re.split(r"^--- (\S+)\n", changes, flags=re.MULTILINE)[1:]
    for name, lines in zip(files[::2], files[1::2], strict=True):
        old, new = ("".join(re.findall(rf"^[{kept}](.*\n)", lines, re.MULTILINE)) for kept in (" -", " +"))
        text = (root / name).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{name} has {text.count(old)} times:\n{old}"
        (root / name).write_text(text.replace(old, new), encoding="utf-8")
    return set(files[::2])


def test_it_shows_the_examples_as_they_are():
    shown = dict(re.findall(r"^\[(\w+\.py)\]\(examples/\1\):\n\n```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    assert shown == {path.name: path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.py")}


def test_an_example_is_short():
    lengths = {path.name: len(path.read_text().splitlines()) for path in EXAMPLES.glob("*.py")}
    assert max(lengths.values()) <= 80, lengths


@pytest.mark.parametrize(
    "section", [title for title in SECTIONS if title not in ("Option", "Tests") and "```sh" in SECTIONS[title]]
)
def test_commands_work_as_they_stand(section, tmp_path):
    place = shutil.copytree(EXAMPLES, tmp_path / "examples")
    for command in commands(SECTIONS[section]):
        call(command, at=place, root=ROOT)
    (results,) = (place / "runs").glob("*/results.csv")
    rows = pd.read_csv(results)
    plain = rows[rows["quantization"] == "none"]
    assert (plain["bits"] > 0).all()
    match section:
        case "Architecture":
            assert set(plain["architecture"]) == {"mingru:MinGRU"}
            assert set(plain["params_recurrence"]) == {3 * 16**2}
        case "Optimizer":
            assert set(plain["optimizer"]) == {"adamw", "signum:signum"}
        case "Quantizer":
            assert set(rows["quantization"]) == {"none", "rtn-int4", "least_error:least_error-int4"}
        case "Data set":
            assert set(plain["dataset"]) == {"coins:Coins"}
            assert len(pd.read_parquet(place / "runs" / "coins-data" / "data.parquet")) == 20
        case "Figure":
            assert {path.name for path in results.parent.glob("plots/*")} >= {"known.png", "known.svg"}
        case _:
            raise AssertionError(f"nothing is asked of {section}")


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """A copy of the project with every change of the page, and the files that each section touches."""
    root = tmp_path_factory.mktemp("changed")
    for name in (*PACKAGES, "configs"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    touched = {}
    for title, text in SECTIONS.items():
        files = set().union(*(apply(block, root) for block in blocks("diff", text)))
        for old, new in re.findall(r"To make it part of the project, move it to `((?:\w+/)*(\w+\.py))`", text):
            shutil.copy(EXAMPLES / new, root / old)
            files.add(old)
        touched[title] = files
    return root, touched


def test_it_says_how_many_files_are_touched(changed):
    said = {title: int(found[1]) for title, text in SECTIONS.items() if (found := re.search(r"touched: (\d+)", text))}
    assert said == {title: len(files) for title, files in changed[1].items() if files}
    notebook = (ROOT / "docs" / "notebook.md").read_text(encoding="utf-8")
    table = dict(
        re.findall(r"^\| (\w[\w ]*) \| \d+ \| (\d+) \|$", notebook.partition("## Files to touch")[2], re.MULTILINE)
    )
    assert {title.lower(): str(number) for title, number in said.items()} == table


def test_all_of_them_are_part_of_the_project(changed, tmp_path):
    """With short names, in one sweep."""
    root, _ = changed
    flags = ["--dataset", "coins", "--architecture", "mingru", "--architecture-options", "gain=0.5,1"]
    flags += ["--optimizer", "signum", "--lr", "0.003", "--warmup", "square"]
    flags += ["--quantize", "least_error-int4", *SMALL, "--out", "out"]
    call(["capacity", "run", *flags], at=tmp_path, root=root)
    rows = pd.read_csv(tmp_path / "out" / "results.csv")
    assert set(zip(rows["warmup"], rows["quantization"], strict=True)) == {
        ("square", scheme) for scheme in ("none", "least_error-int4")
    }
    assert set(rows["architecture_options.gain"]) == {0.5, 1.0}
    assert (tmp_path / "out" / "plots" / "known.png").exists()
    told = " ".join(call(["capacity", "run", "--help"], at=tmp_path, root=root).split())
    for name in ("mingru", "signum", "coins"):
        assert re.search(rf"\| {name} (\| [\w-]+ )*\| your own as module:Name", told)


def evaluated(expressions, root):
    """The values of some expressions in a project."""
    script = (
        "from capacity.spec.identity import run_id\n"
        "from capacity.spec.plan import make_plans\n"
        "from capacity.spec.preset import Preset\n"
        "from train.loop import learning_rate\n"
        "from train.settings import Settings\n"
        "def ids(**options):\n"
        "    return [run_id(plan.config) for plan in make_plans(Preset(dataset='biod', r_max=None, **options))]\n"
        "def shares(**options):\n"
        "    others = dict.fromkeys(set(Settings.__dataclass_fields__) - {'schedule', 'warmup'}, 0)\n"
        "    settings = Settings(**{**others, 'warmup_steps': 4, 'exposures': 4, **options})\n"
        "    return [learning_rate(settings, step, 0) for step in (0, 1, 2, 4)]\n"
        f"import json; print(json.dumps([{expressions}]))"
    )
    found = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", script], cwd=root, env=found, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_option_does_what_it_says_and_changes_no_id(changed):
    root, _ = changed
    square, straight, before, same, other = evaluated(
        "shares(warmup='square'), shares(), ids(), ids(warmup='linear'), ids(warmup=['square', 'linear'])", root
    )
    assert square == pytest.approx([1 / 16, 1 / 4, 9 / 16, 1])
    assert [straight, before] == evaluated("shares(), ids()", ROOT)
    assert same == before
    assert len(set(other)) == 2
    assert set(before) < set(other)
