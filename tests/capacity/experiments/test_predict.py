"""A prediction: from a planted world, written down, and judged when the large run is there."""

import re

import pandas as pd
import pytest
import yaml

from basis.flags import UserError
from capacity.experiments import predict
from capacity.experiments.grid import BUDGETS, CHINCHILLA, frontier_rows
from capacity.experiments.predict import PREDICT, Prediction
from tests.capacity.experiments.test_grid import planted

SAID = {
    **{"made": "2026-01-01", "commit": "abc", "size": "2x64x2", "tokens": 150_000_000, "flops": 1.25e14},
    **{"fitted_flops": 1.6e12, "runs": 90, "last_loss": 0.7, "loss": 0.6, "low": 0.59, "high": 0.61},
}


@pytest.fixture
def small():
    frame = CHINCHILLA.select(planted(1.35, noise=0.0005))
    return frame[frame["flops"] < 4.1e12]


def large(small, loss, seeds=3):
    row = dict(small[small["size"] == "2x64x2"].iloc[0])
    rows = [row | {"tokens": SAID["tokens"], "flops": SAID["flops"], "seed": seed} for seed in range(seeds)]
    return pd.concat([small, pd.DataFrame([{**one, "heldout_loss": loss} for one in rows])], ignore_index=True)


@pytest.fixture
def said(monkeypatch):
    monkeypatch.setattr(predict, "prediction", lambda scale: Prediction(**SAID))


def test_without_a_prediction_the_grid_alone_is_run_and_what_to_write_is_told(small, monkeypatch):
    monkeypatch.setattr(predict, "prediction", lambda scale: None)
    assert list(PREDICT.sweeps("laptop")) == list(CHINCHILLA.sweeps("laptop"))
    verdict = PREDICT.verdict(small)
    assert verdict.status == "not enough runs"
    (content,) = re.findall("`({.*})`", verdict.evidence[0])
    told = Prediction(**yaml.safe_load(content.replace("DAY", "2026-11-30").replace("COMMIT", "1234567")))
    assert (told.made, told.commit) == ("2026-11-30", "1234567")
    assert told.loss < told.last_loss
    assert told.low < told.loss < told.high
    assert told.flops >= 30 * told.fitted_flops
    assert told.flops == pytest.approx(1.25e14, rel=1e-3)
    assert PREDICT.verdict(small[small["flops"] < 1e12]).evidence == ["The grid lacks budgets."]


def test_the_large_run_is_planned_once_it_is_predicted(said):
    *grid, last = PREDICT.sweeps("laptop")
    assert grid == list(CHINCHILLA.sweeps("laptop"))
    assert (last["sizes"], last["tokens"]) == (SAID["size"], SAID["tokens"])


@pytest.mark.parametrize(("loss", "status"), [(0.601, "reproduced"), (0.65, "not reproduced")])
def test_the_verdict_compares_the_large_run_with_what_was_written(small, said, loss, status):
    frame = large(small, loss)
    assert PREDICT.verdict(frame).status == status
    assert "predicted 0.6000 (0.5900 to 0.6100) on 2026-01-01" in PREDICT.verdict(frame).findings[0].here
    assert list(PREDICT.table(frame)[""])[-1] == "predicted"
    assert PREDICT.verdict(large(small, loss, seeds=2)).status == "not enough runs"
    assert PREDICT.verdict(small).status == "not enough runs"


def test_the_large_run_is_in_no_fit_and_on_no_frontier(small):
    with_it = large(small, 0.01)
    (_, before), (_, after) = PREDICT.fitted(small)[0], PREDICT.fitted(with_it)[0]
    assert before.parameters == after.parameters
    assert set(frontier_rows(with_it)["flops"]) == set(frontier_rows(small)["flops"])
    assert len(set(frontier_rows(small)["flops"])) == sum(budget < 4.1e12 for budget in BUDGETS)


def test_a_wrong_file_is_refused_in_a_line(tmp_path, monkeypatch):
    predict.prediction.cache_clear()
    monkeypatch.setattr(predict, "FOLDER", tmp_path)
    (tmp_path / "laptop.yaml").write_text(yaml.safe_dump(SAID | {"tokens": -1}))
    with pytest.raises(UserError, match=r"laptop.yaml: tokens: -1 is not allowed"):
        predict.prediction("laptop")
    predict.prediction.cache_clear()


def test_a_run_outside_or_a_dull_prediction_is_not_reproduced(small, monkeypatch):
    dull = SAID | {"low": 0.4, "high": 0.8}
    monkeypatch.setattr(predict, "prediction", lambda scale: Prediction(**dull))
    assert PREDICT.verdict(large(small, 0.6)).status == "reproduced in part"
    near = SAID | {"fitted_flops": 1e13}  # not thirty times as large
    monkeypatch.setattr(predict, "prediction", lambda scale: Prediction(**near))
    assert PREDICT.verdict(large(small, 0.6)).status == "not reproduced"
