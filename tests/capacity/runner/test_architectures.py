"""A run of every architecture, and of a user's own: trained, measured, exported, read by transformers, taken over."""

import json
import sys

import numpy as np
import pytest
import torch

from biogen.config import EVALUATION
from biogen.dataset import make_dataset
from capacity.store.folders import RunFolder
from eval import hf
from eval.recall import recall_people
from eval.record import make_record
from eval.source import OtherTokens
from tests.train.architectures.conftest import FORMS
from tests.train.architectures.test_registry import OWN
from tests.train.optimizers.test_optimizers import OWN as OWN_OPTIMIZERS


@pytest.mark.parametrize("form", FORMS)
def test_a_run_of_every_architecture_is_read_by_transformers(prepare, do, rows_of, form):
    architecture, options = FORMS[form]
    folder = prepare(architecture=architecture, **options, optimizer="muon")
    assert do(folder)
    (row,) = rows_of(folder)
    model, tokenizer = hf.load(str(folder.model))
    dataset = make_dataset(folder.read_config().data)
    source = OtherTokens(dataset, tokenizer)
    recall = recall_people(hf.HuggingFaceModel(model, torch.device("cpu")), source, np.arange(40), EVALUATION)
    theirs = make_record(recall, dataset, row["params"], interval=False)
    assert theirs["loss_value"] == pytest.approx(row["loss_value"], rel=1e-4)
    assert theirs["bits"] == pytest.approx(row["bits"], rel=1e-3)
    inert = 7 * 16 + 2 if form == "gpt2 none" else 0
    assert hf.count_parameters(model, dataset.tokenizer.vocab) == row["params"] + inert


def test_a_users_own_architecture_and_optimizer_are_trained_and_taken_over(
    prepare, do, rows_of, tmp_path, monkeypatch, capfd
):
    (tmp_path / "own_models.py").write_text(OWN)
    (tmp_path / "own_optimizers.py").write_text(OWN_OPTIMIZERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    own = {
        "architecture": "own_models:Averages",
        "architecture_options": {"experts": 2},
        "optimizer": "own_optimizers:descent",
        "lr": 0.5,
        "quantize": [],
    }
    first, third = prepare(**own), prepare(**own | {"architecture_options": None})
    assert do(first)
    name = f"{first.path.name[:-10]}0123456789"  # as another run
    first.result.write_text(first.result.read_text().replace(first.path.name, name))
    first = RunFolder(first.path.rename(first.path.parent / name))
    second = prepare(**own)
    with (tmp_path / "own_optimizers.py").open("a") as file:
        file.write("\n")
    assert do(second)
    assert "training_of" not in json.loads(second.result.read_text())["provenance"]
    assert f"warning: {name}: the code in own_optimizers changed since; its training is not" in capfd.readouterr().err
    (tmp_path / "own_optimizers.py").write_text(OWN_OPTIMIZERS)
    second.result.unlink()
    assert do(second)
    assert json.loads(second.result.read_text())["provenance"]["training_of"] == first.path.name
    assert do(third)
    assert "training_of" not in json.loads(third.result.read_text())["provenance"]
    (more,), (less,) = rows_of(first), rows_of(third)
    assert more["params_experts"] == 2 * less["params_experts"] == 2 * 16 * 16
    assert json.loads((first.model / "config.json").read_text())["architectures"] == ["own_models:Averages"]
