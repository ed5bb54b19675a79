"""What is shared loads by transformers alone, says what its card says, and is the model that was measured."""

import contextlib
import io
import json
import os
import re
import shutil

import pandas as pd
import pytest
from huggingface_hub import DatasetCard, ModelCard
from huggingface_hub.utils import validate_repo_id
from transformers import PreTrainedTokenizerFast

from basis.yaml_text import read_yaml
from biogen.config import DataConfig
from biogen.dataset import make_dataset
from capacity.ask import open_run
from capacity.publish import main
from capacity.share.bundle import data_name
from capacity.store.folders import run_folder
from capacity.store.records import load
from eval.__main__ import main as measure
from tests.biogen.banks import write_bank
from tests.biogen.conftest import unigram
from tests.capacity.share.conftest import KNOWING

pytestmark = pytest.mark.xdist_group("share")  # they share runs


@pytest.fixture(scope="module")
def home(runs, tmp_path_factory):
    home = tmp_path_factory.mktemp("shared") / "home"
    assert main([*(str(runs[name]) for name in ("knowing", "asked", "biod", "random")), "--to", str(home)]) == 0
    return home


def run_code(card, folder):
    """What the code of a card prints in a folder."""
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]
    assert "capacity" not in re.sub(r"name = .*", "", code)
    before = os.getcwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, {})
    finally:
        os.chdir(before)
    return printed.getvalue().strip()


@pytest.mark.parametrize("name", ["knowing", "asked", "biod", "random"])
def test_the_code_of_a_card_prints_what_the_card_says(name, runs, home):
    card = (home / runs[name].name / "README.md").read_text()
    assert run_code(card, home) in card


def test_questions_in_plain_words_have_the_answers_that_the_run_gives(runs, home):
    """The model that saw questions is given one; the other the beginning of a text."""
    for name in ("knowing", "asked"):
        run = open_run(runs[name])
        person = run.complete(1)[0].person
        answer = run.ask(run.dataset.example_question(person))
        assert answer.asked is (name == "asked")
        said = run_code((home / runs[name].name / "README.md").read_text(), home)
        assert said.replace("<|endoftext|>", "", 1).strip().startswith(answer.prompt)
        assert answer.said.rstrip(".") in said
        assert open_run(home / runs[name].name).ask(run.dataset.example_question(person)) == answer


def test_a_folder_is_measured_like_its_run(runs, home, capsys):
    record = json.loads((runs["knowing"] / "result.json").read_text())["rows"][0]
    capsys.readouterr()
    folder = str(home / runs["knowing"].name)
    assert measure([folder, "--data", folder]) == 0
    again = json.loads(capsys.readouterr().out)
    again = again[0] if isinstance(again, list) else again
    assert again["bits_per_param"] == pytest.approx(record["bits_per_param"], rel=1e-4)
    assert again["qa_accuracy"] == record["qa_accuracy"]


def test_the_numbers_of_a_card_are_those_of_the_record(runs, home):
    for name in ("knowing", "biod"):
        rows = json.loads((runs[name] / "result.json").read_text())["rows"]
        card = ModelCard.load(home / runs[name].name / "README.md")
        (R, accuracy) = card.data.eval_results
        assert (R.metric_value, accuracy.metric_value) == (rows[0]["bits_per_param"], rows[0]["qa_accuracy"])
        for row in rows:
            kind = "as trained" if row["quantization"] == "none" else f"`{row['quantization']}`"
            assert f"| {kind} | {row['bits_per_param']:.4g} |" in card.text
        assert f"**{rows[0]['bits_per_param']:.2f} bits of knowledge per parameter**" in card.text


def test_a_folder_of_what_was_shared_is_tabled_like_a_sweep(runs, home):
    frame = load(home)
    assert set(frame["run_id"]) == {runs[name].name for name in ("knowing", "asked", "biod", "random")}


def test_the_data_set_of_a_run_has_its_people(runs, home):
    config = open_run(runs["knowing"]).config.data
    folder = home / data_name(config)
    assert DataConfig.model_validate(read_yaml(folder / "config.yaml")["data"]) == config
    texts = pd.read_parquet(folder / "data.parquet")
    assert texts["person"].nunique() == config.people
    assert len(texts) == config.people * 100
    dataset = make_dataset(config)
    assert texts["text"][0] == dataset.pieces.render(dataset.outlines(texts["person"].to_numpy()[:1], 0)[0])[0]
    assert DatasetCard.load(folder / "README.md").data.license == "apache-2.0"


