"""A batch taken in parts, or compiled for a few lengths, trains as it would whole."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.train.test_loop import SETTINGS, VOCAB, Rows
from train import loop
from train.architectures.gpt2 import GPT2
from train.loop import Trainer
from train.sizes import parse_size


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_batch_in_parts_is_the_same_batch(monkeypatch, optimizer):
    """Gradients of parts add up to those of the whole, however targets are spread over them."""
    rng = np.random.default_rng(0)
    inputs, targets = rng.integers(0, VOCAB, (2, 7, 12), dtype=np.int32)
    targets[:3, 4:] = -1
    trainers = []
    for tokens in (1 << 16, 24, 1):
        monkeypatch.setattr(loop, "_MICRO_TOKENS", tokens)
        model = GPT2(parse_size("1x16"), VOCAB)
        model.initialize("width", 0)
        settings = replace(SETTINGS, optimizer=optimizer, warmup_steps=0, eps=1e-3)
        trainers.append(Trainer(model, settings, torch.device("cpu")))
        trainers[-1].losses = [float(trainers[-1].step(Rows(inputs, targets, 0.0))) for _ in range(3)]
    for other in trainers[1:]:
        assert other.losses == pytest.approx(trainers[0].losses, rel=1e-5)
        for one, two in zip(trainers[0].model.parameters(), other.model.parameters(), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


MANY_LENGTHS = """
from dataclasses import replace
import numpy as np, torch
from tests.train.test_loop import SETTINGS, VOCAB, Rows
from train.architectures.gpt2 import GPT2
from train.loop import Trainer
from train.sizes import parse_size

graphs, compile_it = [], torch.compile

def count(graph, _):
    graphs.append(graph)
    return graph.forward

torch.compile = lambda model, dynamic: compile_it(model, dynamic=dynamic, backend=count)
trainers = []
for compiled in (True, False):
    model = GPT2(parse_size("1x16"), VOCAB)
    model.initialize("width", 0)
    settings = replace(SETTINGS, optimizer="adamw", warmup_steps=0, eps=1e-3, compile=compiled)
    trainers.append(Trainer(model, settings, torch.device("cpu")))
for length in range(66, 130):
    batch = Rows(*np.random.default_rng(length).integers(0, VOCAB, (2, 2, length), dtype=np.int32), 0.0)
    one, other = (float(trainer.step(batch)) for trainer in trainers)
    assert abs(one - other) < 1e-5 * other, (length, one, other)
print(len(graphs))
"""


def test_rows_of_many_lengths_compile_to_few_graphs_and_train_the_same():
    found = subprocess.run([sys.executable, "-c", MANY_LENGTHS], check=True, capture_output=True, text=True)
    assert int(found.stdout) == 5  # of 80, 96, 112, 128 and 160 tokens
