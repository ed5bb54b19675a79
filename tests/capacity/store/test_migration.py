"""Stores of format 2 become today's: the same runs and numbers under new ids; nothing is touched twice."""

import json

import pytest
import yaml

from basis.flags import UserError
from capacity.migrate import main
from capacity.spec.config import FORMAT
from capacity.spec.identity import run_id, stored
from capacity.store.folders import RunFolder, check_store, open_store
from capacity.store.migration import migrate, new_config
from capacity.store.records import load


def old_config(config):
    """What format 2 stored of a run: everything, defaults and what does not apply too."""
    content = config.model_dump(mode="json", exclude={"model"})
    training = {"embedding_lr": 0.1, "momentum": 0.9} | {k: v for k, v in content["training"].items() if v is not None}
    measure = {"quantize": ["int8", "int4-g8"], "quantize_embedding": False, "eval_people": 50_000}
    return content | {"training": training, "measure": measure, "format": 2}


@pytest.fixture
def old_store(tmp_path, prepare, do):
    """A sweep's folder as format 2 left it, with a finished run and one that has just begun."""
    done, begun = prepare("old", quantize=["rtn-int8", "rtn-int4-g8"]), prepare("old", people=39, quantize=[])
    assert do(done)
    out = tmp_path / "old"
    for number, folder in enumerate((done, begun)):
        config = old_config(folder.read_config())
        folder.config.write_text(yaml.safe_dump(config))
        if folder.done:
            result = json.loads(folder.result.read_text())
            for row in result["rows"]:
                row |= {"run_id": f"biod-old-{number}", "quantization": row["quantization"].removeprefix("rtn-")}
            result |= {"config": config, "run_id": f"biod-old-{number}"}
            folder.result.write_text(json.dumps(result))
        folder.path.rename(out / f"biod-old-{number}")
    (out / "store.json").write_text('{"format": 2}')
    return out


def test_a_store_is_refused_with_the_command_that_migrates_it(old_store):
    with pytest.raises(ValueError, match=f"capacity migrate {old_store}"):
        open_store(old_store)


def test_migrated_runs_have_the_ids_of_their_configurations_and_the_same_numbers(old_store, capsys):
    before = load(old_store)
    assert main([str(old_store)]) == 0
    assert "new ids for 2 runs" in capsys.readouterr().out
    check_store(old_store)
    folders = [RunFolder(path) for path in sorted(old_store.iterdir()) if path.is_dir()]
    for folder in folders:
        config = folder.read_config()
        assert folder.path.name == run_id(config)
        assert yaml.safe_load(folder.config.read_text()) == stored(config)
    after = load(old_store)
    assert list(after["quantization"]) == ["none", "rtn-int8", "rtn-int4-g8"]
    measured = ["loss_name", "loss_value", "bits", "bits_per_param", "stored_bits", "steps", "seed"]
    assert after[measured].equals(before[measured])
    assert set(after["run_id"]) == {folder.path.name for folder in folders if folder.done}


def test_a_migrated_store_is_left_alone(old_store):
    migrate(old_store)
    files = {path: path.read_bytes() for path in old_store.rglob("*") if path.is_file()}
    assert migrate(old_store) == (0, [])
    assert {path: path.read_bytes() for path in old_store.rglob("*") if path.is_file()} == files


def test_what_is_no_store_is_refused_in_a_line(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds no runs of an earlier version"):
        main([str(tmp_path)])
    (tmp_path / "store.json").write_text('{"format": 9}')
    with pytest.raises(UserError, match="has format 9; allowed is 2"):
        main([str(tmp_path)])
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("content", ["[]", "5", "", "measure:", "measure: []", "measure: {quantize: [[1]]}"])
def test_a_run_without_a_configuration_is_named(tmp_path, content):
    (tmp_path / "store.json").write_text('{"format": 2}')
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.yaml").write_text(content)
    with pytest.raises(ValueError, match=r"^config: that of old is not one of format 2 "):
        migrate(tmp_path)


def test_a_finished_run_has_its_schemes_by_their_full_names(plan_of):
    config = new_config(old_config(plan_of().config))
    assert config.measure.quantize == ("rtn-int8", "rtn-int4-g8")
    assert FORMAT == 3


def test_a_run_that_is_a_link_is_left_alone(old_store, tmp_path):
    run = old_store / "biod-old-1"
    run.rename(tmp_path / "elsewhere")
    run.symlink_to(tmp_path / "elsewhere")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=f"^out: {run} is a link to {tmp_path / 'elsewhere'}; remove it$"):
        migrate(old_store)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
