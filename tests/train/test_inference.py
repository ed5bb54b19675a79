"""What the evaluation reads of a model is what the model computes, however rows are padded."""

import numpy as np
import pytest
import torch

from train.architectures.gpt2 import GPT2
from train.head import IGNORE
from train.inference import Inference
from train.sizes import parse_size

VOCAB = 23


@pytest.fixture
def model():
    model = GPT2(parse_size("2x16"), VOCAB)
    model.initialize("width", seed=0)
    model.embedding.weight.data *= 5
    return model


@pytest.fixture
def reader(model):
    return Inference(model, torch.device("cpu"))


def draw(*shape):
    return np.random.default_rng(0).integers(0, VOCAB, shape)


def logits_of(model, inputs):
    with torch.no_grad():
        return model(torch.tensor(inputs)) @ model.embedding.weight.T


def test_losses_and_likeliest_tokens_are_those_of_the_logits(model, reader):
    inputs, targets = draw(4, 9), draw(4, 10)[:, 1:]
    logits = logits_of(model, inputs)
    targets[0] = logits[0].argmax(-1)
    targets[1, 3:] = IGNORE
    nats, correct = reader.score(inputs, targets)
    chosen = torch.tensor(targets).clamp_min(0)[..., None]
    expected = -torch.log_softmax(logits.double(), -1).gather(-1, chosen)[..., 0].numpy()
    np.testing.assert_allclose(nats, np.where(targets == IGNORE, 0, expected), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(correct, logits.argmax(-1).numpy() == targets)
    assert correct[0].all()
    assert not correct[1, 3:].any()
    assert (nats >= 0).all()


def test_next_tokens_are_the_likeliest_behind_each_rows_end(model, reader):
    inputs, lengths = draw(5, 8), np.array([1, 8, 3, 5, 2])
    expected = logits_of(model, inputs).argmax(-1).numpy()[np.arange(5), lengths - 1]
    np.testing.assert_array_equal(reader.next_tokens(inputs, lengths), expected)


def test_padding_changes_nothing(reader):
    inputs, targets = draw(3, 6), draw(3, 6)
    padded = np.pad(inputs, ((0, 0), (0, 5)))
    ignored = np.pad(targets, ((0, 0), (0, 5)), constant_values=IGNORE)
    nats, correct = reader.score(inputs, targets)
    padded_nats, padded_correct = reader.score(padded, ignored)
    np.testing.assert_allclose(padded_nats[:, :6], nats, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(padded_correct[:, :6], correct)
    assert (padded_nats[:, 6:] == 0).all()
    lengths = np.full(3, 6)
    np.testing.assert_array_equal(reader.next_tokens(padded, lengths), reader.next_tokens(inputs, lengths))


def test_decoding_meets_the_forced_likeliest_tokens(reader):
    rows = draw(3, 7)
    for length in range(1, 7):
        likeliest = reader.next_tokens(rows, np.full(3, length))
        _, correct = reader.score(rows[:, :-1], rows[:, 1:])
        np.testing.assert_array_equal(correct[:, length - 1], likeliest == rows[:, length])


def test_reading_changes_nothing(model, reader):
    before = {name: p.clone() for name, p in model.named_parameters()}
    reader.score(draw(2, 3), draw(2, 3))
    reader.next_tokens(draw(2, 3), np.array([1, 2]))
    assert all(torch.equal(p, before[name]) and p.grad is None for name, p in model.named_parameters())
