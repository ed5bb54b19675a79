"""Fine-tuning by adapters: it begins at the model, learns answers about the first half, and leaves the model alone."""

import numpy as np
import pytest
import torch

from biogen.config import DataConfig
from biogen.dataset import make_dataset
from biogen.windows import Batches
from eval import lora
from eval.lora import adapt, check_peft, lora_record, rate
from eval.source import OwnTokens
from train.architectures.gpt2 import GPT2
from train.head import IGNORE
from train.inference import Inference
from train.sizes import parse_size

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def source(bios):
    """BioS of seven people, whose questions come after the training."""
    return OwnTokens(make_dataset(DataConfig(**bios.config.model_dump() | {"questions": "lora", "people": 7})))


@pytest.fixture
def model(source):
    model = GPT2(parse_size("1x32"), source.dataset.tokenizer.vocab)
    model.initialize("width", seed=0)
    return model


def test_batches_ask_the_first_half_for_everything_and_score_answers_alone(source, monkeypatch):
    monkeypatch.setattr(lora, "BATCH", 10)
    batches = lora._batches(source)
    first = [next(batches) for _ in range(2)]  # 3 people, 6 attributes
    assert [len(inputs) for inputs, _ in first] == [10, 8]
    expected = sorted(
        (tuple(question), tuple(answer))
        for number in range(6)
        for question, answer in zip(*source.ask(np.arange(3), 0, number), strict=True)
    )
    found = []
    for inputs, targets in first:
        for row, wanted in zip(inputs, targets, strict=True):
            places = np.flatnonzero(wanted != IGNORE)
            found.append((tuple(row[: places[0] + 1]), tuple(wanted[places])))
    assert sorted(found) == expected


def test_the_training_text_has_no_questions(source):
    rows = sum(len(batch.inputs) for batch in Batches(source.dataset, layout="rows", context=512, batch=4, exposures=2))
    assert rows == 2 * 7


def test_without_peft_it_is_refused(monkeypatch):
    monkeypatch.setattr(lora, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"^questions: lora needs peft; must be none or half"):
        check_peft()


def test_adapters_begin_at_the_model_and_alone_are_trained(model):
    pytest.importorskip("peft")
    adapted = adapt(model, rank=2, seed=0)
    trainable = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert trainable
    assert all("lora_" in name for name in trainable)
    tokens = torch.arange(12).view(2, 6)
    model.eval(), adapted.eval()
    torch.testing.assert_close(adapted(tokens), model(tokens))


def test_it_learns_answers_and_leaves_the_model_as_it_is(source, model, monkeypatch):
    pytest.importorskip("peft")
    monkeypatch.setattr(lora, "RANKS", (16, 32))
    monkeypatch.setattr(lora, "STEPS", 80)
    before = [parameter.clone() for parameter in model.parameters()]
    record = lora_record(model, lambda copy: Inference(copy, CPU), source, CPU)
    assert all(map(torch.equal, before, model.parameters()))
    assert record["question_accuracy_trained"] > 0.5
    assert record["question_accuracy_held_out"] == record[f"question_accuracy_held_out_rank{record['lora_rank']}"]
    assert {"question_accuracy_held_out_rank16", "question_accuracy_held_out_rank32"} < record.keys()


def test_narrow_models_alone_have_another_rate_than_the_papers():
    assert (rate(127), rate(128)) == (0.02, 0.001)
