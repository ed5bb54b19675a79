"""Compiled passes: the gradients and scores of the PyTorch model, at every shape; nothing read out of bounds."""

import copy

import numpy as np
import pytest
import torch

from train.head import linear_cross_entropy
from train.inference import Inference
from train.native.model import NativeModel

SHAPES = [  # size, vocabulary, rows, time: the families of sizes, and what does not fill a tile or a chunk
    *[("2x32", 1024, 8, 96), ("1x64x2", 1024, 3, 96), ("4x64", 300, 2, 70), ("2x128x4", 1000, 2, 40)],
    *[("2-1", 77, 2, 50), ("1x64x1", 7, 2, 530), ("2x48", 69, 24, 24), ("1x16x2", 1, 1, 1), ("1x16x4", 5, 1, 2)],
    *[("3x48x3", 333, 2, 300), ("1x80x2", 131, 5, 7), ("1x48x1", 13, 40, 13), ("1x16", 17, 1, 257)],
    *[("1x80x1", 9, 5, 33), ("2x48x2", 7, 300, 1)],
]


def exact(model, inputs, targets, scale):
    """Loss and gradients in float64."""
    precise = copy.deepcopy(model).double()
    precise.zero_grad()
    hidden = precise(torch.from_numpy(inputs)).flatten(0, 1)
    total = linear_cross_entropy(hidden, precise.head_weight, torch.from_numpy(targets).flatten())
    (total * scale).backward()
    return total.item(), [p.grad for p in precise.parameters()]


def autocast(model, inputs, targets, scale):
    """Loss and gradients by PyTorch in bf16."""
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model(torch.from_numpy(inputs)).flatten(0, 1)
        total = linear_cross_entropy(hidden, model.head_weight, torch.from_numpy(targets).flatten())
    (total * scale).backward()
    return total.item(), [p.grad for p in model.parameters()]


def distances(found, wanted):
    """The norm of the difference of each gradient, and of all together."""
    each = np.array([float((a - b).norm()) for a, b in zip(found, wanted, strict=True)])
    return each, np.linalg.norm(each)


def assert_close(found, expected, rough=None):
    """Loss and gradients are those expected: in fp32 to rounding, or in bf16 no worse than `rough`, by autocast."""
    (total, grads), (expected_total, wanted) = found, expected
    if rough:
        rough_total, rough_grads = rough
        assert abs(total - expected_total) <= 2 * abs(rough_total - expected_total) + 5e-4 * expected_total
        (each, together), (rough_each, rough_together) = distances(grads, wanted), distances(rough_grads, wanted)
        assert together <= 1.05 * rough_together + 1e-6
        assert (each <= 2 * rough_each + 1e-3 * rough_together + 1e-6).all()
        return
    assert total == pytest.approx(expected_total, rel=1e-5, abs=1e-5)
    overall = max(float(g.norm()) for g in wanted)
    for one, other in zip(grads, wanted, strict=True):
        assert float((one - other).norm()) <= 1e-5 * float(other.norm()) + 1e-7 * overall


@pytest.mark.parametrize(("size", "vocab", "rows", "time"), SHAPES)
def test_gradients_are_those_of_float64_and_in_bf16_no_worse_than_autocast(
    kernels, make_model, make_windows, size, vocab, rows, time
):
    model = make_model(size, vocab)
    inputs, targets = make_windows(vocab, rows, time)
    grads = [torch.full_like(p, torch.nan) for p in model.parameters()]
    total = NativeModel(model, kernels).gradients(inputs, targets, grads, 0.25)
    rough = autocast(model, inputs, targets, 0.25) if kernels.kc_bf16() else None
    assert_close((total, grads), exact(model, inputs, targets, 0.25), rough)


@pytest.mark.parametrize(("size", "vocab", "rows", "time"), SHAPES)
def test_scores_are_those_of_pytorch(kernels, make_model, make_windows, size, vocab, rows, time):
    model = make_model(size, vocab)
    inputs, targets = make_windows(vocab, rows, time)
    nats, correct = NativeModel(model, kernels).score(inputs, targets)
    expected, expected_correct = Inference(model, torch.device("cpu")).score(inputs, targets)
    np.testing.assert_allclose(nats, expected, atol=0.1 if kernels.kc_bf16() else 2e-5)
    assert not nats[targets == -1].any()
    assert (correct == expected_correct).mean() > (0.9 if kernels.kc_bf16() else 0.999999)


