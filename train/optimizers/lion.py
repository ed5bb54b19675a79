"""Lion for every parameter: each weight moves by the learning rate, by the sign of an average of gradients.

Chen et al. 2023, arXiv 2302.06675, algorithm 2.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from train.architectures.causal_lm import ParameterGroups
from train.settings import Settings


class Lion(torch.optim.Optimizer):
    """w shrinks by lr · decay and moves by -lr · sign(beta1 · m + (1 - beta1) · g); then m goes to g by 1 - beta2."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        assert closure is None, "Lion takes one step per gradient"
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            grads = [p.grad for p in parameters]
            averages = [self._average(p) for p in parameters]
            beta1, beta2 = group["betas"]
            updates = torch._foreach_lerp(averages, grads, 1 - beta1)
            torch._foreach_sign_(updates)
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(parameters, updates, alpha=-group["lr"])
            torch._foreach_lerp_(averages, grads, 1 - beta2)

    def _average(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "average" not in state:
            state["average"] = torch.zeros_like(parameter)
        return state["average"]


class LionKind:
    """`lr` on the matrices inside the blocks, `embedding_lr` on the rest; decay falls on matrices and tables only."""

    uses = frozenset({"lr", "embedding_lr", "weight_decay", "beta1", "beta2"})
    native = False
    one_lr = True

    def make(self, groups: ParameterGroups, settings: Settings) -> list[torch.optim.Optimizer]:
        """One optimizer whose groups are tables, matrices and vectors."""
        decay, rest = settings.weight_decay, settings.embedding_lr
        parameters: list[dict[str, Any]] = [
            {"params": groups.tables, "lr": rest, "weight_decay": decay},
            {"params": [matrix.parameter for matrix in groups.matrices], "lr": settings.lr, "weight_decay": decay},
            {"params": groups.vectors, "lr": rest, "weight_decay": 0.0},
        ]
        return [Lion(parameters, {"betas": (settings.beta1, settings.beta2)})]


LION = LionKind()
