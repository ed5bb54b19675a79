"""AdamW is the formula, Muon's step is orthogonal, and all go on from a saved state as if never stopped."""

import copy
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.train.architectures.conftest import EVERY_FORM, new
from tests.train.test_loop import SETTINGS
from train.architectures.gpt2 import GPT2
from train.loop import make_optimizers
from train.optimizers import OPTIMIZERS
from train.optimizers.muon import Muon, orthogonalize
from train.sizes import parse_size

ARGUMENTS: dict[str, Any] = {
    "lr": 1e-2,
    "embedding_lr": 3e-3,
    "weight_decay": 0.1,
    "beta1": 0.9,
    "beta2": 0.98,
    "eps": 1e-6,
    "momentum": 0.95,
}
NUMBERS = frozenset(ARGUMENTS)


def prepared(optimizer: str, **changes: Any) -> tuple[GPT2, list[torch.optim.Optimizer]]:
    model = GPT2(parse_size("2x48"), 29)
    model.initialize("width", seed=0)
    return model, make_optimizers(model, replace(SETTINGS, optimizer=optimizer, **ARGUMENTS | changes))


def draw_gradients(model: GPT2, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def snapshot(model: GPT2) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names)
@pytest.mark.parametrize("form", EVERY_FORM)
def test_every_parameter_belongs_to_exactly_one_group(optimizer: str, form: str) -> None:
    model = new(form)
    optimizers = make_optimizers(model, replace(SETTINGS, optimizer=optimizer))
    held = [id(p) for one in optimizers for group in one.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())


def test_checkpoints_find_adamws_parameters_in_the_order_of_the_model() -> None:
    model, (optimizer,) = prepared("adamw")
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert held == [id(p) for p in sorted(model.parameters(), key=lambda p: p.ndim < 2)]


def test_adamw_is_the_formula_and_decays_matrices_only() -> None:
    model, (optimizer,) = prepared("adamw")
    expected = {name: value.double() for name, value in snapshot(model).items()}
    first = {name: torch.zeros_like(value) for name, value in expected.items()}
    second = copy.deepcopy(first)
    beta1, beta2 = ARGUMENTS["beta1"], ARGUMENTS["beta2"]
    for t in (1, 2, 3):
        draw_gradients(model, seed=t)
        optimizer.step()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            gradient = parameter.grad.double()
            first[name] = beta1 * first[name] + (1 - beta1) * gradient
            second[name] = beta2 * second[name] + (1 - beta2) * gradient**2
            root = (second[name] / (1 - beta2**t)).sqrt() + ARGUMENTS["eps"]
            in_blocks = name.startswith("blocks.") and parameter.ndim == 2
            lr = ARGUMENTS["lr" if in_blocks else "embedding_lr"]
            decay = lr * ARGUMENTS["weight_decay"] if parameter.ndim == 2 else 0.0
            expected[name] = expected[name] * (1 - decay) - lr * first[name] / (1 - beta1**t) / root
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach().double(), expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 16, 64)])
def test_orthogonalization_keeps_the_directions_and_evens_the_lengths(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    u, _, vt = torch.linalg.svd(torch.randn(shape, generator=generator), full_matrices=False)
    lengths = torch.linspace(0.05, 3.0, shape[1])
    result = u.mT @ orthogonalize(u * lengths @ vt) @ vt.mT
    diagonal = result.diagonal(0, 1, 2)
    assert diagonal.min() > 0.6
    assert diagonal.max() < 1.3
    torch.testing.assert_close(result, torch.diag_embed(diagonal), rtol=0, atol=1e-3)


def matrices_of(name: str, matrix: Tensor, heads: int) -> list[Tensor]:
    """A parameter as the maps it stands for: q, k and v apart."""
    if not name.endswith("qkv.weight"):
        return [matrix]
    return [part.flatten(0, 1) for part in matrix.unflatten(0, (heads, 3, -1)).unbind(1)]


def test_muon_moves_every_matrix_of_the_blocks_by_an_orthogonal_step() -> None:
    model, optimizers = prepared("muon", weight_decay=0.0)
    before = snapshot(model)
    draw_gradients(model, seed=1)
    for block in model.blocks:  # q's gradient far below v's: apart, their steps are still of one size
        assert block.qkv.weight.grad is not None
        block.qkv.weight.grad.unflatten(0, (3, 3, 16))[:, 0] *= 1e-3
    for optimizer in optimizers:
        optimizer.step()
    for name, parameter in model.blocks.named_parameters():
        if parameter.ndim < 2:
            continue
        step = (before[f"blocks.{name}"] - parameter.detach()) / ARGUMENTS["lr"]
        assert parameter.grad is not None
        gradients = matrices_of(name, parameter.grad, 3)
        for part, gradient in zip(matrices_of(name, step, 3), gradients, strict=True):
            scale = max(1.0, part.shape[0] / part.shape[1]) ** 0.5
            lengths = torch.linalg.svdvals(part) / scale
            assert lengths.max() < 1.3
            assert lengths.median() > 0.6
            assert (part * gradient).sum() > 0.7 * scale * torch.linalg.svdvals(gradient).sum()


def test_muon_equals_torchs_on_unfused_matrices() -> None:
    model, (muon, _) = prepared("muon")
    names = [n for n, p in model.blocks.named_parameters() if p.ndim == 2 and not n.endswith("qkv.weight")]
    ours = [model.blocks.get_parameter(name) for name in names]
    theirs = [p.detach().clone().requires_grad_() for p in ours]
    before = [p.detach().clone() for p in ours]
    reference = torch.optim.Muon(theirs, lr=1e-2, weight_decay=0.1, momentum=0.95)
    for seed in range(4):
        draw_gradients(model, seed)
        for a, b in zip(ours, theirs, strict=True):
            assert a.grad is not None
            b.grad = a.grad.clone()
        muon.step()
        reference.step()
    for a, b, start in zip(ours, theirs, before, strict=True):
        assert (a - b).norm() < 0.03 * (a - start).norm()  # torch's iteration rounds to bf16


def test_muon_decays_by_lr_times_decay() -> None:
    model, (muon, _) = prepared("muon")
    before = snapshot(model)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    muon.step()
    for name, parameter in model.named_parameters():
        shrink = 1 - 1e-3 if parameter.ndim == 2 and name.startswith("blocks") else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * shrink)


