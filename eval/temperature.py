"""One temperature for all logits of a model: quantization can leave a model surer than it should be.

In: a model and texts. Out: the model with its logits divided by the temperature that makes the mean loss of the texts
least. The last norm before the output head takes the factor, and that norm is never quantized: it costs no bit.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

_LOWEST, _HIGHEST, _POINTS = 0.25, 16.0, 25
"""The temperatures that are tried: a geometric grid, then as many between the two neighbors of the best."""
_LOGITS = 1 << 25
"""Logits held at a time, at most."""


@torch.no_grad()
def set_temperature(model: nn.Module, texts: Sequence[Tensor]) -> float:
    """Divide the logits of a model, in place, by the best temperature for some texts; returns it.

    Args:
        model: gives hidden states and has `head_weight`, or gives `logits`, as models of transformers do.
        texts: batches of token ids [batch, time] without padding, on the CPU.

    Raises:
        ValueError: no norm stands before the output head, or its weights do not scale the logits.
    """
    norm = _last_norm(model, texts[0][:1])
    temperature = _best(model, texts, np.geomspace(_LOWEST, _HIGHEST, _POINTS))
    step = (_HIGHEST / _LOWEST) ** (1 / (_POINTS - 1))
    temperature = _best(model, texts, np.geomspace(temperature / step, temperature * step, _POINTS))
    before = _logits(model, texts[0][:1])
    for parameter in norm.parameters(recurse=False):
        parameter.div_(temperature)
    if not torch.allclose(_logits(model, texts[0][:1]), before / temperature, rtol=1e-3, atol=1e-4):
        raise ValueError("quantize: a temperature is not possible; the model's last norm does not scale its logits")
    return temperature


def _last_norm(model: nn.Module, tokens: Tensor) -> nn.Module:
    """The last norm that a pass runs through. Raises ValueError."""
    seen: list[nn.Module] = []
    norms = [module for module in model.modules() if "norm" in type(module).__name__.lower()]
    hooks = [module.register_forward_hook(lambda module, *_: seen.append(module)) for module in norms]
    try:
        _logits(model, tokens)
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        raise ValueError("quantize: a temperature is not possible; the model has no norm before its output head")
    return seen[-1]


def _logits(model: nn.Module, tokens: Tensor) -> Float[Tensor, "batch time vocabulary"]:
    out: Any = model(tokens.to(next(model.parameters()).device))
    if isinstance(out, Tensor):
        head: Any = model.head_weight
        out = out @ head.T
    else:
        out = out.logits
    return out.float()


def _best(model: nn.Module, texts: Sequence[Tensor], temperatures: np.ndarray) -> float:
    """The temperature with the least sum of losses over the texts."""
    nats = np.zeros(len(temperatures))
    vocabulary = _logits(model, texts[0][:1, :1]).shape[-1]
    for batch in texts:
        for part in batch.split(max(1, _LOGITS // (batch.shape[1] * vocabulary))):
            logits = _logits(model, part)[:, :-1].flatten(0, 1)
            targets = part[:, 1:].flatten().to(logits.device)
            nats += [float(F.cross_entropy(logits / one, targets, reduction="sum")) for one in temperatures]
    return float(temperatures[int(nats.argmin())])
