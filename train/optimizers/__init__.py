"""Optimizers by name: a file each.

In: a name from a preset or a flag. Out: what makes the `torch.optim.Optimizer`s of a run from a model's parameter
groups. To add one, add its file and its line here; a user's own is named `module:Name`. This package imports no torch
before an optimizer is asked for, so that programs that merely list names start fast.
"""

from typing import TYPE_CHECKING, Protocol

from basis.registry import Registry
from train.settings import Settings

if TYPE_CHECKING:
    import torch

    from train.architectures.causal_lm import ParameterGroups


class OptimizerKind(Protocol):
    """One way to optimize all parameters of a model."""

    uses: frozenset[str]
    """The settings that it reads, among lr, embedding_lr, weight_decay, beta1, beta2, eps and momentum."""
    native: bool
    """Whether the compiled kernels compute its step."""
    one_lr: bool
    """Whether embedding_lr defaults to lr."""

    def make(self, groups: "ParameterGroups", settings: Settings) -> "list[torch.optim.Optimizer]":
        """Optimizers that together hold every parameter once.

        The learning rates that the groups have here are peaks: the training loop scales them. Checkpoints know
        parameters by their place in an optimizer. States hold tensors alone, alike in names, types and shapes after
        every step.
        """
        ...


OPTIMIZERS: Registry[OptimizerKind] = Registry(
    "optimizer",
    {
        "adamw": "train.optimizers.adamw:ADAMW",
        "muon": "train.optimizers.muon:MUON",
        "lion": "train.optimizers.lion:LION",
        "soap": "train.optimizers.soap:SOAP",
    },
    needs=("uses", "native", "one_lr", "make"),
)
