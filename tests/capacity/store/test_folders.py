"""The store: what is written is read back, whole or not at all; other versions and damage are named."""

import json

import pytest
from pydantic import ValidationError

from capacity.runner.progress import progress_of
from capacity.spec.identity import run_id
from capacity.store import folders as store
from capacity.store.folders import RunFolder, fail, open_store, run_folder, write_json


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
    assert folder.path == tmp_path / "new" / run_id(config)
    assert folder.read_config() == config
    assert run_id(folder.read_config()) == run_id(config)
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
        ('{"beat": 3}', None),
        ('{"exposures": 3, "loss": 2.0}', {"exposures": 3, "loss": 2.0}),
        ('{"exposures": 3, "lo', None),
        ("[]", None),
    ],
)
def test_how_far_a_run_is(tmp_path, content, expected):
    if content is not None:
        (tmp_path / "heartbeat.json").write_text(content)
    assert progress_of(RunFolder(tmp_path)) == expected


def test_a_failure_is_one_line(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.read_failure() is None
    fail(folder, "two\nlines", when="now")
    assert folder.read_failure() == "two lines"
    assert json.loads(folder.failure.read_text()) == {"reason": "two lines", "when": "now"}
    for content in ("", "[]", "{}", "3"):
        folder.failure.write_text(content)
        assert folder.read_failure() == f"{folder.failure} cannot be read"


def test_a_model_is_there_in_one_step(tmp_path):
    folder = RunFolder(tmp_path)

    def write(text, then=lambda: None):
        def fill(path):
            path.mkdir()
            (path / "weights").write_text(text)
            then()

        return fill

    def broken():
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        folder.write_model(write("half", broken))
    assert not folder.model.exists()
    folder.write_model(write("one"))
    folder.write_model(write("two"))
    assert [(path.name, path.read_text()) for path in folder.model.iterdir()] == [("weights", "two")]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_store_may_begin_in_a_folder_that_looks_empty(tmp_path):
    (tmp_path / ".gitkeep").touch()
    (tmp_path / "lost+found").mkdir()  # of a volume just made
    open_store(tmp_path)
    (tmp_path / "results.csv").touch()
    open_store(tmp_path)


def test_a_store_knows_its_version(tmp_path, monkeypatch):
    out = tmp_path / "a" / "b"
    open_store(out)
    open_store(out)
    with monkeypatch.context() as patched:
        patched.setattr(store, "FORMAT", 99)
        with pytest.raises(ValueError, match=rf"^out: {out} was written by another version .*this one has 99\); give"):
            open_store(out)
    (out / "store.json").write_text("{")
    with pytest.raises(ValueError, match=rf"^out: {out}/store.json is damaged; give another folder$"):
        open_store(out)
    (out / "store.json").unlink()
    (out / "run").mkdir()
    (out / "run" / "config.yaml").touch()
    with pytest.raises(ValueError, match=rf"^out: {out} was written by an earlier version"):
        open_store(out)
