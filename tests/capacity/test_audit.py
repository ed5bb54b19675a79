"""The audit: published numbers follow from their records, and each one that is changed is found."""

import copy
import json
import shutil
from pathlib import Path

import pytest

import capacity.results
from capacity import audit
from capacity.report.page.people import Asked, people_of
from capacity.store.audit import wrong_in, wrong_in_record
from capacity.store.parquet import RECORDS, write_records
from capacity.store.records import load
from capacity.store.sources import records_in
from capacity.store.trained import open_run

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture(scope="module")
def records():
    return {folder: [record for _, record in records_in(RESULTS / folder)] for folder in ("laptop", "biod-300")}


def test_every_published_number_follows_from_its_record():
    """Documents have a test of their own, in test_results.py."""
    assert audit.all_wrong(audit.folders_in(RESULTS), documents=False) == []


def of_row(name, change):
    def tamper(record):
        record["rows"][0][name] = change(record["rows"][0][name])

    return tamper


def of_quantized(name, change):
    def tamper(record):
        record["rows"][1][name] = change(record["rows"][1][name])

    return tamper


def set_commit(record):
    record["provenance"]["commit"] = "0123456789ab"


def set_dirty(record):
    record["provenance"]["commit"] += "+"


def set_id(record):
    record["run_id"] = record["run_id"][:-1] + ("0" if record["run_id"][-1] != "0" else "1")
    for row in record["rows"]:
        row["run_id"] = record["run_id"]


def set_rate(record):
    record["config"]["training"]["lr"] *= 2


TAMPERED = [
    (of_row("loss_name", lambda loss: loss - 0.01), "bits"),
    (of_row("loss_value", lambda loss: loss - 0.01), "bits"),
    (of_row("loss_value", lambda loss: loss - 0.01), "loss_value"),
    (of_row("bits", lambda bits: bits + 1), "bits"),
    (of_row("max_bits", lambda bits: bits + 1), "max_bits"),
    (of_row("bits_per_param", lambda R: R + 0.001), "bits_per_param"),
    (of_quantized("bits_per_param", lambda R: R + 0.001), "bits_per_param of "),
    (of_row("bits_per_param_low", lambda R: R + 1), "bits_per_param_low"),
    (of_row("params", lambda P: P - 1), "params"),
    (of_row("params_mlp", lambda P: P - 1), "params_mlp"),
    (of_row("vocab", lambda vocab: vocab + 1), "params"),
    (of_row("people", lambda people: people + 1), "people"),
    (of_row("exposures", lambda exposures: exposures + 1), "exposures"),
    (of_row("seed", lambda seed: seed + 1), "seed"),
    (set_id, "run_id"),
    (set_rate, "run_id"),
]


@pytest.mark.parametrize("folder", ["laptop", "biod-300"])
@pytest.mark.parametrize(("tamper", "field"), TAMPERED)
def test_a_changed_number_is_found(records, folder, tamper, field):
    record = copy.deepcopy(records[folder][0])
    assert list(wrong_in_record(record)) == []
    tamper(record)
    assert any(name == field or (field[-1] == " " and name.startswith(field)) for name, *_ in wrong_in_record(record))


@pytest.mark.parametrize("tamper", [set_commit, set_dirty])
def test_a_commit_that_never_was_is_found(records, monkeypatch, tamper):
    record = copy.deepcopy(records["laptop"][0])
    known = record["provenance"]["commit"]
    monkeypatch.setattr("capacity.store.audit._history", lambda: {known[:7]: [known.ljust(40, "0")]})
    assert list(wrong_in_record(record)) == []
    tamper(record)
    ((name, found, _),) = wrong_in_record(record)
    assert (name, found) == ("commit", record["provenance"]["commit"])
    monkeypatch.setattr("capacity.store.audit._history", lambda: None)  # as in an archive without git
    assert list(wrong_in_record(record)) == []


def test_the_command_says_file_run_and_field(records, tmp_path, capsys):
    changed = copy.deepcopy(records["laptop"])
    changed[1]["rows"][0]["bits"] += 1
    folder = tmp_path / "laptop"
    folder.mkdir()
    write_records(changed, folder / RECORDS)
    assert audit.main([str(tmp_path)]) == 1
    line, last = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{folder / RECORDS}: {changed[1]['run_id']}: bits: ")
    assert last == "1 folder of results: 1 failures."
    write_records(records["laptop"], folder / RECORDS)
    assert audit.main([str(folder)]) == 0
    assert capsys.readouterr().out == "1 folder of results: every number follows from its record.\n"


def test_a_number_of_a_document_is_found(tmp_path, monkeypatch):
    honest = (RESULTS.parent / "README.md").read_text()
    readme = tmp_path / "README.md"
    monkeypatch.setattr(capacity.results, "documents", lambda: [(readme, honest)])
    assert audit.wrong_documents() == [f"{readme}: is missing; make results writes it"]
    readme.write_text(honest)
    assert audit.wrong_documents() == []
    number = next(line for line in honest.splitlines() if line.startswith("| 2x48x2 | 88,464 | 4,000 |"))
    readme.write_text(honest.replace(number, number.replace("1.062", "1.162")))
    (line,) = audit.wrong_documents()
    assert line.startswith(f"{readme}: line {honest.splitlines().index(number) + 1}: ")
    assert "1.162" in line


def test_a_folder_without_results_is_a_mistake(tmp_path):
    with pytest.raises(Exception, match=r"has no records"):
        audit.main([str(tmp_path)])


def test_weights_that_are_kept_are_those_that_were_proved(prepare, do, tmp_path, capsys):
    from capacity.publish import main as publish

    folder = prepare(exposures=60, people=30, lr=0.02, quantize=["int8"])
    assert do(folder)
    out = tmp_path / "published"
    assert publish([str(out), str(folder.path.parent), "--weights", "nobody"]) == 2
    assert "weights: no store has run 'nobody'" in capsys.readouterr().err
    assert not out.exists()
    assert publish([str(out), str(folder.path.parent), "--weights", "best"]) == 0
    assert f"{folder.path.name}: R = " in capsys.readouterr().out
    kept = out / "weights" / folder.path.name
    names = {path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file()}
    model = {"config.json", "int8.safetensors", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert names == {
        "config.yaml",
        "result.json",
        "proof.json",
        "proof-int8.json",
        *(f"model/{name}" for name in model),
    }
    assert [line for line in wrong_in(out) if ": commit: " not in line] == []
    assert open_run(out).name == folder.path.name
    assert people_of(load(out), [out], Asked(people=3))["runs"][0]["id"] == folder.path.name
    proof = json.loads((kept / "proof.json").read_text())
    for field, value in (("bits_per_param", proof["bits_per_param"] * 1.1), ("code_bits", 1), ("params", 1)):
        (kept / "proof.json").write_text(json.dumps(proof | {field: value}))
        assert any(f"proof.json: {field}: " in line for line in wrong_in(out)), field
    (kept / "proof.json").write_text(json.dumps(proof))
    with (kept / "model" / "int8.safetensors").open("ab") as file:
        file.write(b"\0")
    assert any("'model/int8.safetensors'" in line or "'int8.safetensors'" in line for line in wrong_in(out))
    shutil.rmtree(kept / "model")
    assert any("model.safetensors" in line for line in wrong_in(out))
