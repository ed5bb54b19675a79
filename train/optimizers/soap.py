"""SOAP for the matrices inside the blocks, AdamW for the rest.

SOAP: Vyas et al. 2024, arXiv 2409.11321, algorithm 3. It is Adam in the eigenbases of Shampoo's preconditioners.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from train.architectures.causal_lm import ParameterGroups
from train.optimizers.adamw import AdamW, adamw
from train.optimizers.stacks import as_stack, from_stack, groups_by_heads
from train.settings import Settings

BASIS_STEPS = 10
"""Steps between two updates of the eigenbases: the paper's default."""


class Held(NamedTuple):
    """A parameter, its group, its gradient as a stack of matrices, and its state."""

    parameter: Tensor
    group: dict[str, Any]
    gradient: Tensor
    state: dict[str, Tensor]


class Soap(torch.optim.Optimizer):
    """Adam in slowly turning eigenbases, all equal-shaped matrices in one batched product.

    The preconditioners of a matrix are averages of G·Gᵀ and Gᵀ·G with beta2, as in the authors' code. Their
    eigenvectors are found at the first step, which moves no weight, and follow by one step of the power iteration and
    a QR decomposition every `BASIS_STEPS` steps. Decay is decoupled: weights shrink by lr · weight_decay. A group with
    `qkv_heads` > 0 holds fused matrices whose rows are [heads, 3, head_width].
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        lr: float,
        weight_decay: float,
        betas: tuple[float, float],
        eps: float,
    ) -> None:
        defaults = {"lr": lr, "weight_decay": weight_decay, "betas": betas, "eps": eps, "qkv_heads": 0}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        assert closure is None, "SOAP takes one step per gradient"
        alike: defaultdict[tuple[torch.Size, int], list[Held]] = defaultdict(list)
        for group in self.param_groups:
            for parameter in (p for p in group["params"] if p.grad is not None):
                gradient = as_stack(parameter.grad, group["qkv_heads"])
                state = self.state[parameter]
                if not state:
                    state.update(_new_state(gradient))
                alike[gradient.shape[1:], int(state["step"])].append(Held(parameter, group, gradient, state))
        for (_, step), held in alike.items():
            self._update(held, step)

    def _update(self, held: list[Held], step: int) -> None:
        """Update parameters whose matrices have one shape."""
        gradients = torch.cat([one.gradient for one in held])
        names = [name for name in held[0].state if name != "step"]
        stacks = {name: torch.cat([one.state[name] for one in held]) for name in names}
        if step:
            direction = _adam(gradients, stacks, step, self.defaults["betas"], self.defaults["eps"])
            parts = direction.split([len(one.gradient) for one in held])
            for (parameter, group, _, _), part in zip(held, parts, strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(from_stack(part, parameter, group["qkv_heads"]), alpha=-group["lr"])
        _precondition(gradients, stacks, step, self.defaults["betas"][1])
        for name, stack in stacks.items():
            parts = stack.split([len(one.gradient) for one in held])
            torch._foreach_copy_([one.state[name] for one in held], list(parts))
        torch._foreach_add_([one.state["step"] for one in held], 1)


def _new_state(gradient: Tensor) -> dict[str, Tensor]:
    """The state before the first step; gradient: [n, rows, columns]. `square` is in the eigenbases."""
    n, rows, columns = gradient.shape
    left, right = gradient.new_zeros(n, rows, rows), gradient.new_zeros(n, columns, columns)
    return {
        "step": torch.zeros(()),
        "average": torch.zeros_like(gradient, memory_format=torch.contiguous_format),
        "square": torch.zeros_like(gradient, memory_format=torch.contiguous_format),
        "left": left,
        "right": right,
        "left_basis": left.clone(),
        "right_basis": right.clone(),
    }


def _adam(gradients: Tensor, s: dict[str, Tensor], step: int, betas: tuple[float, float], eps: float) -> Tensor:
    """The direction of Adam in the eigenbases, turned back; updates both moments."""
    beta1, beta2 = betas
    left, right = s["left_basis"], s["right_basis"]
    turned = left.mT @ gradients @ right
    s["average"].lerp_(gradients, 1 - beta1)
    s["square"].lerp_(turned.square(), 1 - beta2)
    first = left.mT @ s["average"] @ right / (1 - beta1**step)
    second = s["square"] / (1 - beta2**step)
    return left @ (first / second.sqrt_().add_(eps)) @ right.mT


def _precondition(gradients: Tensor, s: dict[str, Tensor], step: int, beta2: float) -> None:
    """Update the preconditioners, and their eigenbases when it is time."""
    s["left"].lerp_(gradients @ gradients.mT, 1 - beta2)
    s["right"].lerp_(gradients.mT @ gradients, 1 - beta2)
    if step == 0:
        s["left_basis"], s["right_basis"] = (torch.linalg.eigh(s[side])[1].flip(-1) for side in ("left", "right"))
    elif step % BASIS_STEPS == 0:
        s["left_basis"], order = _turn(s["left"], s["left_basis"])
        s["square"] = s["square"].gather(1, order[:, :, None].expand_as(s["square"]))
        s["right_basis"], order = _turn(s["right"], s["right_basis"])
        s["square"] = s["square"].gather(2, order[:, None, :].expand_as(s["square"]))


def _turn(preconditioner: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """A basis [n, d, d] nearer to the eigenvectors, largest eigenvalue first, and its order in the old one [n, d]."""
    product = preconditioner @ basis
    order = (basis * product).sum(1).argsort(dim=1, descending=True)
    return torch.linalg.qr(product.gather(2, order[:, None, :].expand_as(product)))[0], order


class SoapAndAdamW:
    """SOAP with `lr` on the matrices inside the blocks, AdamW with `embedding_lr` and the same betas on the rest."""

    uses = AdamW.uses
    native = False
    one_lr = True

    def make(self, groups: ParameterGroups, settings: Settings) -> list[torch.optim.Optimizer]:
        """SOAP for the matrices of q, k and v and for the others; AdamW for tables and vectors."""
        betas = (settings.beta1, settings.beta2)
        soap = Soap(groups_by_heads(groups), settings.lr, settings.weight_decay, betas, settings.eps)
        return [soap, adamw(groups, settings)]


SOAP = SoapAndAdamW()
