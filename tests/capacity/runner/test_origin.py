"""A run goes on only where it is itself: its config, its checkpoint, and the content of what its options name."""

import json
import os
import random
import shutil

import pytest
import torch

from biogen.config import DataConfig
from biogen.dataset import make_dataset
from capacity.runner.run_in_folder import Run
from capacity.runner.worker import main
from capacity.store.folders import FAILED
from tests.capacity.conftest import BIOS, metrics_of
from tests.capacity.runner.conftest import alike
from train.checkpoint import read_checkpoint, write_checkpoint

CPU = torch.device("cpu")


def altered(folder, change):
    """Change the record of the newest checkpoint of a run."""
    path = folder.checkpoints.paths[-1]
    checkpoint = read_checkpoint(path)
    write_checkpoint(path, checkpoint.tensors, change(checkpoint.record))


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("begun", [False, True])
def test_the_config_of_another_run_is_refused(prepare, do, capfd, begun):
    folder, other = prepare(), prepare(exposures=2)
    if begun:
        assert not do(folder, steps=2)
    shutil.copy(other.config, folder.config)
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    assert main([str(folder.path)]) == FAILED
    reason = f"config.yaml: {folder.config} is that of run {other.path.name}; must be that of {folder.path.name}"
    assert folder.read_failure() == reason
    assert capfd.readouterr().err == f"error: {reason}\n"
    assert {path: path.read_bytes() for path in before} == before
    assert not folder.done


@pytest.mark.usefixtures("handlers")
def test_the_result_of_another_run_is_refused_and_kept(prepare, do):
    folder, other = prepare(), prepare(exposures=1)
    assert do(other)
    shutil.copy(other.result, folder.result)
    assert main([str(folder.path)]) == FAILED
    assert folder.read_failure().endswith(f"is the result of run '{other.path.name}'; delete it to do the run again")
    assert folder.result.read_bytes() == other.result.read_bytes()
    folder.result.unlink()
    assert main([str(folder.path)]) == 0
    assert folder.done


def test_the_checkpoint_of_another_run_is_refused(prepare, do):
    folder, other = prepare(), prepare(seeds=1)
    assert not do(other, steps=2)
    shutil.copytree(other.checkpoints.folder, folder.checkpoints.folder)
    with pytest.raises(
        ValueError, match=f"^checkpoint: {folder.checkpoints.folder} is of run '{other.path.name}'; must"
    ):
        Run(folder, CPU)
    assert len(folder.checkpoints.paths) == 1
    altered(folder, lambda record: record | {"run_id": folder.path.name})  # people of another seed
    with pytest.raises(ValueError, match=r"the texts \(pools, sentences, people\) changed since; undo that, or delete"):
        Run(folder, CPU)


def test_a_checkpoint_without_a_fingerprint_is_of_an_earlier_version(prepare, do):
    folder = prepare()
    assert not do(folder, steps=2)
    altered(folder, lambda record: {key: value for key, value in record.items() if key != "fingerprint"})
    with pytest.raises(ValueError, match="it is of an earlier version of this project; undo that, or delete it"):
        Run(folder, CPU)


def test_a_training_that_ended_too_early_has_no_result(prepare, do):
    folder = prepare()
    run = Run(folder, CPU)
    run.trainer.step = lambda batch, step=run.trainer.step: [step(batch), setattr(run.trainer, "exposures", 3.0)][0]
    with pytest.raises(ValueError, match=r"^exposures: the training ended at 3.0 of 4$"):
        run.go(lambda: False)
    assert not folder.result.exists()


@pytest.fixture
def tokenizer(tmp_path):
    """A folder with the words of the small bioS, and a function that gives them other numbers."""
    folder = tmp_path / "tokenizer"
    names = ("pools", "templates", "tokenizer")
    make_dataset(DataConfig(people=90, **{name: BIOS[name] for name in names})).tokenizer.save_pretrained(folder)

    def shuffle():
        file = folder / "tokenizer.json"
        content = json.loads(file.read_text())
        words = content["model"]["vocab"]
        others = [word for word in words if not word.startswith("<|")]
        numbers = [words[word] for word in others]
        random.Random(0).shuffle(numbers)
        content["model"]["vocab"] = words | dict(zip(others, numbers, strict=True))
        file.write_text(json.dumps(content))

    return folder, shuffle