def test_of_equal_logits_the_first_is_the_likeliest(kernels, make_model):
    model = make_model("1x16", 9)
    with torch.no_grad():
        model.embedding.weight.zero_()
    inputs, targets = np.zeros((1, 9), np.int32), np.arange(9, dtype=np.int32)[None]
    nats, correct = NativeModel(model, kernels).score(inputs, targets)
    np.testing.assert_allclose(nats, np.log(9), rtol=1e-6)
    assert correct.tolist() == [[True, *[False] * 8]]


@pytest.mark.parametrize("size", ["2x32", "1x16x4", "1x48x2"])
def test_windows_of_any_length_in_any_order(kernels, make_model, make_windows, size):
    """The buffers of one call serve the next: no call depends on those before it, numbers or not."""
    model = make_model(size, 69)
    one = NativeModel(model, kernels)
    for rows, time in [(3, 20), (1, 90), (30, 4), (2, 57), (1, 1), (200, 1), (3, 20)]:
        inputs, targets = make_windows(69, rows, time)
        found, fresh = ([torch.empty_like(p) for p in model.parameters()] for _ in range(2))
        embedding = model.embedding.weight.data.clone()
        model.embedding.weight.data.fill_(torch.nan)
        assert np.isnan(one.gradients(inputs, targets, found, 1.0))
        model.embedding.weight.data.copy_(embedding)
        total = one.gradients(inputs, targets, found, 1.0)
        assert total == NativeModel(model, kernels).gradients(inputs, targets, fresh, 1.0)
        assert all(torch.equal(a, b) for a, b in zip(found, fresh, strict=True))


def test_large_logits_overflow_nothing(kernels, make_model, make_windows):
    model = make_model("1x16", 30)
    with torch.no_grad():
        model.embedding.weight.mul_(1000)
        model.blocks[0].qkv.weight.mul_(100)
        model.blocks[0].mlp_in.weight.mul_(100)
    inputs, targets = make_windows(30, 2, 20)
    grads = [torch.empty_like(p) for p in model.parameters()]
    total = NativeModel(model, kernels).gradients(inputs, targets, grads, 1.0)
    exactly = 0.05 if kernels.kc_bf16() else 1e-4
    assert total == pytest.approx(exact(model, inputs, targets, 1.0)[0], rel=exactly)
    assert all(g.isfinite().all() for g in grads)


def test_denormal_numbers_are_zero_in_the_kernels_and_nowhere_else(kernels, make_model, make_windows):
    model, (inputs, targets) = make_model("2x32", 30), make_windows(30, 2, 20)
    grads = [torch.empty_like(p) for p in model.parameters()]
    NativeModel(model, kernels).gradients(inputs, targets, grads, 1e-37)
    smallest = torch.finfo(torch.float32).tiny
    assert any(g.any() for g in grads)
    assert not any(((g != 0) & (g.abs() < smallest)).any() for g in grads)
    assert torch.tensor(smallest) / 2 > 0


def test_without_memory_nothing_is_returned(kernels, make_model, make_windows, monkeypatch):
    model = make_model("1x16", 9)
    native, (inputs, targets) = NativeModel(model, kernels), make_windows(9, 1, 3)
    grads = [torch.empty_like(p) for p in model.parameters()]
    monkeypatch.setattr(kernels, "kc_score", lambda *_: -1.0)
    monkeypatch.setattr(kernels, "kc_gradients", lambda *_: -1.0)
    with pytest.raises(MemoryError, match=r"^kernels: no memory"):
        native.score(inputs, targets)
    with pytest.raises(MemoryError, match=r"^kernels: no memory"):
        native.gradients(inputs, targets, grads, 1.0)


def test_mistakes_are_named(kernels, make_model):
    native = NativeModel(make_model("1x16", 9), kernels)
    tokens = np.zeros((1, 3), np.int32)
    with pytest.raises(ValueError, match=r"^inputs: a token is not allowed; must be 0 to 8$"):
        native.score(tokens + 9, tokens)
    with pytest.raises(ValueError, match=r"^targets: a token is not allowed; must be -1 to 8$"):
        native.score(tokens, tokens - 2)
