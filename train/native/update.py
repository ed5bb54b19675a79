"""One step of training by the compiled kernels: a batch comes in, parameters and optimizer states change in place.

The optimizers are those of `train/optimizers`, and their states stay theirs: a checkpoint is the same on both paths.
"""

import ctypes
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from train.architectures.causal_lm import CausalLM
from train.native.model import NativeModel
from train.native.tensors import Tensors
from train.optimizers.muon import Muon

NO_MEMORY = "kernels: no memory for the buffers of Muon"


class NativeUpdate:
    """Forward, backward, clipping and optimizers, one call a step. `clip`: largest norm of the gradient.

    With a library for bf16, the products of Muon round their inputs too; weights and states stay fp32.

    Raises:
        ValueError: an optimizer without a kernel, or a model that the kernels cannot compute.

    """

    def __init__(
        self, model: CausalLM, optimizers: list[torch.optim.Optimizer], clip: float, kernels: ctypes.CDLL
    ) -> None:
        for optimizer in optimizers:
            _check_kernel(optimizer)
        self.native = NativeModel(model, kernels)
        self.optimizers, self.clip = optimizers, clip
        self._grads = [torch.zeros_like(p, requires_grad=False) for p in self.native.parameters]
        self._bound = self.native.bind(self._grads, ".grad")
        self._muons: dict[tuple[int, int, int], int] = {}
        self._steps: list[Callable[[float], None]] = []
        self._states = Tensors()
        for optimizer in optimizers:
            optimizer.register_load_state_dict_post_hook(lambda _: self._steps.clear())

    def __call__(
        self, inputs: Int[np.ndarray, "batch time"], targets: Int[np.ndarray, "batch time"], count: int
    ) -> float:
        """Update, with the learning rates that the optimizers' groups have now; the loss in nats, over `count`.

        Raises ValueError as `NativeModel.gradients` does, and for states unlike those that the optimizers make.
        """
        with self.native.lock:
            if not self._steps or self._states.moved:  # in the first step, and after the states were loaded
                self._bind()
            total = self.native.gradients(inputs, targets, self._bound, 1 / count)
            sizes = self.native.sizes
            factor = self.native.kernels.kc_clip_factor(self._bound.array, sizes, len(sizes), self.clip)
            for step in self._steps:
                step(factor)
        return total / count

    def _bind(self) -> None:
        """Make a call for each parameter that applies its optimizer."""
        parameters = map(id, self.native.parameters)
        known = dict(zip(parameters, zip(self.native.names, self._grads, strict=True), strict=True))
        self._states, steps = Tensors(), []
        for optimizer in self.optimizers:
            bind = _KERNELS[type(optimizer)]
            for group in optimizer.param_groups:
                steps += [bind(self, optimizer.state[p], group, p, *known[id(p)]) for p in group["params"]]
        self._steps = steps

    def _addresses(
        self, p: Tensor, name: str, grad: Tensor, state: Any, shapes: Mapping[str, Sequence[int]]
    ) -> list[int]:
        """Where a parameter, its gradient and its state begin. Raises ValueError for tensors of other kinds."""
        if state.keys() != shapes.keys():
            has, must = (", ".join(sorted(keys)) for keys in (state, shapes))
            raise ValueError(f"{name}: a state of {has} is not allowed with native kernels; must be {must}")
        own = [self._states.add(f"{name}.{key}", state[key], shape) for key, shape in shapes.items()]
        return [self._states.add(name, p, grad.shape), grad.data_ptr(), *own]

    def _adamw(self, state: Any, group: dict[str, Any], p: Tensor, name: str, grad: Tensor) -> Callable[[float], None]:
        if not state:  # as torch.optim.AdamW begins
            state |= {"exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p), "step": torch.zeros(())}
        shapes = {"exp_avg": p.shape, "exp_avg_sq": p.shape, "step": ()}
        where = self._addresses(p, name, grad, state, shapes)
        size, kernel = p.numel(), self.native.kernels.kc_adamw

        def step(factor: float) -> None:
            kernel(*where, size, factor, group["lr"], group["weight_decay"], *group["betas"], group["eps"])

        return step

    def _muon(self, state: Any, group: dict[str, Any], p: Tensor, name: str, grad: Tensor) -> Callable[[float], None]:
        if not state:
            state["momentum_buffer"] = torch.zeros_like(p)
        heads = group["qkv_heads"]
        if p.ndim != 2 or heads < 0 or (heads and p.shape[0] % (3 * heads)):
            raise ValueError(
                f"{name}: {list(p.shape)} is not allowed with {heads} heads of q, k and v; must be a matrix"
            )
        rows, columns = p.shape
        shape = (rows, columns, heads)
        kernels = self.native.kernels
        if shape not in self._muons:
            self._muons[shape] = kernels.kc_muon()
            if not self._muons[shape]:
                raise MemoryError(NO_MEMORY)
            weakref.finalize(self, kernels.kc_free_muon, self._muons[shape]).atexit = False
        where = [self._muons[shape], *self._addresses(p, name, grad, state, {"momentum_buffer": p.shape})]

        def step(factor: float) -> None:
            decay, momentum = group["weight_decay"], group["momentum"]
            if not kernels.kc_muon_step(*where, *shape, factor, group["lr"], decay, momentum):
                raise MemoryError(NO_MEMORY)

        return step


_KERNELS = {torch.optim.AdamW: NativeUpdate._adamw, Muon: NativeUpdate._muon}
"""The kernel of each optimizer class. Subclasses are not included, as they may compute another step."""


def _check_kernel(optimizer: torch.optim.Optimizer) -> None:
    """Raises ValueError for an optimizer whose step no kernel computes."""
    name = type(optimizer).__name__
    if type(optimizer) not in _KERNELS:
        allowed = " or ".join(kind.__name__ for kind in _KERNELS)
        raise ValueError(f"optimizer: {name} is not allowed with native kernels; must be {allowed}")
    for option in ("amsgrad", "maximize"):
        if any(group.get(option) for group in optimizer.param_groups):
            raise ValueError(f"optimizer: {name} with {option} is not allowed with native kernels; must be without")
