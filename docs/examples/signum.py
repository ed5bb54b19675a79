"""Signum (Bernstein et al. 2018, arXiv 1802.04434): an optimizer in one file.

It moves every weight by the same length: the sign of an average of gradients.

capacity run --optimizer signum:signum --lr 0.001 --momentum 0.9 --sizes 2x48 --people 500
"""

from collections.abc import Callable

import torch

from train.architectures.causal_lm import ParameterGroups
from train.settings import Settings


class Signum(torch.optim.Optimizer):
    """m goes to g by 1 - momentum; then w shrinks by lr · decay and moves by lr · sign(m)."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update."""
        for group in self.param_groups:
            for parameter in (p for p in group["params"] if p.grad is not None):
                state = self.state[parameter]
                if not state:
                    state["average"] = torch.zeros_like(parameter)
                average = state["average"].lerp_(parameter.grad, 1 - group["momentum"])
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.sub_(average.sign(), alpha=group["lr"])


class SignumKind:
    """Signum for every parameter; it decays matrices and tables."""

    uses = frozenset({"lr", "embedding_lr", "weight_decay", "momentum"})
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
        return [Signum(parameters, {"momentum": settings.momentum})]


signum = SignumKind()
