"""Every form of a model: passes as a reference computes them from the form alone, and parameters in another order."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.train.architectures.conftest import FORMS as ARCHITECTURES
from tests.train.architectures.conftest import perturbed
from tests.train.native.conftest import randomize
from tests.train.native.reference import reference_logits, reference_loss
from tests.train.native.test_model import assert_close
from train.architectures.gpt2 import GPT2
from train.architectures.transformer import Transformer
from train.inference import Inference
from train.native.form import KernelForm
from train.native.model import NativeModel
from train.sizes import parse_size

NO_BIASES = {"qkv_bias": False, "out_bias": False, "mlp_bias": False}
LLAMA = {"norm": "rms", "norm_eps": 1e-2, "mlp": "gated", "activation": "silu", **NO_BIASES}
NO_MLP = {"mlp": "none", "hidden": 0}
FORMS = {  # changes to GPT-2's form, and features in the MLP as a share of the width
    "gpt2": ({}, 4),
    "llama": (LLAMA, 3),
    "llama, untied": (LLAMA | {"tied": False}, 2),
    "gated": ({"mlp": "gated"}, 4),
    "quarter": ({}, 1),
    "no MLP": (NO_MLP, 0),
    "no MLP, RMS norm, untied": (NO_MLP | {"norm": "rms", "qkv_bias": False, "tied": False}, 0),
    "RMS norm, wide": ({"norm": "rms"}, 7),
    "SiLU, few biases": ({"activation": "silu", "out_bias": False, "mlp_bias": False}, 4),
    "layer norm, no biases, gated, narrow": ({"mlp": "gated", **NO_BIASES}, 1),
}
SHAPES = [("2x32", 300, 3, 40), ("2x48x2", 69, 24, 24), ("1x16x2", 300, 6, 60), ("1x80x1", 131, 5, 7)]


class Formed(Transformer):
    """A model of any form."""

    def kernel_form(self):
        return self.form


def make_form(name, size, vocab):
    changes, share = FORMS[name]
    gpt2 = GPT2(parse_size(size), vocab).form
    return replace(gpt2, **{"hidden": share * gpt2.width, **changes})


def make_formed(name, size, vocab):
    return randomize(Formed(make_form(name, size, vocab)))


def gradients(model, inputs, targets, scale, dtype=torch.float64):
    """Loss and gradients of the reference, in float64 or by autocast."""
    precise = dtype == torch.float64
    parameters = [p.detach().to(torch.float64 if precise else p.dtype).requires_grad_() for p in model.parameters()]
    with torch.autocast("cpu", torch.bfloat16, enabled=not precise):
        arrays = torch.from_numpy(inputs), torch.from_numpy(targets)
        total = reference_loss(model.form, parameters, *arrays).sum()
    (total * scale).backward()
    return total.item(), [p.grad for p in parameters]


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize(("size", "vocab", "rows", "time"), SHAPES)
def test_gradients_are_those_of_the_reference(kernels, make_windows, name, size, vocab, rows, time):
    model = make_formed(name, size, vocab)
    inputs, targets = make_windows(vocab, rows, time)
    grads = [torch.full_like(p, torch.nan) for p in model.parameters()]
    total = NativeModel(model, kernels).gradients(inputs, targets, grads, 0.25)
    rough = gradients(model, inputs, targets, 0.25, torch.bfloat16) if kernels.kc_bf16() else None
    assert_close((total, grads), gradients(model, inputs, targets, 0.25), rough)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize(("size", "vocab", "rows", "time"), SHAPES[:2])
def test_scores_are_those_of_the_reference(kernels, make_windows, name, size, vocab, rows, time):
    model = make_formed(name, size, vocab)
    inputs, targets = make_windows(vocab, rows, time)
    nats, correct = NativeModel(model, kernels).score(inputs, targets)
    with torch.no_grad():
        logits = reference_logits(model.form, model.parameters(), torch.from_numpy(inputs))
        expected = reference_loss(model.form, model.parameters(), torch.from_numpy(inputs), torch.from_numpy(targets))
    np.testing.assert_allclose(nats, expected, atol=0.1 if kernels.kc_bf16() else 2e-5)
    likeliest = logits.argmax(dim=-1).numpy() == targets
    assert (correct == likeliest).mean() > (0.9 if kernels.kc_bf16() else 0.999999)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("size", ["1x48x3", "2x16"])
def test_no_pass_depends_on_those_before_it(kernels, make_windows, name, size):
    model = make_formed(name, size, 69)
    one = NativeModel(model, kernels)
    for rows, time in [(3, 20), (1, 90), (30, 4), (3, 20)]:
        inputs, targets = make_windows(69, rows, time)
        found, fresh = ([torch.empty_like(p) for p in model.parameters()] for _ in range(2))
        weight = model.blocks[0].qkv.weight.data.clone()
        model.blocks[0].qkv.weight.data.fill_(torch.nan)
        assert np.isnan(one.gradients(inputs, targets, found, 1.0))
        model.blocks[0].qkv.weight.data.copy_(weight)
        total = one.gradients(inputs, targets, found, 1.0)
        assert total == NativeModel(model, kernels).gradients(inputs, targets, fresh, 1.0)
        assert all(torch.equal(a, b) for a, b in zip(found, fresh, strict=True))


@pytest.mark.parametrize("activation", ["silu", "gelu_tanh"])
@pytest.mark.parametrize("mlp", ["plain", "gated"])
def test_large_features_overflow_nothing(kernels, make_windows, activation, mlp):
    model = Formed(replace(make_form("llama", "1x16", 30), activation=activation, mlp=mlp))
    randomize(model).blocks[0].mlp_in.weight.data.mul_(1000)
    if mlp == "gated":
        model.blocks[0].mlp_gate.weight.data.mul_(1000)
    inputs, targets = make_windows(30, 2, 20)
    grads = [torch.empty_like(p) for p in model.parameters()]
    total = NativeModel(model, kernels).gradients(inputs, targets, grads, 1.0)
    expected, _ = gradients(model, inputs, targets, 1.0)
    assert total == pytest.approx(expected, rel=0.05 if kernels.kc_bf16() else 1e-4)
    assert all(grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize("form", ARCHITECTURES)
def test_kernels_score_every_architecture_as_it_scores_itself(kernels, make_windows, form):
    model, (inputs, targets) = perturbed(form), make_windows(29, 3, 20)
    nats, _ = NativeModel(model, kernels).score(inputs, targets)
    expected, _ = Inference(model, torch.device("cpu")).score(inputs, targets)
    np.testing.assert_allclose(nats, expected, atol=0.1 if kernels.kc_bf16() else 2e-5)


def swap(modules, first, second):
    """Two modules in each other's place."""
    names = {first: second, second: first}
    items = [(name, modules[name]) for name in (names.get(name, name) for name in modules)]
    modules.clear()
    modules.update(items)


