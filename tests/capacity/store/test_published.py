"""The published runs: each has the id that its options make, and these ids never change."""

import hashlib
from pathlib import Path

import pytest

from capacity.spec.config import RunConfig
from capacity.spec.identity import run_id, stored
from capacity.store.sources import records_in

RESULTS = Path(__file__).parents[3] / "results"
FOLDERS = sorted(path.parent for path in RESULTS.glob("*/records.parquet"))
PINNED = Path(__file__).with_name("published.txt")
"""A folder's name, its number of runs and a hash of their ids, a line each."""


def line_of(folder):
    ids = sorted(record["run_id"] for _, record in records_in(folder))
    return f"{folder.name} {len(ids)} {hashlib.sha256(' '.join(ids).encode()).hexdigest()[:16]}"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_published_run_has_the_id_of_its_options(folder):
    for _, record in records_in(folder):
        config = RunConfig.model_validate(record["config"])
        assert run_id(config) == record["run_id"]
        assert stored(config) == record["config"]
        assert {row["run_id"] for row in record["rows"]} == {record["run_id"]}


def test_published_ids_are_those_that_they_were():
    """To add or replace published runs is to change published.txt: print `line_of` for each folder."""
    assert [line_of(folder) for folder in FOLDERS] == PINNED.read_text().splitlines()
