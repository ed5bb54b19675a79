"""AdamW for every parameter, as the paper trains (Allen-Zhu and Li, arXiv 2404.05405)."""

from collections.abc import Sequence
from typing import Any

import torch

from train.architectures.causal_lm import ParameterGroups
from train.settings import Settings


class AdamW:
    """`lr` on the matrices inside the blocks, `embedding_lr` on the rest; decay falls on matrices and tables only."""

    uses = frozenset({"lr", "embedding_lr", "weight_decay", "beta1", "beta2", "eps"})
    native = True
    one_lr = True

    def make(self, groups: ParameterGroups, settings: Settings) -> list[torch.optim.Optimizer]:
        """One optimizer whose groups are tables, matrices and vectors."""
        inside = {"params": [matrix.parameter for matrix in groups.matrices], "lr": settings.lr}
        return [adamw(groups, settings, [inside | {"weight_decay": settings.weight_decay}])]


def adamw(groups: ParameterGroups, settings: Settings, inside: Sequence[dict[str, Any]] = ()) -> torch.optim.AdamW:
    """AdamW for tables and vectors, with more groups between the two."""
    tables = {"params": groups.tables, "lr": settings.embedding_lr, "weight_decay": settings.weight_decay}
    vectors = {"params": groups.vectors, "lr": settings.embedding_lr, "weight_decay": 0.0}
    betas = (settings.beta1, settings.beta2)
    return torch.optim.AdamW([tables, *inside, vectors], betas=betas, eps=settings.eps, fused=True)


ADAMW = AdamW()
