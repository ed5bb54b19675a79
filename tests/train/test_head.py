"""The chunked head equals the plain one, in value and in gradient, however the tokens are cut into chunks."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from train.head import IGNORE, linear_cross_entropy, token_scores


def problem(tokens: int, width: int, vocab: int, dtype: torch.dtype, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states, matrix and targets, about a quarter of the targets ignored."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(tokens, width, generator=generator, dtype=dtype)
    weight = torch.randn(vocab, width, generator=generator, dtype=dtype)
    targets = torch.randint(vocab, (tokens,), generator=generator)
    targets[torch.rand(tokens, generator=generator) < 0.25] = IGNORE
    return hidden.requires_grad_(), weight.requires_grad_(), targets


def plain(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(hidden @ weight.T, targets, ignore_index=IGNORE, reduction="sum")


def value_and_gradients(loss: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
    return (loss.detach(), *torch.autograd.grad(loss, leaves))


@settings(max_examples=40)
@given(
    tokens=st.integers(1, 40),
    vocab=st.integers(1, 20),
    chunk=st.integers(1, 50),
    dtype=st.sampled_from([torch.float64, torch.float32]),
)
def test_equals_plain_cross_entropy(tokens: int, vocab: int, chunk: int, dtype: torch.dtype) -> None:
    hidden, weight, targets = problem(tokens, 6, vocab, dtype)
    ours = value_and_gradients(3 * linear_cross_entropy(hidden, weight, targets, chunk), hidden, weight)
    theirs = value_and_gradients(3 * plain(hidden, weight, targets), hidden, weight)
    tolerance = 1e-12 if dtype == torch.float64 else 2e-5
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == dtype
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * 3)


def test_gradient_equals_finite_differences() -> None:
    hidden, weight, targets = problem(7, 3, 5, torch.float64)
    assert torch.autograd.gradcheck(lambda h, w: linear_cross_entropy(h, w, targets, 3), (hidden, weight))


def test_no_knowledge_costs_the_logarithm_of_the_vocabulary() -> None:
    targets = torch.tensor([0, 1, IGNORE, 4])
    loss = linear_cross_entropy(torch.zeros(4, 2), torch.randn(5, 2), targets)
    assert loss.item() == pytest.approx(3 * math.log(5), rel=1e-6)


def test_extreme_logits_stay_finite() -> None:
    hidden = torch.tensor([[1e4], [-1e4]], requires_grad=True)
    weight, targets = torch.tensor([[1.0], [-1.0]]), torch.tensor([1, 1])
    loss = linear_cross_entropy(hidden, weight, targets)
    loss.backward()
    assert loss.item() == 2e4
    assert hidden.grad is not None
    torch.testing.assert_close(hidden.grad, torch.tensor([[2.0], [0.0]]))


def test_ignored_tokens_change_nothing() -> None:
    hidden, weight, targets = problem(30, 4, 9, torch.float64)
    kept = targets != IGNORE
    loss, d_hidden, d_weight = value_and_gradients(linear_cross_entropy(hidden, weight, targets, 8), hidden, weight)
    short = hidden[kept].detach().requires_grad_()
    loss2, d_short, d_weight2 = value_and_gradients(
        linear_cross_entropy(short, weight, targets[kept], 8), short, weight
    )
    torch.testing.assert_close((loss, d_hidden[kept], d_weight), (loss2, d_short, d_weight2))
    assert not d_hidden[~kept].any()


def test_all_ignored_is_zero_with_zero_gradient() -> None:
    hidden, weight, targets = problem(5, 4, 9, torch.float32)
    for part in value_and_gradients(
        linear_cross_entropy(hidden, weight, torch.full_like(targets, IGNORE)), hidden, weight
    ):
        assert not part.any()


@pytest.mark.parametrize("frozen", [0, 1])
def test_one_side_may_be_frozen(frozen: int) -> None:
    hidden, weight, targets = problem(11, 4, 9, torch.float64)
    (hidden, weight)[frozen].requires_grad_(False)
    leaf = (weight, hidden)[frozen]
    ours = value_and_gradients(linear_cross_entropy(hidden, weight, targets, 4), leaf)
    torch.testing.assert_close(ours, value_and_gradients(plain(hidden, weight, targets), leaf))


def test_without_gradient_none_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight, targets = problem(11, 4, 9, torch.float64)
    expected = linear_cross_entropy(hidden, weight, targets, 4).detach()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a gradient was made")

    monkeypatch.setattr(Tensor, "scatter_add_", refuse)
    with torch.no_grad():
        loss = linear_cross_entropy(hidden, weight, targets, 4)
    assert not loss.requires_grad
    assert torch.equal(loss, expected)
    assert torch.equal(linear_cross_entropy(hidden.detach(), weight.detach(), targets, 4), expected)


def test_autocast_multiplies_in_bf16_and_normalizes_in_fp32() -> None:
    hidden, weight, targets = problem(64, 16, 32, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(hidden, weight, targets, 10)
        nats, _ = token_scores(hidden, weight, targets, 10)
    d_hidden, d_weight = torch.autograd.grad(loss, (hidden, weight))
    assert loss.dtype == d_hidden.dtype == d_weight.dtype == nats.dtype == torch.float32
    rounded = (hidden.bfloat16() @ weight.bfloat16().T).float()
    expected = F.cross_entropy(rounded, targets, ignore_index=IGNORE, reduction="sum")
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(nats.sum(), expected, rtol=1e-5, atol=0)
    exact = torch.autograd.grad(plain(hidden, weight, targets), (hidden, weight))
    for ours, theirs in zip((d_hidden, d_weight), exact, strict=True):
        assert (ours - theirs).norm() < 0.02 * theirs.norm()


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_token_scores(chunk: int) -> None:
    hidden, weight, targets = problem(23, 4, 9, torch.float64)
    nats, correct = token_scores(hidden, weight, targets, chunk)
    logits = (hidden @ weight.T).detach()
    expected = F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="none")
    torch.testing.assert_close(nats, expected)
    assert torch.equal(correct, logits.argmax(1) == targets)
    assert not nats.requires_grad
    assert nats[targets == IGNORE].abs().sum() == 0
    torch.testing.assert_close(nats.sum(), linear_cross_entropy(hidden, weight, targets, chunk).detach())


def test_no_tokens_cost_nothing() -> None:
    hidden, weight, targets = problem(0, 4, 9, torch.float32)
    loss, *gradients = value_and_gradients(linear_cross_entropy(hidden, weight, targets), hidden, weight)
    assert loss.item() == 0
    assert not any(gradient.any() for gradient in gradients)
    assert [len(scores) for scores in token_scores(hidden, weight, targets)] == [0, 0]
