"""docs/guide.md: its commands, presets and lines of Python are those that there are."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
import torch
import yaml

import capacity.report.plans
from basis.flags import UserError
from capacity import run
from capacity.__main__ import commands
from capacity.spec.plan import make_plans
from capacity.spec.preset import Preset
from capacity.spec.presets import preset_names
from tests.biogen.banks import write_bank
from tests.biogen.datasets.test_bior import PEOPLE, fill

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def shown():
    """Every command of the page, as the words after `capacity`."""
    lines = [shlex.split(line, comments=True) for line in "".join(blocks("sh")).splitlines()]
    lines += [shlex.split(text) for text in re.findall(r"`(capacity \w+ [^`]*)`", PAGE)]
    found = [line[line[0] == "capacity" :] for line in lines if line[0] in ("capacity", "biogen")]
    assert len(found) > 20
    return found


def help_of(command, capsys):
    with pytest.raises(SystemExit) as end:
        importlib.import_module(commands()[command]).main(["--help"])
    assert end.value.code == 0
    return capsys.readouterr().out


def help_of_rewrite(capsys):
    with pytest.raises(SystemExit):
        importlib.import_module(commands()["biogen"]).main(["rewrite", "--help"])
    return capsys.readouterr().out


def test_every_command_is_explained():
    rows = re.findall(r"^\| `capacity (\w+)` \|", PAGE, re.MULTILINE)
    assert set(rows) == set(commands())
    assert {words[0] for words in shown()} <= set(rows)


def test_commands_have_the_flags_that_they_are_given(capsys):
    for command in commands():
        told = help_of(command, capsys) + (help_of_rewrite(capsys) if command == "biogen" else "")
        flags = {word for words in shown() if words[0] == command for word in words if word.startswith("--")}
        assert not [flag for flag in flags if flag not in told], command


@pytest.mark.parametrize("words", [words for words in shown() if words[0] == "run" and "--out" in words], ids=" ".join)
def test_a_sweep_can_be_planned(words, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "docs" / "examples")
    monkeypatch.chdir(tmp_path)
    write_bank(tmp_path / "BANK", {"last_names.txt": None})
    if "bior" in words:
        fill(tmp_path / "rewritten")
        words = [str(PEOPLE) if word == "1000" else word for word in words]
    planned = []
    monkeypatch.setattr(capacity.report.plans, "show_plans", lambda plans, *_: planned.extend(plans))
    assert run.main([*words[1:], "--dry-run", "--device", "cpu"]) == 0
    assert planned


def test_flags_that_the_text_names_are_there(capsys):
    told = "".join([*(help_of(command, capsys) for command in commands()), help_of_rewrite(capsys)])
    told = re.sub(r"\s+", " ", told)
    prose = re.sub(r"^```.*?^```$", "", PAGE, flags=re.MULTILINE | re.DOTALL)
    flags = set(re.findall(r"(?<![\w-])--[a-z][\w.-]+", prose))
    assert not [flag for flag in flags if flag not in told]


def test_presets_of_the_table_are_those_that_there_are():
    section = PAGE.partition("\n## Presets")[2].partition("\n## ")[0]
    named = [name for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall("`(.*?)`", row)]
    shown = {name for name in preset_names() if not name.startswith(("paper/", "reproduce/", "record/"))}
    assert shown == set(named) - {"paper/*", "reproduce/*", "record/*"}


def test_the_preset_of_the_page_is_one():
    (text,) = blocks("yaml")
    assert len(make_plans(Preset.model_validate(yaml.safe_load(text)))) == 8


def test_a_value_that_no_combination_can_have_is_a_mistake():
    with pytest.raises(UserError, match="mlp: 'gated' is not allowed with architecture llama"):
        make_plans(Preset(architecture="llama", mlp=["gated"]))


def test_the_lines_of_python_do_what_they_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    session = {}
    first, *others = blocks("python")
    exec(first, session)
    assert len(session["frame"].query("quantization == 'none'")) == 4
    run_folder = next(path.parent for path in (tmp_path / "runs" / "python").glob("*/model"))
    for block in others:
        exec(block.replace("MODEL_DIR", str(run_folder / "model")).replace('"people"', repr(str(run_folder))), session)
    assert len(session["texts"].lengths) == 1000
    assert session["trained"].params > 0
