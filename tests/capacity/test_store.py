"""The folder of a run: what is written is read back, whole or not at all, and its metrics tell how far it is."""

import json

import pytest
from pydantic import ValidationError

from capacity.store import RunFolder, last_metric, run_folder, write_json

TRAIN = {"kind": "train", "exposures": 3.5, "loss": 2.0}


def lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.mark.parametrize(
    "changes",
    [
        {"junk": "7/8", "junk_people": 9, "eps": 1e-8, "quantize": ["int4-g16", "bf16"]},
        {"dataset": "bios", "variant": "multi5+permute", "questions": "half", "domain_token": True},
        {"recipe": "paper", "seeds": 2**62},
    ],
    ids=str,
)
def test_a_config_is_read_as_it_was_written(tmp_path, plan_of, changes):
    config = plan_of(**changes).config
    folder = run_folder(tmp_path / "new", config)
    folder.write_config(config)
    assert folder.path == tmp_path / "new" / config.run_id
    assert folder.read_config() == config
    assert folder.read_config().run_id == config.run_id
    assert not folder.done


def test_a_config_with_a_strange_key_is_refused(tmp_path, plan_of):
    config = plan_of().config
    folder = run_folder(tmp_path, config)
    folder.write_config(config)
    folder.config.write_text(folder.config.read_text() + "colour: red\n")
    with pytest.raises(ValidationError, match="colour"):
        folder.read_config()


def test_a_run_is_done_when_its_result_is_there(tmp_path):
    folder = RunFolder(tmp_path)
    (tmp_path / ".result.json.1.tmp").write_text("{")
    assert not folder.done
    folder.clear_leftovers()
    write_json(folder.result, {"rows": [1]})
    assert folder.done
    assert json.loads(folder.result.read_text()) == {"rows": [1]}
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, None),
        ("", None),
        (lines({"kind": "recall", "exposures": 1}), None),
        (lines(TRAIN | {"exposures": 1}, TRAIN), TRAIN),
        (lines(TRAIN, {"kind": "recall", "exposures": 9}), TRAIN),
        (lines(TRAIN) + '{"kind": "train", "expo', TRAIN),  # a line that is just being written
        (lines(TRAIN) + "\0\0\0\n", TRAIN),
        (lines(TRAIN, {"kind": "recall", "long": "x" * 20_000}), TRAIN),
        (lines({"kind": "recall", "long": "x" * 100_000}, TRAIN), TRAIN),
    ],
    ids=["no file", "empty", "no training yet", "two", "a curve behind", "half a line", "zeros", "long behind", "long"],
)
def test_the_last_metric(tmp_path, content, expected):
    folder = RunFolder(tmp_path)
    if content is not None:
        folder.metrics.write_text(content)
    assert last_metric(folder) == expected
