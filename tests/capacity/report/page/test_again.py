"""The command in a run's part does that run again: its id is the same."""

import shlex
from pathlib import Path

import pytest

from basis.flags import parse
from capacity.report.page.again import command
from capacity.run import _fit_for_corpus, _one_unit, _what_is_given_is_run
from capacity.spec.plan import make_plans
from capacity.spec.preset import Preset
from capacity.spec.presets import DEFAULT, preset_path
from capacity.store.sources import records_in

RESULTS = Path(__file__).parents[4] / "results"


def planned(line):
    """The ids of the runs that a command would do."""
    words = shlex.split(line)
    assert words[:2] == ["capacity", "run"]
    preset = parse(
        Preset,
        [*words[2:], "--dry-run"],
        program="test",
        description="",
        default_file=preset_path(DEFAULT),
        find_file=preset_path,
        adjust=lambda values, given: [
            fit(values, given) for fit in (_one_unit, _fit_for_corpus, _what_is_given_is_run)
        ],
    )
    return [plan.run_id for plan in make_plans(preset)]


@pytest.mark.parametrize("file", sorted(RESULTS.glob("*/records.parquet")), ids=lambda file: file.parent.name)
def test_published_runs_are_done_again_under_their_ids(file):
    records = [record for _, record in records_in(file.parent)]
    for record in records[:: max(1, len(records) // 4)]:
        assert planned(command(record)) == [record["run_id"]]


def test_words_of_a_store_are_quoted():
    record = {"config": {"size": "1x16; rm -rf $HOME", "exposures": 3, "data": {"dataset": "`id`", "people": 4}}}
    words = shlex.split(command(record))
    assert words[words.index("--sizes") + 1] == "1x16; rm -rf $HOME"
    assert words[words.index("--dataset") + 1] == "`id`"
    assert "'`id`'" in command(record)
