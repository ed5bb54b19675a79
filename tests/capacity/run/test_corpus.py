"""A sweep on files of one's own: run, interrupted, tabled, refused where the files have changed."""

import json
from pathlib import Path

import pytest
import torch

from basis.flags import UserError
from capacity.ask import main as ask
from capacity.report.figures.runs import draw_all
from capacity.runner.run_in_folder import Run
from capacity.spec.plan import make_plans
from capacity.spec.preset import Preset
from capacity.store.folders import run_folder
from capacity.store.records import load
from eval.__main__ import main as measure
from tests.capacity.conftest import metrics_of
from tests.capacity.run.conftest import PRESET, sweep
from tests.capacity.runner.conftest import alike

OPTIONS = {
    **{"dataset": "corpus", "people": 40, "sizes": ["1x16"], "tokens": 6000, "device": "cpu", "quantize": ["rtn-int8"]},
    **{"tokenizer": "bytes", "dataset_options": {"length": 41}, "context": 64, "heldout_tokens": 300},
}
KNOWLEDGE = ("loss_name", "bits", "max_bits", "bits_per_param", "max_bits_per_param", "qa_accuracy")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files with numbers in every line."""
    where = tmp_path / "source"
    where.mkdir()
    for number in range(12):
        (where / f"f{number}.py").write_text("".join(f"x{number:02} = {line:02}\n" for line in range(40)))
    return where


def flags(folder: Path, out: Path) -> list[str]:
    given = ["--corpus", str(folder), "--dataset-options", "length=41", "--out", str(out)]
    names = ("dataset", "people", "sizes", "tokens", "device", "quantize", "context", "heldout_tokens")
    for name in names:
        value = OPTIONS[name]
        given += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    return given


@pytest.mark.parametrize("layout", ["rows", "packed"])
def test_an_interrupted_run_ends_like_another(folder: Path, tmp_path: Path, rows_of, layout: str):
    torch.set_num_threads(1)
    options = OPTIONS | {"corpus": str(folder), "layout": layout, "quantize": []}
    (plan,) = make_plans(Preset.model_validate(options))
    assert (plan.max_bits, plan.r_max) == (0, 0)
    runs = []
    for name, cut in (("whole", None), ("parts", 7)):
        (tmp_path / name).mkdir()
        runs.append(run_folder(tmp_path / name, plan.config))
        runs[-1].write_config(plan.config)
        if cut:
            run = Run(runs[-1], torch.device("cpu"))
            assert not run.go(lambda run=run: run.trainer.steps >= 7)
        assert Run(runs[-1], torch.device("cpu")).go(lambda: False)
    alike(*runs, rows_of)
    (row,) = rows_of(runs[0])
    assert all(row[name] is None for name in KNOWLEDGE)
    losses = [record["heldout_loss"] for record in metrics_of(runs[0].path, "heldout")]
    assert row["heldout_loss"] == losses[-1] < losses[0]
    assert (row["heldout_loss"] == row["heldout_loss_text"]) == (layout == "rows" and "heldout_loss_other" not in row)


def test_a_sweep_its_table_and_its_changes(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "runs"
    planned = sweep([*flags(folder, out), "--dry-run"])
    assert planned.code == 0
    assert f"Corpus {folder}: 4,320 bytes in 12 files; a tenth is held out." in planned.said
    assert not out.exists()
    done = sweep(flags(folder, out))
    assert done.code == 0
    assert "A corpus has no R" in done.said
    assert "R max" not in done.said
    frame = load(out)
    assert frame["quantization"].tolist() == ["none", "rtn-int8"]
    assert frame[list(KNOWLEDGE)].isna().all(axis=None)
    assert (frame["loss_value"] > 0).all()
    assert frame["heldout_loss"].notna().tolist() == [True, False]
    assert set(frame["corpus"]) == {str(folder)}
    assert "NaN" not in (next(out.glob("corpus-*")) / "result.json").read_text()
    assert draw_all(frame, tmp_path) == []
    assert "nothing was left to do" in sweep(flags(folder, out)).said

    (run,) = out.glob("corpus-*")
    with pytest.raises(UserError, match="is a run on a corpus, about which nothing is asked"):
        ask([str(out)])
    with pytest.raises(UserError, match="data: a corpus is not allowed; how many bits are in its texts is not known"):
        measure([str(run / "model"), "--data", str(run)])
    (folder / "f3.py").write_text("changed = 1\n" * 30)
    told = f"^out: {run.name} in .* is done, and the texts .the files of corpus .*. changed since; give"
    with pytest.raises(UserError, match=told):
        sweep(flags(folder, out))


def test_a_table_with_people_and_a_corpus(folder: Path, tmp_path: Path):
    out = tmp_path / "runs"
    people = {**PRESET, "seeds": [0], "exposures": 2, "quantize": [], "out": str(out)}
    (tmp_path / "people.yaml").write_text(json.dumps(people))
    assert sweep(["--config", str(tmp_path / "people.yaml")]).code == 0
    both = sweep([*flags(folder, out), "--quantize", "none"])
    assert both.code == 0
    assert "A corpus has no R" in both.said
    assert "R max" in both.said
    frame = load(out)
    assert frame["bits_per_param"].notna().sum() == 1
    drawn = draw_all(frame, tmp_path)
    assert drawn
    alone = draw_all(frame[frame["dataset"] == "biod"], tmp_path / "alone")
    assert [path.name for path in drawn] == [path.name for path in alone]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["--corpus", "/nowhere/at/all"], "^corpus: /nowhere/at/all names no file; must be"),
        (["--people", "200"], "^people: 200 is not allowed; must be at most 9[0-9], since"),
        (["--heldout-tokens", "5000"], "^heldout_tokens: 5000 is not allowed; must be at most 4[0-9][0-9], since 4"),
        (["--r-max", "0.5,2"], "^r_max: .0.5, 2.0. leaves no run, as R max is at most 0"),
    ],
)
def test_mistakes_write_nothing(folder: Path, tmp_path: Path, changes: list[str], told: str):
    with pytest.raises(UserError, match=told):
        sweep([*flags(folder, tmp_path / "runs"), *changes])
    assert not (tmp_path / "runs").exists()


def test_runs_on_other_files_are_told_apart(folder: Path, tmp_path: Path):
    options = OPTIONS | {"corpus": [str(folder), f"{folder}/f1*.py"], "people": 5, "heldout_tokens": 0}
    plans = make_plans(Preset.model_validate(options))
    assert len({plan.run_id for plan in plans}) == 2
    assert [plan.config.data.corpus for plan in plans] == options["corpus"]
