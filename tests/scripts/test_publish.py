"""What stands under results/ is what its runs say."""

from pathlib import Path

import pandas as pd
import pytest

from capacity.store.records import load, write_csv
from scripts.publish import as_store, best, gather, markdown

RESULTS = Path(__file__).parents[2] / "results"
FOLDERS = sorted(runs.parent for runs in RESULTS.glob("*/runs"))


@pytest.fixture
def frame_of(tmp_path):
    """The table of published runs, collected anew."""

    def frame_of(published):
        as_store(published, tmp_path)
        frame = load(tmp_path).drop(columns="vocab").rename(columns={"tokens_in_use": "vocab"})
        frame["quantization"] = frame["quantization"].str.replace(r"rtn-|\+embedding", "", regex=True)  # as published
        return frame

    return frame_of


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_committed_tables_are_those_of_their_runs(folder, frame_of, tmp_path):
    committed = pd.read_csv(folder / "results.csv", nrows=0).columns
    write_csv(frame_of(folder / "runs")[committed], tmp_path / "results.csv")
    lines = [path.read_text().splitlines() for path in (tmp_path / "results.csv", folder / "results.csv")]
    assert sorted(lines[0]) == sorted(lines[1])


def test_the_printed_tables_of_the_law_are_those_of_its_runs(frame_of):
    published = RESULTS / "law-laptop" / "runs"
    frame, written = frame_of(published), (RESULTS / "README.md").read_text()
    assert best(frame) in written
    assert markdown(frame, published) in written


def test_publishing_adds_finished_runs_only(tmp_path):
    source = next((FOLDERS[0] / "runs").glob("*.json"))
    as_store(source.parent, tmp_path)
    (tmp_path / source.stem / "result.json").unlink()
    gather(tmp_path / "published", [tmp_path])
    names = {path.name for path in source.parent.iterdir()} - {source.name, f"{source.stem}.metrics.jsonl"}
    assert {path.name for path in (tmp_path / "published").iterdir()} == names
