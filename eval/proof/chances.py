"""Logits as the probabilities of an arithmetic coder, the same on every machine.

In: logits in float64. Out: integers, their weights, probabilities. Logits are rounded to 2^-12, and everything behind
is integer arithmetic but for one division, which IEEE 754 defines to the last bit.
"""

from decimal import Context, Decimal
from typing import Any

import numpy as np
from jaxtyping import Float, Int

GRID = 1 << 12
"""Steps of a logit in a nat."""
_ERROR = 1e-12
"""Error of a logit, nats, that another machine, batch or kernel may make in float64."""
_BITS = 31
_PART = 1 << 8
"""Exponentials are a product of two, from tables: of whole parts, and of the steps in a part."""


def _table(count: int, steps: int) -> Int[np.ndarray, " count"]:
    """2^31 · exp(−i · steps / GRID) for i = 0, 1, ..., rounded down."""
    exact = Context(prec=40)
    return np.array([int((1 << _BITS) * exact.exp(Decimal(-i * steps) / GRID)) for i in range(count)], dtype=np.int64)


_PARTS, _STEPS = _table(_BITS * 12, _PART), _table(_PART, 1)  # ln 2 · 31 nats are below 12 · 31 parts of 1/16 nat


def rounded(logits: Float[np.ndarray, "*rows vocab"]) -> Int[np.ndarray, "*rows vocab"]:
    """Logits in steps of the grid."""
    return np.rint(logits * GRID).astype(np.int64)


def weights(steps: Int[np.ndarray, "rows vocab"]) -> Int[np.ndarray, "rows vocab"]:
    """2^31 · exp(logit − largest logit), in integers; 0 where that is below 1."""
    below = steps.max(axis=1, keepdims=True) - steps
    part = np.minimum(below // _PART, len(_PARTS) - 1)
    return (_PARTS[part] * _STEPS[below % _PART]) >> _BITS


def probabilities(steps: Int[np.ndarray, "rows vocab"]) -> Float[np.ndarray, "rows vocab"]:
    """Softmax of rounded logits; sums of integers below 2^53 are exact in float64."""
    integers = weights(steps)
    chances: Any = integers / integers.sum(axis=1, keepdims=True)
    return chances


def ambiguous(logits: Float[np.ndarray, "rows vocab"]) -> int:
    """The number of logits that another machine may round otherwise, of those that have any weight."""
    scaled = logits * GRID
    near = np.abs(scaled - np.floor(scaled) - 0.5) < _ERROR * GRID
    return int((near & (weights(rounded(logits)) > 0)).sum())
