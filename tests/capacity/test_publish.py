"""Results are published as two small files, and what stands in documents is what they say."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from capacity.publish import main, publish
from capacity.report.best import best_table
from capacity.store.records import load
from capacity.store.sources import load_curves, records_in
from tests.capacity.records import make_row, write_store

RESULTS = Path(__file__).parents[2] / "results"


def write_curve(folder, R):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.jsonl").write_text(f'{{"kind": "recall", "exposures": 1, "bits_per_param": {R}}}\n')


def test_stores_become_two_files_and_figures(tmp_path, capsys):
    write_store(tmp_path / "A", [make_row("a"), make_row("a", "int8"), make_row("b", params=9, size="1x16")])
    write_store(tmp_path / "B", [make_row("a", bits_per_param=9.0), make_row("c", people=9)])
    write_curve(tmp_path / "A" / "a", 0.5)
    (tmp_path / "A" / "unfinished").mkdir()
    out = tmp_path / "out"
    assert main([str(out), str(tmp_path / "A"), str(tmp_path / "B")]) == 0
    assert "3 runs and " in capsys.readouterr().out
    pd.testing.assert_frame_equal(load(out), load(tmp_path / "A", tmp_path / "B"))
    assert load_curves(out)["bits_per_param"].tolist() == [0.5]
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    figures = ["law.png", "quantization.png"]
    assert files == ["curves.parquet", *(f"plots/{name}" for name in figures), "records.parquet"]


def test_more_runs_join_those_that_are_there_and_new_numbers_replace_old_ones(tmp_path):
    write_store(tmp_path / "A", [make_row("a"), make_row("b", people=9)])
    write_store(tmp_path / "B", [make_row("a", bits_per_param=1.0), make_row("c", people=8)])
    for store, R in (("A", 0.5), ("B", 0.75)):
        write_curve(tmp_path / store / "a", R)
        publish(tmp_path / "out", [tmp_path / store])
    found = load(tmp_path / "out").set_index("run_id")["bits_per_param"]
    assert found.to_dict() == {"a": 1.0, "b": 1.65, "c": 1.65}
    assert load_curves(tmp_path / "out")["bits_per_param"].tolist() == [0.75]


def test_the_layout_of_json_files_is_read_and_replaced(tmp_path):
    write_store(tmp_path / "store", [make_row("a"), make_row("b", people=9)])
    write_curve(tmp_path / "store" / "a", 0.5)
    (tmp_path / "old" / "runs").mkdir(parents=True)
    for run in ("a", "b"):
        shutil.copy(tmp_path / "store" / run / "result.json", tmp_path / "old" / "runs" / f"{run}.json")
    shutil.copy(tmp_path / "store" / "a" / "metrics.jsonl", tmp_path / "old" / "runs" / "a.metrics.jsonl")
    (tmp_path / "old" / "results.csv").write_text("old")
    records = [record for _, record in records_in(tmp_path / "old")]
    frame, curves = load(tmp_path / "old"), load_curves(tmp_path / "old")
    assert publish(tmp_path / "old") == 2
    assert {path.name for path in (tmp_path / "old").iterdir()} == {"records.parquet", "curves.parquet"}
    assert [record["config"] for _, record in records_in(tmp_path / "old")] == [record["config"] for record in records]
    pd.testing.assert_frame_equal(load(tmp_path / "old"), frame)
    pd.testing.assert_frame_equal(load_curves(tmp_path / "old"), curves, check_dtype=False)


def test_what_else_lies_in_the_folder_stays(tmp_path, monkeypatch):
    """Also where the folder holds the sweeps themselves, in the folder that an earlier layout had its files in."""
    monkeypatch.chdir(tmp_path)
    write_store(Path("runs/sweep"), [make_row("a"), make_row("b", params=9, size="1x16")])
    Path("plots").mkdir()
    for name in ("notes.json", "results.csv", "plots/mine.png"):
        Path(name).write_text("{}")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main([".", "runs/sweep"]) == 0
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert before.items() <= after.items()
    assert {path.name for path in after.keys() - before.keys()} >= {"records.parquet", "curves.parquet", "law.png"}


@pytest.mark.parametrize("name", ["plots", "records.parquet"])
def test_a_link_out_of_the_folder_is_refused(tmp_path, capsys, name):
    write_store(tmp_path / "A", [make_row("a")])
    (tmp_path / "out").mkdir()
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "out" / name).symlink_to(tmp_path / "precious")
    assert main([str(tmp_path / "out"), str(tmp_path / "A")]) == 2
    link = f"{tmp_path / 'out' / name} is a link to {tmp_path / 'precious'}, outside {tmp_path / 'out'}"
    assert capsys.readouterr().err == f"error: out: {link}; remove it\n"
    assert (tmp_path / "precious").read_text() == "mine"
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]


def test_files_of_runs_elsewhere_stay(tmp_path):
    write_store(tmp_path / "A", [make_row("a")])
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(tmp_path / "A" / "a" / "result.json", tmp_path / "elsewhere" / "a.json")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "runs").symlink_to(tmp_path / "elsewhere")
    assert publish(tmp_path / "out") == 1
    assert (tmp_path / "elsewhere" / "a.json").exists()


@pytest.mark.parametrize("stores", [[], ["empty"], ["nowhere"], ["broken"]])
def test_without_runs_nothing_is_written(tmp_path, capsys, stores):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken" / "run").mkdir(parents=True)
    (tmp_path / "broken" / "run" / "result.json").write_text("{}")
    assert main([str(tmp_path / "out"), *(str(tmp_path / name) for name in stores)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_table_of_the_law_in_documents_is_that_of_its_runs():
    assert best_table(load(RESULTS / "law-laptop")) in (RESULTS / "README.md").read_text()