def gate_behind_up(model):
    swap(model.blocks[1]._modules, "mlp_gate", "mlp_in")


def norms_swapped(model):
    swap(model.blocks[0]._modules, "attention_norm", "mlp_norm")


def one_more(model):
    model.temperature = nn.Parameter(torch.ones(1))


def head_missing(model):
    del model.head


def bias_too_many(model):
    model.blocks[0].qkv.bias = nn.Parameter(torch.zeros(48))


def wider(model):
    model.blocks[0].mlp_out.weight = nn.Parameter(torch.zeros(16, 48))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (gate_behind_up, r"'blocks\.1\.mlp_in\.weight' \[32, 16\] .* must be 'blocks\.1\.mlp_gate\.weight' \[32, 16\]"),
        (norms_swapped, r"'blocks\.0\.mlp_norm\.weight' \[16\] .* must be 'blocks\.0\.attention_norm\.weight' \[16\]"),
        (one_more, r"'temperature' \[1\] .* must be 'embedding\.weight' \[9, 16\]"),
        (head_missing, r"none .* must be 'head\.weight' \[9, 16\]"),
        (bias_too_many, r"'blocks\.0\.qkv\.bias' \[48\] .* must be 'blocks\.0\.attention_out\.weight' \[16, 16\]"),
        (wider, r"'blocks\.0\.mlp_out\.weight' \[16, 48\] .* must be 'blocks\.0\.mlp_out\.weight' \[16, 32\]"),
    ],
)
def test_a_model_with_other_parameters_than_its_form_says_is_refused(kernels, change, told):
    model = make_formed("llama, untied", "2x16", 9)
    NativeModel(model, kernels)
    change(model)
    with pytest.raises(ValueError, match=rf"^parameters: {told} at this place$"):
        NativeModel(model, kernels)


@pytest.mark.parametrize(
    ("size", "changes", "told"),
    [
        ("1x24x1", {}, r"^width: 24 is not allowed .* multiple of 16$"),
        ("1x16x1", {"hidden": 40}, r"^hidden: 40 is not allowed .* must be a positive multiple of 16$"),
        ("1x16x1", {"hidden": 0}, r"^hidden: 0 is not allowed .* must be a positive multiple of 16$"),
        ("1x16x1", {"mlp": "none"}, r"^hidden: 64 is not allowed .* must be 0$"),
        ("1x16x1", {"heads": 16}, r"^heads: 16 is not allowed .* width 16 is an even number a head$"),
    ],
)
def test_forms_that_the_kernels_cannot_compute_are_refused(kernels, make_model, size, changes, told):
    model = make_model(size, 9)
    model.form = replace(model.form, **changes)
    with pytest.raises(ValueError, match=told):
        NativeModel(model, kernels)


def test_a_model_without_a_form_is_refused(kernels):
    class Other(GPT2):
        pass

    with pytest.raises(ValueError, match=r"^kernels: native is not allowed with Other; must be auto or pytorch$"):
        NativeModel(Other(parse_size("1x16"), 9), kernels)


def test_forms_compare_by_value():
    assert make_form("gpt2", "1x16", 9) == KernelForm(
        layers=1, width=16, heads=1, vocab=9, norm="layer", norm_eps=1e-5, mlp="plain", hidden=64,
        activation="gelu_tanh", qkv_bias=True, out_bias=True, mlp_bias=True, tied=True,
    )  # fmt: skip
