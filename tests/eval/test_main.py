"""`python -m eval`: what a run says of itself, in a fresh process; mistakes in one line each."""

import json
import shutil
import subprocess
import sys

import pytest
import yaml

from basis.flags import run_main
from biogen.folder import write_dataset
from eval.__main__ import changes_of, main


def said(text, rows):
    """Whether standard error holds a table of these rows, and a hint if nothing is known, and nothing else."""
    hint = "R = 0: nothing is known of these people; are they those that the model was trained on?"
    *table, last = text.splitlines()
    assert (last == hint) == (rows[0]["bits"] == 0)
    lines = {line.split()[0]: line.split() for line in [*table, last] if "." in line}
    for row in rows:
        assert lines[row["quantization"]][1] == f"{row['bits_per_param']:.3f}"
        assert lines[row["quantization"]][-1] == f"{row['stored_bits']:,}"
    heading = next(i for i, line in enumerate(table) if line.split()[:2] == ["quantization", "R"])
    return heading < 2 and "Error" not in text and "Warning" not in text


def test_a_fresh_process_measures_what_the_run_did(bios_run, rows_of):
    command = [sys.executable, "-m", "eval", bios_run.model, "--data", bios_run.path, "--quantize", "int4-g16"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    found, expected = json.loads(done.stdout), rows_of(bios_run)
    assert said(done.stderr, found)
    schemes = ["none", "rtn-int4-g16+embedding"]
    assert [row["quantization"] for row in found] == [row["quantization"] for row in expected] == schemes
    for ours, theirs in zip(expected, found, strict=True):
        assert theirs.pop("text_begins_with") == "<|endoftext|> <|biography|>"
        assert theirs.keys() <= ours.keys()
        for key, value in theirs.items():
            # A copy's weights are rounded, and a weight at the border of two integers may fall to either side.
            tolerance = 1e-4 if ours["quantization"] == "none" else 0.05
            exact = value is None or isinstance(value, str)
            assert value == (ours[key] if exact else pytest.approx(ours[key], rel=tolerance)), key
        assert theirs["params"] == ours["params"]
        assert theirs["stored_bits"] == ours["stored_bits"]
    assert found[0]["loss_name"] == pytest.approx(expected[0]["loss_name"], abs=1e-4)
    assert found[0]["loss_value"] == pytest.approx(expected[0]["loss_value"], abs=1e-4)
    assert "question_accuracy_held_out" in found[0]


def test_a_model_from_elsewhere(bios_run, foreign_model, tmp_path, capfd):
    config = yaml.safe_load(bios_run.config.read_text())
    config["data"] |= {"domain_token": False, "questions": "none"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    model = foreign_model()
    capfd.readouterr()  # transformers talks when it writes
    assert main([str(model), "--data", str(tmp_path), "--people", "9", "--quantize", "bf16"]) == 0
    printed = capfd.readouterr()
    row, quantized = json.loads(printed.out)
    assert said(printed.err, [row, quantized])
    assert row["stored_bits"] == 32 * row["params"]  # not of rows that no token uses
    assert quantized["quantized_weights"] == row["params"] - (13 + 2) * 16  # but biases and norms
    assert row["people_measured"] == 9
    assert row["qa_greedy_agreement"] == 1
    assert row["bits"] == 0  # it has seen nothing


def test_the_people_of_a_data_set_on_disk(biod_run, rows_of, tmp_path, capfd):
    write_dataset(biod_run.read_config().data, None, tmp_path)
    assert main([str(biod_run.model), "--data", str(tmp_path)]) == 0
    printed = capfd.readouterr()
    (row,) = json.loads(printed.out)
    assert row["loss_value"] == pytest.approx(rows_of(biod_run)[0]["loss_value"], abs=1e-4)
    assert row["bits"] > 0
    assert said(printed.err, [row])


def test_a_model_that_is_no_longer_the_one_that_was_measured(biod_run, tmp_path, capfd):
    run = tmp_path / "run"
    shutil.copytree(biod_run.path, run)
    assert changes_of(run / "model") == []
    tokenizer = run / "model" / "tokenizer_config.json"
    tokenizer.write_text(tokenizer.read_text() + "\n")
    assert main([str(run / "model"), "--data", str(run), "--people", "2"]) == 0
    warning = "warning: model/tokenizer_config.json is not the file that result.json is about; it has changed since"
    assert warning in capfd.readouterr().err.splitlines()
    for content in ("", "[]", '{"files": 3}', '{"rows": []}'):  # damaged, or of an earlier version
        (run / "result.json").write_text(content)
        assert changes_of(run / "model") == []
    (run / "result.json").unlink()
    assert changes_of(run / "model") == []


def test_the_people_of_another_seed(biod_run, tmp_path, capfd):
    data = biod_run.read_config().data
    write_dataset(data.model_copy(update={"seed": data.seed + 1}), None, tmp_path)
    assert main([str(biod_run.model), "--data", str(tmp_path)]) == 0
    printed = capfd.readouterr()
    (row,) = json.loads(printed.out)
    assert said(printed.err, [row])
    assert row["bits"] < 0.1 * row["max_bits"]


def refused(arguments, capfd):
    """The lines on standard error of a command that must end with exit code 2."""
    with pytest.raises(SystemExit) as ended:
        run_main(lambda: main([str(argument) for argument in arguments]))
    printed = capfd.readouterr()
    assert ended.value.code == 2
    assert printed.out == ""
    return printed.err.splitlines()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"--quantize": "int9"}, "quantize: 'int9' is not allowed; must be one of none, bf16"),
        ({"--quantize": "int4-g5"}, "quantize: rtn-int4-g5+embedding is not allowed; groups must divide"),
        ({"--people": "1"}, "people: '1' is not allowed"),
        ({"--device": "abacus"}, "device: 'abacus' is not here"),
        ({"--device": "meta"}, "device: 'meta' is not here"),
        ({"--model": "m" * 5000}, "model: 'mmm"),
        ({"--model": ""}, "model: '' is not allowed; must be a path"),
        ({"--peopel": "9"}, "--peopel: is not a flag; did you mean --people?"),
        ({"--model": None}, "model: is required"),
        ({"--data": None}, "data: is required"),
        ({"--data": "/nowhere"}, "data: /nowhere is not a folder"),
        ({"--model": "{tmp}"}, "model: '{tmp}' cannot be loaded"),
        ({"--model": "{tmp}/none/such"}, "model: '{tmp}/none/such' is not a folder"),
        ({"--model": "{run}"}, "model: '{run}' has no config.json; did you mean {run}/model?"),
    ],
)
def test_a_mistake_is_one_line(biod_run, tmp_path, capfd, change, expected):
    given = {"--model": biod_run.model, "--data": biod_run.path} | change
    flags = [text for flag, value in given.items() if value is not None for text in (flag, value)]
    names = {"tmp": tmp_path, "run": biod_run.path}
    (line,) = refused([str(flag).format(**names) for flag in flags], capfd)
    assert line.startswith("error: " + expected.format(**names))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[]", "config: "),
        ("{", "config: "),
        ("people: 3", "has no key data"),
        ("data: 3", "has no key data"),
        ("data: {people: 0, sexes: 2}", "people"),
    ],
)
def test_data_that_cannot_be_read(biod_run, tmp_path, capfd, content, expected):
    (tmp_path / "config.yaml").write_text(content)
    lines = refused([biod_run.model, "--data", tmp_path], capfd)
    assert all(line.startswith("error: ") for line in lines)
    assert expected in lines[0]
    assert len(lines) == (2 if "sexes" in content else 1)


def test_data_that_the_tokenizer_does_not_know(biod_run, bios_run, capfd):
    (line,) = refused([biod_run.model, "--data", bios_run.path], capfd)
    assert line.startswith("error: tokenizer: ")
