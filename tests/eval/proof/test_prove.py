"""`python -m eval.prove` and `python -m eval.decode`: in two processes; mistakes in one line each."""

import json
import shutil
import subprocess
import sys

import pytest

from basis.flags import UserError, run_main
from eval import prove
from eval.decode import main as decode
from eval.hf import load
from eval.proof.packed import write_packed


def test_another_process_decodes_a_run(biod_run, tmp_path, capfd):
    run = tmp_path / "run"
    shutil.copytree(biod_run.path, run)
    assert prove.main([str(run), "--batch", "16"]) == 0
    said = capfd.readouterr().out
    proof = json.loads((run / "proof" / "proof.json").read_text())
    assert f"{proof['fields']:,} fields of 30 people, 0 of them wrong." in said
    assert proof["sha256"] in said
    assert proof["fields"] == 30 * 4
    row = json.loads(biod_run.result.read_text())["rows"][0]
    assert proof["params"] == row["params"]
    assert proof["bits_per_param_estimated"] == pytest.approx(row["bits_per_param"], rel=1e-4)
    assert decode([str(run), "--code", str(run / "proof" / "people.code"), "--batch", "4"]) == 0
    people = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert people[0].keys() == {"name", "a0", "a1", "a2"}

    with pytest.raises(SystemExit) as ended:
        run_main(lambda: decode([str(run), "--code", str(run / "config.yaml")]))
    assert ended.value.code == 2
    assert capfd.readouterr().err.startswith("error: code: it is no code of people; must be a file of eval.prove")


def test_people_that_were_changed_are_found(biod_run, tmp_path, monkeypatch, capfd):
    """As if the other process had read a value that nobody has; nothing is written."""
    honest = prove.read_along_elsewhere

    def tampered(*arguments):
        people = honest(*arguments)
        people[3]["a1"] = people[3]["a1"][::-1]
        return people

    monkeypatch.setattr(prove, "read_along_elsewhere", tampered)
    assert prove.main([str(biod_run.model), "--data", str(biod_run.path), "--out", str(tmp_path / "out")]) == 1
    assert capfd.readouterr().err.startswith("error: not proved: person 3: a1 is ")
    assert not (tmp_path / "out").exists()


def test_a_model_that_has_changed_since_its_run_is_not_proved(biod_run, tmp_path):
    shutil.copytree(biod_run.path, tmp_path / "run")
    (tmp_path / "run" / "proof").mkdir()
    (tmp_path / "run" / "proof" / "proof.json").write_text("{}")
    weights = tmp_path / "run" / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors is not the file that result.json is about"):
        prove.main([str(tmp_path / "run")])
    assert [path.name for path in (tmp_path / "run" / "proof").iterdir()] == ["proof.json"]
    assert (tmp_path / "run" / "proof" / "proof.json").read_text() == "{}"


def test_weights_of_eight_bits(biod_run, tmp_path, monkeypatch, rows_of):
    shutil.copytree(biod_run.path, tmp_path / "run")
    model, _ = load(str(biod_run.model))
    write_packed(model, tmp_path / "run" / "model" / "int8.safetensors")
    options = prove.Options(model=str(tmp_path / "run"), weights="int8")
    proof = prove.prove(options)
    assert (tmp_path / "run" / "proof-int8" / "people.code").is_file()
    row = next(row for row in rows_of(biod_run) if row["quantization"] == "rtn-int8+embedding")
    assert proof["bits_per_param_estimated"] == pytest.approx(row["bits_per_param"], rel=1e-4)
    assert proof["fields_wrong"] == 0
    size = (tmp_path / "run" / "model" / "int8.safetensors").stat().st_size
    assert size < 0.6 * (biod_run.model / "model.safetensors").stat().st_size  # of so small a model, with its header


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["/nowhere/at/all", "--data", "{run}"], "model: '/nowhere/at/all' is not a folder"),
        (["{run}/model", "--data", "/nowhere"], "data: /nowhere is not a folder"),
        (["{tmp}"], "data: is required"),
        (["{run}", "--weights", "int4"], "weights: 'int4' is not allowed"),
        (["{run}", "--weights", "int8"], "weights: {run}/model/int8.safetensors cannot be read"),
        (["{run}", "--batch", "0"], "batch: '0' is not allowed"),
        ([], "model: is required"),
    ],
)
def test_a_mistake_is_one_line(biod_run, tmp_path, monkeypatch, capfd, arguments, expected):
    monkeypatch.chdir(tmp_path)
    names = {"run": biod_run.path, "tmp": tmp_path}
    with pytest.raises(SystemExit) as ended:
        run_main(lambda: prove.main([word.format(**names) for word in arguments]))
    assert ended.value.code == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: " + expected.format(**names))
    assert list(tmp_path.iterdir()) == []
    assert not (biod_run.path / "proof").exists()


def test_an_unknown_model_in_a_fresh_process(tmp_path):
    command = [sys.executable, "-m", "eval.prove", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
