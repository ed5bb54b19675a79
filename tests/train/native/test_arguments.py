"""The kernels see nothing that they were not made for: arrays, tensors, states and forms are checked before each call,
in every mode of Python, and one model serves one thread at a time."""

import ast
import threading
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import config

import train.native
from tests.train.native.conftest import build_model, draw_windows
from tests.train.test_loop import SETTINGS
from train.loop import make_optimizers
from train.native.form import KernelForm
from train.native.library import instruction_set, library
from train.native.model import NativeModel
from train.native.update import NativeUpdate

VOCAB = 50
BIG = np.full((2, 3), 2**64 - 1, np.uint64)


@pytest.fixture
def kernels():
    if instruction_set() is None:
        pytest.skip("needs kernels for this processor")
    return library()


@pytest.fixture
def _untyped(monkeypatch):
    """Without the checks of types that only tests have."""
    monkeypatch.setattr(config, "jaxtyping_disable", True)


@pytest.fixture
def model():
    return build_model("2x32x2", VOCAB)


@pytest.fixture
def native(model, kernels):
    return NativeModel(model, kernels)


def test_no_check_is_an_assertion():
    """`python -O` leaves assertions out."""
    for path in Path(train.native.__file__).parent.glob("*.py"):
        assert not [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)], path


def tokens(*shape, dtype=np.int32, value=0):
    return np.full(shape, value, dtype)


@pytest.mark.usefixtures("_untyped")
@pytest.mark.parametrize(
    ("inputs", "targets", "told"),
    [
        (tokens(2, 3, value=50), tokens(2, 3), "inputs: a token is not allowed; must be 0 to 49"),
        (tokens(2, 3, value=-1), tokens(2, 3), "inputs: a token is not allowed; must be 0 to 49"),
        (tokens(2, 3), tokens(2, 3, value=-2), "targets: a token is not allowed; must be -1 to 49"),
        (tokens(2, 3, dtype=np.int64, value=2**32 + 1), tokens(2, 3), "inputs: a token is not allowed"),
        (BIG, tokens(2, 3), "inputs: a token is not allowed"),
        (tokens(2, 3, dtype=np.float64, value=3.7), tokens(2, 3), "inputs: an array of float64 is not allowed"),
        (tokens(2, 3, dtype=np.float32, value=np.nan), tokens(2, 3), "inputs: an array of float32 is not allowed"),
        (tokens(2, 3, dtype=bool), tokens(2, 3), "inputs: an array of bool is not allowed"),
        (tokens(2, 3, dtype=object, value="x"), tokens(2, 3), "inputs: an array of object is not allowed"),
        (tokens(2, 3), tokens(2, 2), r"targets: the shape \[2, 2\] is not allowed; must be \[2, 3\]"),
        (tokens(64, 4096), tokens(2, 3), r"targets: the shape \[2, 3\] is not allowed; must be \[64, 4096\]"),
        (tokens(2, 0), tokens(2, 0), r"inputs: the shape \[2, 0\] is not allowed; must be \[batch, time\]"),
        (tokens(3), tokens(3), r"inputs: the shape \[3\] is not allowed; must be \[batch, time\]"),
        (tokens(1, 2, 3), tokens(1, 2, 3), r"inputs: the shape \[1, 2, 3\] is not allowed"),
        (tokens(), tokens(), r"inputs: the shape \[\] is not allowed"),
        (tokens(0, (1 << 20) + 1), tokens(0, (1 << 20) + 1), r"inputs: the shape \[0, 1048577\] is not allowed"),
    ],
)
def test_arrays_of_other_kinds_are_refused(native, inputs, targets, told):
    grads = [torch.empty_like(p) for p in native.parameters]
    for call in (lambda: native.score(inputs, targets), lambda: native.gradients(inputs, targets, grads, 1.0)):
        with pytest.raises(ValueError, match=f"^{told}"):
            call()


