"""What no language model can be is refused: one that sees the future, and one that knows names too well."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from biogen.dataset import EVALUATION
from eval.checks import check_causal, check_decoding, check_model, check_recall
from eval.recall import Recall
from eval.source import OwnTokens


class Peeking:
    """Its losses follow from the token `ahead` places after the one that is read last; up to 0 it is causal."""

    def __init__(self, ahead, strength=1.0):
        self.ahead, self.strength = ahead, strength

    def score(self, inputs, targets):
        seen = np.roll(inputs, -self.ahead, axis=1) % 7
        if self.ahead > 0:
            seen[:, -self.ahead :] = 0
        elif self.ahead < 0:
            seen[:, : -self.ahead] = 0
        return np.where(targets < 0, 0, 3 + self.strength * seen).astype(np.float32), targets == inputs

    def next_tokens(self, inputs, lengths):
        return inputs[:, 0]


@pytest.fixture(scope="module")
def texts(bios):
    return OwnTokens(bios).texts(np.arange(8), EVALUATION)


@given(ahead=st.integers(1, 12), strength=st.sampled_from([1.0, 1e-2, 1e-4]))
def test_a_model_that_sees_a_later_token_is_refused(texts, ahead, strength):
    with pytest.raises(ValueError, match=r"^model: it is not causal: [^\n]*$"):
        check_causal(Peeking(ahead, strength), texts)


def test_a_model_that_sees_the_last_token_alone_is_refused(texts):
    class Last(Peeking):
        def score(self, inputs, targets):
            nats, correct = super().score(inputs, targets)
            last = np.take_along_axis(inputs, (targets >= 0).sum(axis=1, keepdims=True) - 1, axis=1)
            return (nats + (last == inputs[:, 1:2]) * (targets >= 0)).astype(np.float32), correct

    with pytest.raises(ValueError, match="not causal"):
        check_causal(Last(0), texts)


@pytest.mark.parametrize("back", range(4))
def test_a_model_that_sees_earlier_tokens_alone_is_measured(texts, read_gpt, bios, back):
    check_causal(Peeking(-back), texts)
    check_causal(read_gpt(bios), texts)


def recall_with(names, values=0.0):
    names = np.asarray(names, dtype=float)
    return Recall(names, {}, np.full(len(names), values), {}, {})


def test_names_have_probabilities_that_add_up_to_one_at_most(biod):
    people = biod.config.people
    check_recall(recall_with(np.full(people, math.log(people))), biod)
    unequal = np.random.default_rng(0).dirichlet(np.ones(people))
    check_recall(recall_with(-np.log(unequal)), biod)
    for names in (np.full(people, math.log(people) - 0.01), [0.0, 0.0, *np.full(people - 2, 50.0)]):
        with pytest.raises(ValueError, match=r"^model: it gives the names of 30 people a probability of [\d.]+ in all"):
            check_recall(recall_with(names), biod)


def test_some_people_may_be_known_better_by_chance_alone(biod):
    """ln 30 = 3.401 is the least for 30 people."""
    rng = np.random.default_rng(0)
    check_recall(recall_with(3.38 + 0.1 * rng.standard_normal(12)), biod)
    with pytest.raises(ValueError, match=r"loss_name of the first 12 people is 2\.\d+, below ln 30 = 3\.401"):
        check_recall(recall_with(np.full(12, math.log(12))), biod)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_losses_are_finite(biod, loss):
    with pytest.raises(ValueError, match=f"^model: a loss is {loss}; "):
        check_recall(recall_with([5.0, loss]), biod)
    with pytest.raises(ValueError, match=f"^model: a loss is {loss}; "):
        check_recall(recall_with([5.0, 5.0], loss), biod)


def test_decoding_agrees_but_for_ties():
    for agreement, people in ((1.0, 64), (0.995, 64), (0.75, 4)):
        check_decoding({"qa_greedy_agreement": agreement, "qa_greedy_people": people})
    with pytest.raises(ValueError, match=r"agrees with its likeliest tokens in 90% of the values"):
        check_decoding({"qa_greedy_agreement": 0.9, "qa_greedy_people": 64})


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (nn.Linear(2, 2).to("meta"), "weight is a Tensor of torch.float32 on meta"),
        (nn.ParameterList([nn.Parameter(torch.zeros(2, dtype=torch.int8), requires_grad=False)]), "of torch.int8"),
        (nn.Linear(2, 2).to(torch.float8_e4m3fn), "of torch.float8_e4m3fn"),
    ],
)
def test_weights_are_numbers_of_one_model_in_memory(module, reason):
    with pytest.raises(ValueError, match=f"^model: [^\n]*{reason}"):
        check_model(nn.Sequential(nn.Linear(2, 2), module))


@pytest.mark.filterwarnings("ignore")  # PyTorch will drop its own way of quantizing
def test_a_model_that_pytorch_has_quantized_is_refused():
    model = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(2, 2)), {nn.Linear})
    with pytest.raises(ValueError, match=r"^model: it is quantized; "):
        check_model(model)


def test_a_weight_that_is_stored_in_another_way_is_refused():
    torchao = pytest.importorskip("torchao.quantization")
    model = nn.Sequential(nn.Linear(32, 32))
    check_model(model)
    torchao.quantize_(model, torchao.Int8WeightOnlyConfig())
    with pytest.raises(ValueError, match=r"^model: 0.weight is a Int8Tensor"):
        check_model(model)


def test_a_buffer_may_be_infinite_but_not_nan():
    model = nn.Linear(2, 2)
    model.register_buffer("mask", torch.tensor([0.0, -math.inf]))
    check_model(model)
    model.mask[0] = math.nan
    with pytest.raises(ValueError, match=r"^model: mask holds nan"):
        check_model(model)
