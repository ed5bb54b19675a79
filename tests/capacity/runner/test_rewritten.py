"""A training on rewritten biographies, from the plan to `eval` of the exported model on a data set on disk."""

import json
from pathlib import Path

import pytest
import torch

from biogen import __main__ as biogen
from capacity.runner.run_in_folder import Run
from capacity.spec.plan import make_plans
from capacity.spec.preset import Preset
from capacity.store.folders import run_folder
from eval.__main__ import main as measure
from tests.biogen.datasets.test_bior import PEOPLE, fill

SWEEP = {"sizes": "1x16", "exposures": 60, "batch": 4, "lr": 0.02, "quantize": "none", "device": "cpu"}


def test_a_run_on_rewritten_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    torch.set_num_threads(1)
    texts = str(fill(tmp_path / "rewritten"))
    data = {"dataset": "bior", "dataset_options": {"texts": texts}, "people": PEOPLE, "tokenizer": "word"}
    (plan,) = make_plans(Preset.model_validate(data | SWEEP))
    assert plan.config.data.dataset_options == {"texts": texts}
    run = run_folder(tmp_path, plan.config)
    run.write_config(plan.config)
    assert Run(run, torch.device("cpu")).go(lambda: False)
    (row,) = json.loads(run.result.read_text())["rows"]
    assert 0 < row["bits"] <= row["max_bits"] == plan.max_bits

    flags = ["--dataset", "bior", "--dataset-options", f"texts={texts}", "--people", str(PEOPLE), "--tokenizer", "word"]
    assert biogen.main([*flags, "--out", str(tmp_path / "data")]) == 0
    capsys.readouterr()
    assert measure([str(run.model), "--data", str(tmp_path / "data")]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["bits"] == pytest.approx(row["bits"], rel=1e-3)