def test_a_batch_too_large_for_the_numbers_of_c_is_refused(native):
    rows = np.broadcast_to(np.int32(0), (1 << 11, 1 << 20))  # takes no memory
    with pytest.raises(ValueError, match=r"at most 1073741824 tokens$"):
        native.score(rows, rows)


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda array: array.astype(np.int64), lambda array: array[:]])
def test_integers_of_any_layout_and_type_are_the_same_tokens(native, layout):
    inputs, _ = draw_windows(VOCAB, 3, 20)
    expected, _ = native.score(inputs, inputs)
    found, _ = native.score(layout(inputs), layout(inputs))
    np.testing.assert_array_equal(found, expected)


def test_no_rows_have_no_loss(native):
    none = tokens(0, 5)
    grads = [torch.full_like(p, torch.nan) for p in native.parameters]
    assert native.gradients(none, none, grads, 1.0) == 0
    assert not any(grad.any() for grad in grads)
    assert native.score(none, none)[0].shape == (0, 5)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda g: g[:1], "grads: 1 tensors are not allowed; must be 27"),
        (lambda g: [*g, g[0]], "grads: 28 tensors are not allowed; must be 27"),
        (lambda g: [torch.zeros(1), *g[1:]], r"embedding\.weight\.grad: float32 \[1\] on cpu is not allowed"),
        (lambda g: [g[0].double(), *g[1:]], r"embedding\.weight\.grad: float64 \[50, 32\] on cpu is not allowed"),
        (lambda g: [g[0].to("meta"), *g[1:]], r"embedding\.weight\.grad: float32 \[50, 32\] on meta is not allowed"),
        (
            lambda g: [torch.zeros(32, 50).T, *g[1:]],
            r"embedding\.weight\.grad: .* that is not contiguous is not allowed",
        ),
        (lambda g: [torch.zeros(32).expand(50, 32), *g[1:]], r"embedding\.weight\.grad: .* that is not contiguous"),
    ],
)
def test_gradients_of_other_kinds_are_refused(native, change, told):
    inputs, targets = draw_windows(VOCAB, 2, 5)
    with pytest.raises(ValueError, match=f"^{told}"):
        native.gradients(inputs, targets, change([torch.zeros(p.shape) for p in native.parameters]), 1.0)


def test_a_parameter_with_other_memory_is_read_where_it_is(model, native, kernels):
    inputs, targets = draw_windows(VOCAB, 2, 5)
    native.score(inputs, targets)
    for p in model.parameters():
        p.data = torch.randn(p.shape, generator=torch.Generator().manual_seed(1))
    expected, _ = NativeModel(model, kernels).score(inputs, targets)
    np.testing.assert_array_equal(native.score(inputs, targets)[0], expected)


@pytest.mark.parametrize("other", [torch.zeros(1, 32), torch.zeros(50, 32).half(), torch.zeros(32, 50).T])
def test_a_parameter_that_became_another_is_refused(model, native, other):
    inputs, targets = draw_windows(VOCAB, 2, 5)
    model.embedding.weight.data = other
    with pytest.raises(ValueError, match=r"^embedding\.weight: .* must be contiguous float32 \[50, 32\] on cpu$"):
        native.score(inputs, targets)


def make_update(model, kernels, optimizer):
    settings = replace(SETTINGS, optimizer=optimizer, native=True)
    return NativeUpdate(model, make_optimizers(model, settings), 1.0, kernels)


BAD_STATES = {
    "scalar": lambda state: torch.tensor(0.5),
    "empty": lambda state: torch.zeros(0),
    "double": lambda state: state.double(),
    "integers": lambda state: state.to(torch.int8),
    "longer": lambda state: torch.zeros(*state.shape, 2),
    "spread": lambda state: torch.zeros(*state.shape, 2)[..., 0] if state.ndim else torch.zeros(2),
    "elsewhere": lambda state: state.to("meta"),
}