def test_a_tokenizer_that_changed_is_refused(prepare, do, rows_of, tmp_path, tokenizer):
    folder, shuffle = tokenizer
    whole, parts = (prepare(at, dataset="bios", tokenizer=str(folder)) for at in ("whole", "parts"))
    assert do(whole)
    assert not do(parts, steps=2)
    shutil.copytree(folder, tmp_path / "kept")
    shuffle()
    with pytest.raises(ValueError, match=f"the tokenizer '{folder}' changed since; undo that, or delete it to train"):
        Run(parts, CPU)
    shutil.rmtree(folder)
    (tmp_path / "kept").rename(folder)
    assert do(parts)
    alike(whole, parts, rows_of)


def test_no_training_with_another_tokenizer_is_taken_over(prepare, do, capfd, tokenizer):
    folder, shuffle = tokenizer
    first, second = (prepare(dataset="bios", tokenizer=str(folder), quantize=scheme) for scheme in ("int8", "int4"))
    assert do(first)
    shuffle()
    assert do(second)
    told = capfd.readouterr().err
    assert f"warning: {first.path.name}: the tokenizer '{folder}' changed since; its training is not taken over" in told
    assert "training_of" not in json.loads(second.result.read_text())["provenance"]


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_finished_model_that_changed_is_told_and_not_measured_again(prepare, do, rows_of, capfd, name):
    alone, first, second = prepare("alone", quantize="int8"), prepare(), prepare(quantize="int8")
    assert do(alone)
    assert do(first)
    content = bytearray((first.model / name).read_bytes())
    content[-2] ^= 1  # another weight, or another bracket
    (first.model / name).write_bytes(content)
    assert do(second)
    assert f"warning: {first.path.name}: model/{name} is not the file that was measured" in capfd.readouterr().err
    alike(alone, second, rows_of)


def test_a_result_names_its_files_and_content(prepare, do):
    folder = prepare()
    assert do(folder)
    result = json.loads(folder.result.read_text())
    assert result["fingerprint"].keys() == {"texts", "tokens"}
    model = {f"model/{path.name}" for path in folder.model.iterdir()}
    assert result["files"].keys() == {*model, "metrics.jsonl"}
    assert result["records_lacking"] == 0
    assert folder.changed(result, "") == []


@pytest.mark.parametrize("length", [0, 300, 1000])
def test_metrics_of_another_copy_are_told(prepare, do, rows_of, capfd, length):
    """As after `rsync`: the checkpoint is of one copy of the run, the metrics of another that was less far."""
    whole, folder = prepare("whole"), prepare()
    assert do(whole)
    assert not do(folder, steps=8)
    content = folder.metrics.read_bytes()
    folder.metrics.write_bytes(content[:length])
    there = content[:length].count(b"\n")
    lacking = content.count(b"\n") - there
    assert do(folder)
    told = f"is not the file of the checkpoint (were folders merged?); records lacking up to 2.7 exposures: {lacking}\n"
    assert capfd.readouterr().err == f"warning: {folder.metrics} {told}"
    assert json.loads(folder.result.read_text())["records_lacking"] == lacking
    lines = metrics_of(whole.path)
    assert metrics_of(folder.path) == lines[:there] + lines[there + lacking :]
    assert rows_of(folder)[0] | {"seconds": 0} == rows_of(whole)[0] | {"seconds": 0}


def test_a_backup_of_hard_links_stays_as_it_is(prepare, do, tmp_path):
    folder = prepare()
    assert not do(folder, steps=2)
    backup = tmp_path / "backup"
    shutil.copytree(folder.path, backup, copy_function=os.link)
    before = {path: path.read_bytes() for path in backup.rglob("*") if path.is_file()}
    assert do(folder)
    assert {path: path.read_bytes() for path in backup.rglob("*") if path.is_file()} == before


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize(
    "name", ["metrics.jsonl", ".heartbeat.json.1.tmp", "checkpoints", ".model.tmp", "model", "config.yaml", "."]
)
def test_a_link_that_leads_out_of_a_run_is_refused(prepare, capfd, tmp_path, name):
    folder, elsewhere = prepare(), tmp_path / "elsewhere"
    path = folder.path / name
    if name == ".":
        folder.path.rename(elsewhere)
    else:
        elsewhere.mkdir()
        path.unlink(missing_ok=True)
    path.symlink_to(elsewhere)
    before = sorted(elsewhere.rglob("*"))
    assert main([str(folder.path)]) == FAILED
    assert capfd.readouterr().err.startswith(f"error: out: {path} is a link to {elsewhere}")
    assert sorted(elsewhere.rglob("*")) == before