def test_muon_steps_a_stack_of_matrices_as_each_alone() -> None:
    stack = torch.nn.Parameter(torch.randn(3, 32, 16, generator=torch.Generator().manual_seed(0)))
    apart = [torch.nn.Parameter(matrix.clone()) for matrix in stack.detach()]
    numbers = {"lr": 0.01, "weight_decay": 0.1, "momentum": 0.9}
    one, other = Muon([{"params": [stack]}], **numbers), Muon([{"params": apart}], **numbers)
    for seed in range(3):
        stack.grad = torch.randn(stack.shape, generator=torch.Generator().manual_seed(seed))
        for matrix, gradient in zip(apart, stack.grad, strict=True):
            matrix.grad = gradient
        one.step()
        other.step()
    torch.testing.assert_close(stack.detach(), torch.stack([matrix.detach() for matrix in apart]))


OWN = """
import torch

class Descent:
    uses, native, one_lr = frozenset({"lr", "momentum"}), False, True

    def make(self, groups, settings):
        matrices = [matrix.parameter for matrix in groups.matrices]
        everything = [*groups.tables, *matrices, *groups.vectors]
        return [torch.optim.SGD(everything, lr=settings.lr, momentum=settings.momentum)]

class Forgetful(Descent):
    def make(self, groups, settings):
        return [torch.optim.SGD(groups.tables, lr=settings.lr)]

class Greedy(Descent):
    def make(self, groups, settings):
        return super().make(groups, settings) * 2

descent, forgetful, greedy = Descent(), Forgetful(), Greedy()
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_optimizers.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield lambda name: f"own_optimizers:{name}"
    sys.modules.pop("own_optimizers", None)


def test_a_users_own_optimizer_steps_as_it_says(own) -> None:
    model, (optimizer,) = prepared(own("descent"), momentum=0.0)
    before = snapshot(model)
    draw_gradients(model, seed=1)
    optimizer.step()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.detach(), before[name] - ARGUMENTS["lr"] * parameter.grad)


@pytest.mark.parametrize("name", ["forgetful", "greedy"])
def test_an_optimizer_that_does_not_hold_every_parameter_once_is_refused(own, name) -> None:
    with pytest.raises(ValueError, match=f"^optimizer: 'own_optimizers:{name}' does not hold every parameter once$"):
        prepared(own(name))


def test_an_optimizer_without_kernels_is_never_trained_by_them(own) -> None:
    with pytest.raises(ValueError, match=r"^optimizer: .*descent' is not allowed with native kernels"):
        prepared(own("descent"), native=True)


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names)
def test_an_optimizer_uses_the_settings_that_it_says(optimizer: str) -> None:
    weights = {}
    for changed in (None, *sorted(NUMBERS)):
        changes = {changed: ARGUMENTS[changed] * 0.5} if changed else {}
        model, optimizers = prepared(optimizer, **changes)
        for seed in range(2):
            draw_gradients(model, seed)
            for one in optimizers:
                one.step()
        weights[changed] = torch.cat([p.detach().flatten() for p in model.parameters()])
    used = {name for name in NUMBERS if not torch.equal(weights[name], weights[None])}
    assert used == OPTIMIZERS[optimizer].uses


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names)
def test_learning_rate_follows_the_groups(optimizer: str) -> None:
    model, optimizers = prepared(optimizer)
    before = snapshot(model)
    draw_gradients(model, seed=1)
    for one in optimizers:
        for group in one.param_groups:
            assert group["initial_lr"] == group["lr"]
            group["lr"] = 0.0
        one.step()
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names)
def test_a_saved_state_goes_on_to_the_same_bits(optimizer: str) -> None:
    model, optimizers = prepared(optimizer)
    for seed in range(3):
        draw_gradients(model, seed)
        for one in optimizers:
            one.step()
    states = [copy.deepcopy(one.state_dict()) for one in optimizers]
    for state in states:
        for entry in state["state"].values():
            assert all(type(value) is Tensor for value in entry.values())
    resumed, others = prepared(optimizer)
    resumed.load_state_dict(model.state_dict())
    for one, state in zip(others, states, strict=True):
        one.load_state_dict(state)
    for seed in range(3, 12):  # SOAP's bases turn at the eleventh step
        for which, held in ((model, optimizers), (resumed, others)):
            draw_gradients(which, seed)
            for one in held:
                one.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), resumed.parameters(), strict=True))


def test_a_parameter_without_gradient_stays() -> None:
    model, optimizers = prepared("muon")
    before = snapshot(model)
    for one in optimizers:
        one.step()
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
