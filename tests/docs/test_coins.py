"""The example of a data set of one's own: it is written, trained on and measured like those that come along."""

import importlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from pydantic import ValidationError

from biogen.config import DataConfig
from biogen.dataset import EVALUATION, draw_texts, make_dataset
from biogen.datasets import title_of
from biogen.pieces import Role
from capacity.runner.run_in_folder import Run
from capacity.spec.plan import make_plans
from capacity.spec.preset import Preset
from capacity.store.folders import run_folder
from eval import __main__ as evaluate
from eval.recall import LanguageModel, recall_people
from eval.record import make_record
from eval.source import OwnTokens

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
PEOPLE, FLIPS = 30, 5
OPTIONS = {"dataset": "coins:Coins", "dataset_options": {"flips": FLIPS}}


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)


@pytest.fixture
def coins(_importable):
    return make_dataset(DataConfig(**OPTIONS, people=PEOPLE))


class Mixture(LanguageModel):
    """A model that takes every one of these texts to be equally likely: it knows the people, and all about them."""

    def __init__(self, texts):
        self.texts = [row.tolist() for row in texts.tokens.reshape(len(texts), -1)]

    def score(self, inputs, targets):
        nats, correct = np.zeros(targets.shape), np.zeros(targets.shape, dtype=bool)
        for row, text in enumerate(np.concatenate([inputs[:, :1], targets], axis=1).tolist()):
            for place in range(targets.shape[1]):
                begun = [known for known in self.texts if known[: place + 1] == text[: place + 1]]
                likely = [known[place + 1] for known in begun].count(text[place + 1]) / len(begun)
                nats[row, place], correct[row, place] = -math.log(likely), likely > 0.5
        return nats, correct


class Grammar(LanguageModel):
    """A model that knows how a text is made and nobody: every letter and every side is equally likely."""

    def __init__(self, dataset):
        letters, sides = dataset.tokenizer.encode("c0 c15"), dataset.tokenizer.encode("heads tails")
        self.letters, self.sides = range(letters[0], letters[1] + 1), sides

    def score(self, inputs, targets):
        nats = math.log(16) * np.isin(targets, self.letters) + math.log(2) * np.isin(targets, self.sides)
        return nats, nats == 0


def record_of(model, dataset):
    recall = recall_people(model, OwnTokens(dataset), np.arange(PEOPLE), EVALUATION)
    return make_record(recall, dataset, parameters=100)


def test_texts_are_spliced_as_they_are_tokenized(coins):
    texts = draw_texts(coins, np.arange(PEOPLE), 0)
    assert (texts.lengths == coins.longest_text).all()
    for row, person in enumerate(coins.describe(np.arange(PEOPLE))):
        text = f"The coins of {person['name']} show " + " ".join(person[f"flip{flip}"] for flip in range(FLIPS))
        tokens = texts.tokens[texts.offsets[row] : texts.offsets[row + 1]]
        assert tokens.tolist() == [0, *coins.tokenizer.encode(text)]
    assert (np.bincount(texts.roles)[Role.NAME :] == [4 * PEOPLE, *[PEOPLE] * FLIPS]).all()


def test_perfect_recall_is_all_bits(coins):
    everybody = draw_texts(coins, np.arange(PEOPLE), EVALUATION)
    record = record_of(Mixture(everybody), coins)
    assert record["bits"] == pytest.approx(coins.max_bits().total)
    assert record["max_bits"] == pytest.approx(PEOPLE * (math.log2(16**4 / PEOPLE) + FLIPS))
    assert record["qa_accuracy"] == 1


def test_ignorance_is_no_bits(coins):
    record = record_of(Grammar(coins), coins)
    assert record["loss_name"] == pytest.approx(math.log(coins.names))
    assert record["loss_value"] == pytest.approx(FLIPS * math.log(2))
    assert record["bits"] == pytest.approx(0, abs=1e-9)


def test_it_is_trained_and_measured_like_any_other(tmp_path, capsys):
    torch.set_num_threads(1)
    preset = Preset(
        **OPTIONS, people=20, sizes="1x16", exposures=100, batch=5, lr=0.03, optimizer="adamw", device="cpu"
    )
    (plan,) = make_plans(preset)
    folder = run_folder(tmp_path, plan.config)
    folder.write_config(plan.config)
    assert Run(folder, torch.device("cpu")).go(lambda: False)
    row = json.loads(folder.result.read_text())["rows"][0]
    assert row["dataset"] == "coins:Coins"
    assert 0.3 * row["max_bits"] < row["bits"] <= row["max_bits"] == pytest.approx(plan.max_bits)

    assert evaluate.main([str(folder.model), "--data", str(folder.path)]) == 0
    (again,) = json.loads(capsys.readouterr().out)
    assert again["bits"] == pytest.approx(row["bits"], rel=1e-3)


def test_it_is_written_from_the_command_line(tmp_path):
    root = str(EXAMPLES.parents[1])
    flags = ["--dataset", "coins:Coins", "--dataset-options", "{flips: 3}", "--people", "6", "--out", str(tmp_path)]
    command, found = [sys.executable, "-m", "biogen", *flags], os.environ | {"PYTHONPATH": root}
    done = subprocess.run(command, cwd=EXAMPLES, env=found, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    data = pd.read_parquet(tmp_path / "data.parquet")
    assert list(data.columns) == ["person", "name", "flip0", "flip1", "flip2", "text", "spans"]
    stored = yaml.safe_load((tmp_path / "config.yaml").read_text())["data"]
    assert stored["dataset_options"] == {"flips": 3}
    assert DataConfig(**stored) == DataConfig(dataset="coins:Coins", dataset_options="{flips: 3}", people=6)


def test_it_has_a_title():
    assert title_of("coins:Coins") == importlib.import_module("coins").Coins.title == "coins"


def test_options_at_their_defaults_are_left_out():
    given = DataConfig(dataset="coins:Coins", dataset_options={"flips": 8})
    assert given == DataConfig(dataset="coins:Coins")
    assert "dataset_options" not in given.model_dump()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"dataset_options": {"flips": 0}},
            "dataset_options.flips: 0 is not allowed; must be greater than or equal to 1 ",
        ),
        ({"dataset_options": {"flip": 3}}, "dataset_options.flip: is not a key; did you mean flips"),
        ({"dataset_options": "{flips"}, "must be pairs such as name=value, or a mapping"),
        ({"people": 16**4 + 1}, "people: 65537 people need as many names; allowed is at most N0 = 65536"),
        ({"questions": "half"}, "questions: half is not an option of coins; must be none"),
        ({"variant": "single"}, "variant: single is not an option of coins; must be left out"),
    ],
)
def test_what_it_does_not_have_is_refused(options, message):
    with pytest.raises(ValidationError) as error:
        DataConfig(dataset="coins:Coins", **options)
    assert message in str(error.value)
