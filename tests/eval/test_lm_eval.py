"""lm-evaluation-harness, on the tasks beside a data set, finds the accuracies of our own records to the digit."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, processors
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

import eval
from biogen.config import EVALUATION
from biogen.dataset import make_dataset
from biogen.folder import write_dataset
from biogen.lm_eval import task_name
from eval.hf import load
from eval.measuring import read_data
from tests.eval.conftest import BIOS

pytest.importorskip("lm_eval", reason="lm-eval is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # what another library warns of is not ours
HALVES = ("trained", "held_out")


def harness(model, tokenizer, folder: Path, *names: str) -> dict[str, float]:
    """What the harness prints for tasks and groups."""
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    loaded = TaskManager(include_path=str(folder), include_defaults=False).load(list(names))
    reader = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=16, device="cpu")
    found = evaluate(reader, loaded, bootstrap_iters=0, log_samples=False)
    return {name: metrics["acc,none"] for name, metrics in (found["results"] | found.get("groups", {})).items()}


def ours(record, title: str) -> dict[str, float]:
    """The accuracies of a record under the names of the tasks that ask for them."""
    asked = [name.removeprefix("qa_accuracy_") for name in record if name.startswith("qa_accuracy_")]
    accuracies = {title: record["qa_accuracy"]} | {f"{title}_{name}": record[f"qa_accuracy_{name}"] for name in asked}
    for half in HALVES if "question_accuracy_trained" in record else ():
        key = f"question_accuracy_{half}"
        accuracies[f"{title}_questions_{half}"] = record[key]
        accuracies |= {f"{title}_questions_{half}_{name}": record[f"{key}_{name}"] for name in asked}
    return accuracies


@pytest.fixture(scope="module")
def asked_run(finished_run):
    """Questions about half of the people, and a domain token."""
    options = {name: value for name, value in BIOS.items() if name != "seed"}
    options |= {"seeds": BIOS["seed"], "questions": "half", "domain_token": True, "quantize": "none"}
    return finished_run(**options, exposures=150)


@pytest.mark.parametrize("which", ["asked_run", "biod_run"])
def test_a_runs_accuracies_are_found_wherever_the_folder_is(which, request, tmp_path, monkeypatch):
    run = request.getfixturevalue(which)
    config = read_data(run.path)
    write_dataset(config, None, tmp_path / "people")
    os.rename(tmp_path / "people", tmp_path / "moved")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    model, tokenizer = load(str(run.model))
    (record,) = eval.measure(model, tokenizer, tmp_path / "moved")
    title, dataset = task_name(config), make_dataset(config)
    wanted = ours(record, title)
    groups = [title, *(f"{title}_questions_{half}" for half in HALVES if dataset.questions)]
    apart = [f"{title}_{name}" for name in dataset.qa_roles if name not in dataset.value_roles]
    found = harness(model, tokenizer, tmp_path / "moved" / "lm_eval", *groups, *apart)
    assert found == pytest.approx(wanted, abs=1e-12)
    assert len({value for value in found.values() if 0 < value < 1}) > 1, "the model knows all, or nothing"


@pytest.fixture(scope="module")
def begins(foreign_tokenizer):
    """Somebody else's tokenizer that puts a token of its own before a text."""
    backend = Tokenizer.from_str(foreign_tokenizer.backend_tokenizer.to_str())
    backend.post_processor = processors.TemplateProcessing("<unused> $0", special_tokens=[("<unused>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", bos_token="<unused>")


def test_a_model_of_ones_own_whose_tokenizer_begins_the_texts(bios, begins, tmp_path):
    write_dataset(bios.config, None, tmp_path / "people")
    torch.manual_seed(0)
    shape = {"n_positions": 256, "n_embd": 32, "n_layer": 1, "n_head": 2}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(begins), bos_token_id=1, eos_token_id=0, **shape))
    texts = [bios.pieces.render(row)[0] for row in bios.outlines(np.arange(30), EVALUATION)]
    rows = [torch.tensor(begins.encode(text)) for text in texts]
    inputs = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    labels = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(80):
        model(inputs, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    (record,) = eval.measure(model.eval(), begins, tmp_path / "people")
    assert record["text_begins_with"] == "<unused>"
    found = harness(model, begins, tmp_path / "people" / "lm_eval", "bios_n30_bos")
    wanted = ours(record, "bios_n30") | {"bios_n30_bos": record["qa_accuracy"]}
    del wanted["bios_n30"], wanted["bios_n30_company_city"]
    assert found == pytest.approx(wanted, abs=1e-12)
    assert 0.1 < found["bios_n30_bos"] < 0.9
