"""Lion (Chen et al. 2023, arXiv 2302.06675): an optimizer in one file.

It moves every weight by the same length: the sign of an average of gradients.

capacity run --optimizer lion:lion --lr 0.001 --beta1 0.9 --beta2 0.99 --sizes 2x48 --people 500
"""

from collections.abc import Callable

import torch

from train.architectures.causal_lm import ParameterGroups
from train.settings import Settings


class Lion(torch.optim.Optimizer):
    """w shrinks by lr · decay and moves by lr · sign(beta1 · m + (1 - beta1) · g); then m goes to g by 1 - beta2."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update."""
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in (p for p in group["params"] if p.grad is not None):
                state = self.state[parameter]
                if not state:
                    state["average"] = torch.zeros_like(parameter)
                average = state["average"]
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.sub_(average.lerp(parameter.grad, 1 - beta1).sign(), alpha=group["lr"])
                average.lerp_(parameter.grad, 1 - beta2)


class LionKind:
    """Lion for every parameter; it decays matrices and tables."""

    uses = frozenset({"lr", "embedding_lr", "weight_decay", "beta1", "beta2"})
    native = False
    one_lr = True

    def make(self, groups: ParameterGroups, settings: Settings) -> list[torch.optim.Optimizer]:
        """One optimizer."""
        decay, rest = settings.weight_decay, settings.embedding_lr
        parameters = [
            {"params": [matrix.parameter for matrix in groups.matrices], "lr": settings.lr, "weight_decay": decay},
            {"params": groups.tables, "lr": rest, "weight_decay": decay},
            {"params": groups.vectors, "lr": rest, "weight_decay": 0.0},
        ]
        return [Lion(parameters, {"betas": (settings.beta1, settings.beta2)})]


lion = LionKind()
