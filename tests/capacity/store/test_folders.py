"""The store: what is written is read back, whole or not at all; other versions and damage are named."""

import hashlib
import json
import os
import re

import pytest

from capacity.runner.progress import progress_of
from capacity.spec.identity import run_id
from capacity.store import folders as store
from capacity.store.folders import RunFolder, fail, holes, open_store, run_folder, write_json
from tests.capacity.conftest import be_done


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
    with pytest.raises(FileNotFoundError):  # a sweep that was moved is not made once more
        folder.write_config(config)
    folder.path.parent.mkdir()
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
    for content, reason in [
        (folder.config.read_text(), "colour: is not a key; see --help for all"),
        ("[" * 50_000, "while increasing flow level exceeded maximum nesting depth .*"),
        ("a: &a [x]\nb: *a\n", "aliases are not allowed"),
    ]:
        folder.config.write_text(content)
        with pytest.raises(ValueError, match=rf"^{folder.config} is of another version or damaged \({reason}\)$"):
            folder.read_config()


@pytest.mark.parametrize("content", ["[" * 50_000, "5", "a: &a [x]\nb: *a", "!!python/name:os.system", "\0"], ids=repr)
def test_a_config_that_is_none_is_refused_in_a_line(tmp_path, content):
    folder = RunFolder(tmp_path)
    folder.config.write_text(content)
    with pytest.raises(ValueError, match=r"config|nesting|alias|tag|character|validation"):
        folder.read_config()


def _hole(path):
    """A file of a terabyte that takes no space."""
    path.touch()
    os.truncate(path, 1 << 40)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, _hole], ids=["pipe", "folder", "hole"])
def test_files_of_a_store_are_read_in_bounded_memory(tmp_path, make):
    folder = RunFolder(tmp_path)
    for path in (folder.config, folder.failure, folder.metrics, tmp_path / "claim-1", tmp_path / "heartbeat.json"):
        make(path)
    with pytest.raises((OSError, ValueError)):
        folder.read_config()
    assert folder.read_failure() == f"{folder.failure} cannot be read"
    assert progress_of(folder) is None


@pytest.mark.parametrize(
    "content", ["[" * 100_000, '{"format": NaN}', "[3]", "9" * 5000, '{"format": "\\u001b[31m"}'], ids=repr
)
def test_a_store_of_no_version_is_refused(tmp_path, content):
    (tmp_path / store.STORE).write_text(content)
    with pytest.raises(ValueError, match=r"^out: .*(is damaged|another version).*give another folder$") as told:
        store.check_store(tmp_path)
    assert str(told.value).isprintable()


def test_a_run_is_done_when_its_result_is_there(tmp_path):
    folder = RunFolder(tmp_path)
    (tmp_path / ".result.json.1.tmp").write_text("{")
    assert not folder.done
    folder.clear_leftovers()
    be_done(folder)
    assert folder.done
    assert folder.read_result() == json.loads(folder.result.read_text())
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]


def test_a_run_is_not_done_by_a_result_that_is_not_its_own(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.read_result() is None
    be_done(folder)
    whole = json.loads(folder.result.read_text())
    for change, why in [
        ({"run_id": "another"}, "is the result of run 'another'"),
        ({"config": {"exposures": 3}}, "has [2] exposures, where 3 are planned"),
        ({"rows": [{"exposures": 2}, {"exposures": 1}]}, "has [2, 1] exposures, where 2 are planned"),
        ({"rows": []}, "has [] exposures, where 2 are planned"),
        ({"rows": 3}, "is not the result of a run (its run_id, its exposures or its rows are missing)"),
        ({"config": None}, "is not the result of a run (its run_id, its exposures or its rows are missing)"),
    ]:
        folder.result.write_text(json.dumps(whole | change))
        assert not folder.done
        with pytest.raises(ValueError, match=r"^result\.json: ") as error:
            folder.read_result()
        assert str(error.value) == f"result.json: {folder.result} {why}; delete it to do the run again"
    for content, why in [
        ("", "Expecting value: line 1 column 1 (char 0)"),
        ("[" * 100_000, "it is nested too deeply"),
        *((content, "its run_id, its exposures or its rows are missing") for content in ("{}", "[]")),
    ]:
        folder.result.write_text(content)
        assert not folder.done
        with pytest.raises(ValueError, match=re.escape(f"is not the result of a run ({why}); delete it")):
            folder.read_result()
    folder.result.unlink()
    os.mkfifo(folder.result)
    assert not folder.done  # and does not wait for a writer
    with pytest.raises(ValueError, match=r"is not the result of a run \(Not a file\); delete it"):
        folder.read_result()


def test_metrics_that_are_not_whole_are_named(tmp_path):
    for name in "abc":
        run = RunFolder(tmp_path / name)
        run.path.mkdir()
        run.metrics.write_text("line\n")
        be_done(run)
        result = json.loads(run.result.read_text())
        files = {"metrics.jsonl": hashlib.sha256(b"line\n").hexdigest(), "model/none": ""}
        write_json(run.result, result | {"files": files, "records_lacking": 3 * (name == "c")})
    (tmp_path / "b" / "metrics.jsonl").write_text("li")
    assert holes(tmp_path) == [
        f"{tmp_path}/b/metrics.jsonl: is not the file that the run wrote; its learning curve may have holes",
        f"{tmp_path}/c/metrics.jsonl: lacks records, 3 of them; its learning curve has holes",
    ]
    for name in "abc":
        be_done(RunFolder(tmp_path / name))  # as an earlier version wrote them
    assert holes(tmp_path) == []


@pytest.mark.parametrize("name", ["store.json", "results.csv", "plots", "plots/law.png"])
def test_a_link_out_of_a_store_is_refused(tmp_path, name):
    out = tmp_path / "out"
    open_store(out)
    (out / "plots").mkdir()
    path = out / name
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=f"^out: {path} is a link to {tmp_path}/elsewhere, outside {out}; remove it$"):
        open_store(out)
    assert not (tmp_path / "elsewhere").exists()


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
    (out / "store.json").mkdir()
    with pytest.raises(ValueError, match=rf"^out: {out}/store.json is a folder, where a sweep has a file; give an"):
        open_store(out)
    (out / "store.json").rmdir()
    (out / "run").mkdir()
    (out / "run" / "config.yaml").touch()
    with pytest.raises(ValueError, match=rf"^out: {out} was written by an earlier version"):
        open_store(out)