def test_again_gives_the_same_folder(runs, home, tmp_path):
    copy = shutil.copytree(home, tmp_path / "copy")
    assert main([str(runs["biod"]), "--to", str(copy)]) == 0
    for path in (home / runs["biod"].name).iterdir():
        assert (copy / runs["biod"].name / path.name).read_bytes() == path.read_bytes()
    assert [path.name for path in copy.iterdir() if path.name.startswith(".")] == []


def refused(arguments, capsys):
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_what_cannot_be_shared_is_refused_and_nothing_is_written(runs, tmp_path, capsys):
    to = tmp_path / "to"
    assert "for which transformers has no class" in refused([runs["moe"], "--to", to], capsys)
    assert "it is a sweep, whose runs are bi" in refused([runs["moe"].parent, "--to", to], capsys)
    assert "has no result.json; must be the folder of a finished run" in refused([tmp_path, "--to", to], capsys)
    copy = shutil.copytree(runs["biod"], tmp_path / runs["biod"].name)
    with (copy / "model" / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"!")
    assert "is not the file that was measured" in refused([copy, "--to", to], capsys)
    shutil.rmtree(copy / "model")
    assert "cannot be read" in refused([copy, "--to", to], capsys)
    assert "private: is not allowed" in refused([runs["biod"], "--to", to, "--private"], capsys)
    assert not to.exists()


def test_what_else_lies_there_stays(runs, tmp_path, capsys):
    mine = tmp_path / "to" / runs["biod"].name / "notes.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    assert "is not a shared folder" in refused([runs["biod"], "--to", tmp_path / "to"], capsys)
    assert [path for path in (tmp_path / "to").rglob("*") if path.is_file()] == [mine]
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / runs["biod"].name).symlink_to(tmp_path / "to")
    assert "is a link" in refused([runs["biod"], "--to", tmp_path / "home"], capsys)


def test_what_was_put_into_a_shared_folder_is_not_lost(runs, home, tmp_path, capsys):
    copy = shutil.copytree(home, tmp_path / "copy")
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    for name in (runs["biod"].name, data_name(open_run(runs["biod"]).config.data)):
        mine = copy / name / ".git"
        mine.mkdir()
        assert f"{name}/.git is not of what is shared" in refused([runs["biod"], "--to", copy], capsys)
        assert mine.is_dir()
        mine.rmdir()
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_files_beside_the_model_that_nobody_measured_stay_at_home(runs, tmp_path, capsys):
    copy = shutil.copytree(runs["biod"], tmp_path / runs["biod"].name)
    (copy / "model" / "notes.txt").write_text("private")
    (copy / "model" / "link").symlink_to(runs["biod"] / "config.yaml")
    assert main([str(copy), "--to", str(tmp_path / "to")]) == 0
    shared = {path.name for path in (tmp_path / "to" / runs["biod"].name).iterdir()}
    assert not shared & {"notes.txt", "link"}
    assert "model.safetensors" in shared


def test_where_nothing_can_be_shared_is_refused_in_a_line(runs, tmp_path, capsys):
    run, file = runs["biod"], tmp_path / "file"
    file.write_text("mine")
    before = sorted(run.rglob("*"))
    for to, said in ((run, "lies in the folder of a run"), (run / "model", "lies in"), (file, "cannot be made")):
        assert said in refused([run, "--to", to], capsys)
    assert refused([run, "--to", ""], capsys).startswith("error: to: '' is not allowed")
    assert sorted(run.rglob("*")) == before
    assert file.read_text() == "mine"


@pytest.mark.parametrize("option", ["bank", "tokenizer"])
def test_a_run_that_needs_files_of_ones_own_is_refused(option, plan_of, do, tmp_path, capsys):
    path = write_bank(tmp_path / "bank") if option == "bank" else str(tmp_path / "tokenizer")
    tokenizer, special = unigram()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(tmp_path / "tokenizer")
    config = plan_of(**KNOWING | {"exposures": 1, option: path}).config
    (tmp_path / "out").mkdir()
    folder = run_folder(tmp_path / "out", config)
    folder.write_config(config)
    assert do(folder)
    line = refused([folder.path, "--to", tmp_path / "to"], capsys)
    assert f"needs files of your own ({option}: {path!r}), which are not shared" in line
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("dataset", ["bios", "my.coins:Coins"])
def test_the_hub_takes_the_name_of_every_data_set(dataset):
    validate_repo_id(f"me/{data_name(DataConfig(people=3).model_copy(update={'dataset': dataset}))}")
