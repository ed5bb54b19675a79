"""Experiments about losses along a training: planted curves, written as runs write them, are read and judged."""

import json

import numpy as np
import pandas as pd
import pytest

from capacity import reproduce
from capacity.experiments import page as pages
from capacity.experiments.batch import BATCH
from capacity.experiments.experiment import selected
from capacity.experiments.schedules import SCHEDULES
from capacity.experiments.temporal import TEMPORAL
from capacity.laws.paths import paths_of
from capacity.laws.schedule import MultiPower
from eval.heldout import position_bins
from train.schedules import left_of_peak

LAW = {"L0": 0.3, "A": 3.0, "alpha": 0.5, "B": 20.0, "C": 1.0, "beta": 0.5, "gamma": 0.5}
SHARED = {
    **{"population": "zipf", "zipf": 1.35, "recipe": "fast", "quantization": "none", "size": "2x32x2", "lr": 0.015},
    **{
        "final_lr": 0.1,
        "heldout_loss": 1.0,
        "warmup_steps": 50,
        "dataset": "biod",
        "people": 1000,
        "batch": 64,
        "params": 27_680,
    },
}


def write(folder, run, records):
    (folder / run).mkdir()
    (folder / run / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def planted_schedules(folder, noise=0.0, seeds=3):
    """Runs whose losses of training obey the multi-power law."""
    rng, rows = np.random.default_rng(0), []
    for schedule, share in (("cosine", 0.2), ("constant", 0.2), ("wsd", 0.2), ("wsd", 0.5)):
        for budget, all_steps in ((800_000, 2000), (1_600_000, 4000)):
            step = np.arange(1.0, all_steps + 1)
            lr = np.array([0.015 * (0.1 + 0.9 * left_of_peak(schedule, s / all_steps, share)) for s in step])
            lr *= np.minimum(1, step / 50)
            loss = MultiPower().of_path(LAW, paths_of(step[::5], lr[::5])[0]).reshape(200, -1).mean(axis=1)
            step = step.reshape(200, -1)[:, -1]  # a record is the mean over the steps since the one before
            for seed in range(seeds):
                run = f"{schedule}-{share}-{budget}-{seed}"
                told = loss + noise * rng.standard_normal(len(loss))
                records = [
                    {"kind": "train", "exposures": s / 100, "loss": float(one)}
                    for s, one in zip(step, told, strict=True)
                ]
                write(folder, run, records)
                options = {"run_id": run, "schedule": schedule, "decay_share": share, "budget": budget, "seed": seed}
                rows.append(SHARED | options | {"steps": all_steps})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def schedules(tmp_path_factory):
    folder = tmp_path_factory.mktemp("schedules")
    return selected(SCHEDULES, planted_schedules(folder, noise=0.002), [folder]).frame


def test_a_law_that_holds_predicts_the_schedule_that_it_has_not_seen(schedules):
    verdict = SCHEDULES.verdict(schedules)
    assert verdict.status == "reproduced"
    assert verdict.findings[0].here.startswith("R² of at least 0.99")
    table = SCHEDULES.table(schedules)
    assert set(table["fitted or predicted"]) == {"fitted", "predicted"}
    assert (table["seeds"] == "3").all()


def test_noise_of_batches_does_not_count_against_a_law_that_holds(tmp_path):
    table = SCHEDULES.table(selected(SCHEDULES, planted_schedules(tmp_path, noise=0.1), [tmp_path]).frame)
    multi_power = table[table["law"].str.startswith("multi-power")].astype({"R²": float, "R² without noise": float})
    assert (multi_power["R²"] < 0.998).all()
    assert (multi_power["R² without noise"] > 0.998).all()


def test_the_learning_rate_is_that_of_the_training(schedules):
    rows = schedules[(schedules["schedule"] == "wsd") & (schedules["decay_share"] == 0.5)]
    early, last = rows[rows["share"] <= 0.5]["lr"], rows[rows["share"] > 0.997]["lr"]
    assert early.unique() == pytest.approx([0.015])
    assert last.to_numpy() == pytest.approx(0.0015, rel=0.05)


def test_two_seeds_and_no_wsd_give_no_verdict(tmp_path):
    frame = planted_schedules(tmp_path, seeds=2)
    assert SCHEDULES.verdict(selected(SCHEDULES, frame, [tmp_path]).frame).status == "not enough runs"
    without = frame[frame["schedule"] != "wsd"]
    assert selected(SCHEDULES, without, [tmp_path]).frame.empty
    assert SCHEDULES.verdict(pd.DataFrame()).status == "not enough runs"


def planted_batches(folder, alpha_B=0.5, B_star=3000.0):
    """Runs whose steps to a loss are S_min·(1 + B_crit/B), with S_min falling as a power of the loss."""
    rows = []
    loss = np.geomspace(3.0, 0.5, 60)
    for batch in (4, 16, 64, 256, 1024):
        tokens = batch * 25
        for lr, slower in ((0.0075, 1.5), (0.015, 1.0), (0.03, 2.0)):
            steps = 400 * loss**-2.0 * (1 + B_star / loss ** (1 / alpha_B) / tokens) * slower
            for seed in range(3):
                run = f"{batch}-{lr}-{seed}"
                records = [
                    {"kind": "heldout", "exposures": s, "steps": s, "tokens": s * tokens, "lr": lr, "heldout_loss": one}
                    for s, one in zip(steps.tolist(), loss.tolist(), strict=True)
                ]
                write(folder, run, records)
                options = {"run_id": run, "schedule": "constant", "budget": 10**6, "seed": seed}
                rows.append(SHARED | options | {"lr": lr, "batch": batch})
    return pd.DataFrame(rows)


def test_a_planted_critical_batch_size_is_found_with_the_best_learning_rate(tmp_path):
    frame = selected(BATCH, planted_batches(tmp_path), [tmp_path]).frame
    assert set(frame["lr"]) == {0.015}
    (_, fit), *_ = BATCH.fitted(frame)
    assert fit.parameters["alpha_B"] == pytest.approx(0.5, rel=0.05)
    assert fit.parameters["B_star"] == pytest.approx(3000, rel=0.1)
    verdict = BATCH.verdict(frame)
    assert verdict.status == "reproduced in part"  # it grows, with another exponent
    assert len(BATCH.table(frame)) == frame["loss"].nunique()


def planted_positions(folder, seeds=3):
    """Runs whose loss at each position is hyperbolic, with parameters that are powers of the tokens."""
    rows = []
    for seed in range(seeds):
        records = []
        for tokens in np.geomspace(1e5, 2e7, 30):
            a0, a1, a2 = 3.0 * (tokens / 1e5) ** -0.05, 0.2, 2.0 * (tokens / 1e5) ** -0.15
            losses = {
                f"heldout_loss_at_{first}_{last}": a0 / (1 + a1 * (first * last) ** 0.5) + a2
                for first, last in position_bins(512)
            }
            now = {"kind": "heldout", "exposures": tokens / 1e6, "tokens": tokens, "steps": tokens / 1e3, "lr": 0.01}
            records.append(now | losses)
        write(folder, f"positions-{seed}", records)
        options = {"run_id": f"positions-{seed}", "dataset": "corpus", "corpus": "stdlib/*.py", "layout": "packed"}
        rows.append(SHARED | options | {"budget": 20_000_000, "seed": seed})
    return pd.DataFrame(rows)


def test_a_hyperbolic_loss_is_forecast_from_its_first_third(tmp_path):
    frame = selected(TEMPORAL, planted_positions(tmp_path), [tmp_path]).frame
    verdict = TEMPORAL.verdict(frame)
    assert verdict.status == "reproduced"
    assert frame["tokens"].min() >= 0.01 * 2e7
    assert len(TEMPORAL.table(frame)) >= 5
    assert set(TEMPORAL.drawn(frame)) == {"forecast"}


def test_runs_with_other_windows_are_those_of_another_experiment(tmp_path):
    """On code there is a grid, too, of more parameters and as many seeds."""
    frame = planted_positions(tmp_path)
    both = pd.concat([frame.assign(context=512), frame.assign(context=128, params=10**9, run_id="grid")])
    assert set(TEMPORAL.select(both)["run_id"]) == set(frame["run_id"])


def test_one_seed_and_no_checkpoints_give_no_verdict_on_positions(tmp_path):
    frame = selected(TEMPORAL, planted_positions(tmp_path, seeds=1), [tmp_path]).frame
    assert TEMPORAL.verdict(frame).status == "not enough runs"
    assert TEMPORAL.verdict(pd.DataFrame()).status == "not enough runs"


@pytest.mark.parametrize("experiment", [SCHEDULES, BATCH, TEMPORAL])
def test_their_pages_name_all_runs_and_have_their_figures(tmp_path, experiment, monkeypatch):
    plant = {SCHEDULES: planted_schedules, BATCH: planted_batches, TEMPORAL: planted_positions}[experiment]
    chosen = selected(experiment, plant(tmp_path), [tmp_path])
    monkeypatch.setattr(pages, "made_by", lambda runs, folders: f"{runs['run_id'].nunique()} runs")
    verdict = experiment.verdict(chosen.frame)
    path = reproduce.write_page("mine", experiment, chosen, verdict, [tmp_path], tmp_path / "page" / "README.md")
    text = path.read_text()
    assert f"{len(chosen.runs)} runs" in text
    assert text.startswith(f"# {experiment.title[:1].upper()}")
    pictures = sorted((tmp_path / "page").glob("plots/*.png"))
    assert (len(pictures) > 0) == (experiment is not SCHEDULES)
    assert all(f"plots/{picture.name}" in text for picture in pictures)


def test_no_curves_give_no_verdict(tmp_path):
    assert BATCH.verdict(pd.DataFrame()).status == "not enough runs"
    frame = planted_batches(tmp_path)
    assert selected(BATCH, frame.drop(columns="heldout_loss"), [tmp_path]).frame.empty
