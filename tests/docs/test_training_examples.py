"""The examples of an architecture and of an optimizer: they do what they say."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.train.architectures.conftest import windows
from tests.train.test_loop import SETTINGS
from train.architectures.causal_lm import count_parameters, make_model
from train.architectures.gpt2 import GPT2
from train.loop import make_optimizers
from train.sizes import Size, parse_size

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)


def test_the_recurrence_is_the_formula_and_sees_nothing_later():
    model = make_model("mingru:MinGRU", Size(1, 16, 1), 29).double()
    model.initialize("width", seed=0)
    assert count_parameters(model) == {"embedding": 29 * 16, "recurrence": 3 * 16**2, "norm": 4 * 16}
    assert model.flops_per_token(512) == 6 * (3 * 16**2 + 29 * 16)
    layer, x = model.layers[0], torch.randn(1, 5, 16).double()
    normed, h = torch.nn.functional.layer_norm(x, (16,)), torch.zeros(16).double()
    for t in range(5):
        z = 1 / (1 + (-(layer.update.weight @ normed[0, t])).exp())
        h = (1 - z) * h + z * (layer.candidate.weight @ normed[0, t])
        torch.testing.assert_close(layer(x)[0, t], layer.out.weight @ h)
    tokens = windows(12)
    torch.testing.assert_close(model(tokens)[:, :7], model(tokens[:, :7]))


def test_an_option_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"^gain: -1 is not allowed"):
        make_model("mingru:MinGRU", Size(1, 16, 1), 29, {"gain": -1})


def test_signum_moves_every_weight_by_its_learning_rate():
    model = GPT2(parse_size("1x16"), 20)
    model.initialize("width", 0)
    settings = replace(SETTINGS, optimizer="signum:signum", lr=0.01, embedding_lr=0.02, weight_decay=0.0)
    (optimizer,) = make_optimizers(model, settings)
    for seed in (0, 1):
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
        optimizer.step()
        for name, parameter in model.named_parameters():
            inside = name.startswith("blocks") and parameter.ndim == 2
            moved = (parameter.detach() - before[name]).abs()
            torch.testing.assert_close(moved, torch.full_like(moved, 0.01 if inside else 0.02), rtol=0, atol=1e-6)