@pytest.mark.parametrize("bad", BAD_STATES)
@pytest.mark.parametrize(
    ("optimizer", "key"),
    [("adamw", "exp_avg"), ("adamw", "exp_avg_sq"), ("adamw", "step"), ("muon", "momentum_buffer")],
)
def test_states_of_other_kinds_are_refused(model, kernels, optimizer, key, bad):
    update, (inputs, targets) = make_update(model, kernels, optimizer), draw_windows(VOCAB, 2, 5)
    update(inputs, targets, 10)
    one = next(one for one in update.optimizers if any(key in state for state in one.state.values()))
    state = one.state[one.param_groups[0]["params"][0]]
    if bad == "scalar" and not state[key].ndim:
        pytest.skip("it is one")
    state[key] = BAD_STATES[bad](state[key])
    update._steps.clear()  # as after a load
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(ValueError, match=rf"^[\w.]+\.{key}: .* is not allowed with native kernels; must be"):
        update(inputs, targets, 10)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_states_of_other_names_are_refused(model, kernels, optimizer):
    update, (inputs, targets) = make_update(model, kernels, optimizer), draw_windows(VOCAB, 2, 5)
    update(inputs, targets, 10)
    one = update.optimizers[0]
    one.state[one.param_groups[0]["params"][0]]["other"] = torch.zeros(3)
    update._steps.clear()
    with pytest.raises(ValueError, match=r": a state of .*other.* is not allowed with native kernels; must be"):
        update(inputs, targets, 10)


def test_a_step_works_on_states_and_parameters_where_they_are(model, kernels):
    other = build_model("2x32x2", VOCAB)
    updates = [make_update(one, kernels, "muon") for one in (model, other)]
    inputs, targets = draw_windows(VOCAB, 2, 5)
    for _ in range(3):
        for update in updates:
            update(inputs, targets, 10)
        for tensor in [
            *other.parameters(),
            *(t for o in updates[1].optimizers for s in o.state.values() for t in s.values()),
        ]:
            tensor.data = tensor.data.clone()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("heads", [3, -1, 5])
def test_muon_of_other_heads_is_refused(model, kernels, heads):
    update, (inputs, targets) = make_update(model, kernels, "muon"), draw_windows(VOCAB, 2, 5)
    update.optimizers[0].param_groups[0]["qkv_heads"] = heads
    with pytest.raises(ValueError, match=rf"\.qkv\.weight: \[96, 32\] is not allowed with {heads} heads of q, k and v"):
        update(inputs, targets, 10)


FORM = KernelForm(2, 32, 2, 50, "layer", 1e-5, "plain", 128, "gelu_tanh", True, True, True, True)


@pytest.mark.usefixtures("_untyped")
@pytest.mark.parametrize("name", [field.name for field in fields(KernelForm) if field.type is int])
@pytest.mark.parametrize("value", [-16, -1, 0, 2**24 + 16, 2**32 + 32, 2.0, True, "2", None])
def test_numbers_in_a_form_are_checked(name, value):
    assert FORM.misfit() is None
    if value == 0 and name == "hidden":
        return  # no MLP, which other tests have
    assert replace(FORM, **{name: value}).misfit().startswith(f"{name}: {value!r} is not allowed with native kernels")


@pytest.mark.usefixtures("_untyped")
@pytest.mark.parametrize("name", ["norm", "mlp", "activation"])
@pytest.mark.parametrize("value", ["gelu", "", None, 1, "gated ", "rms\n"])
def test_words_in_a_form_are_checked(name, value):
    told = replace(FORM, **{name: value}).misfit()
    assert told.startswith(f"{name}: {value!r} is not allowed with native kernels; must be ")
    assert " or " in told


def test_threads_wait_for_each_other(model, native, kernels):
    rows = [draw_windows(VOCAB, 8, 50, seed) for seed in range(4)]
    expected = [NativeModel(model, kernels).score(*one)[0] for one in rows]
    wrong: list[int] = []

    def score(number):
        for _ in range(50):
            if not np.array_equal(native.score(*rows[number])[0], expected[number]):
                wrong.append(number)

    threads = [threading.Thread(target=score, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_steps_of_two_threads_are_those_of_one(model, kernels):
    update, alone = (make_update(one, kernels, "muon") for one in (model, build_model("2x32x2", VOCAB)))
    batch = draw_windows(VOCAB, 4, 20)

    def steps(one, count):
        for _ in range(count):
            one(*batch, 80)

    threads = [threading.Thread(target=steps, args=(update, 20)) for _ in range(2)]
    for thread in threads:
        thread.start()
    steps(alone, 40)
    for thread in threads:
        thread.join()
    pairs = zip(model.parameters(), alone.native.parameters, strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
