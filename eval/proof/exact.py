"""A model of transformers' in float64, token by token.

In: a model, and the next token of many texts. Out: the logits behind it. Layers that compute in float32 whatever the
type of the model, as norms and rotations do, compute in float64, too.
"""

import contextlib
import copy
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from biogen.saved import reason_of

_NARROW = (torch.float32, torch.float16, torch.bfloat16)
_NARROWING: tuple[Any, ...] = (Tensor.float, Tensor.half, Tensor.bfloat16)
_CACHES = ("cache", "past_key_values")
"""The argument that holds what a model has read, by versions of transformers."""


class _Float64(TorchFunctionMode):
    """Whatever asks for a narrower type gets float64."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What `func` returns."""
        if func in _NARROWING:
            return args[0].double()
        named = {name: _widened(value) for name, value in (kwargs or {}).items()}
        return func(*map(_widened, args), **named)


def _widened(value: Any) -> Any:
    return torch.float64 if isinstance(value, torch.dtype) and value in _NARROW else value


@contextlib.contextmanager
def _in_float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad(), _Float64():
            yield
    finally:
        torch.set_default_dtype(before)


class Exact:
    """Reads a copy of a model; `batch` texts at a time. Raises ValueError where it has no logits."""

    def __init__(self, model: nn.Module, device: torch.device, batch: int) -> None:
        self.device, self.batch = device, batch
        self.model = copy.deepcopy(model).double().to(device).eval()
        with _in_float64():
            for part in self.model.modules():
                _turn_exactly(part)
        takes = inspect.signature(self.model.forward).parameters
        self.cache = next((name for name in _CACHES if name in takes), None)

    def begin(self, rows: int) -> "Reading":
        """Begin to read so many texts."""
        return Reading(self, rows)


class Reading:
    """Texts that are read along, a token of each at a time."""

    def __init__(self, exact: Exact, rows: int) -> None:
        self._exact = exact
        self._parts = [slice(first, min(first + exact.batch, rows)) for first in range(0, rows, exact.batch)]
        self._caches: list[Any] = [None] * len(self._parts)
        self._read = np.empty((rows, 0), dtype=np.int64)

    def next(self, tokens: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows vocab"]:
        """The logits behind the next token of each text."""
        self._read = np.concatenate([self._read, tokens[:, None]], axis=1)
        with _in_float64():
            return np.concatenate([self._logits(number) for number in range(len(self._parts))])

    def _logits(self, number: int) -> Float[np.ndarray, "batch vocab"]:
        exact, read = self._exact, self._read[self._parts[number]]
        given: dict[str, Any] = {}
        if exact.cache is not None:
            given = {exact.cache: self._caches[number], "use_cache": True}
            read = read[:, -1:] if self._caches[number] is not None else read
        try:
            out = exact.model(input_ids=torch.from_numpy(read.copy()).to(exact.device), **given)
        except Exception as error:
            raise ValueError(f"model: it has no logits for a text ({reason_of(error)})") from None
        self._caches[number] = getattr(out, exact.cache, None) if exact.cache is not None else None
        if out.logits.dtype != torch.float64:
            raise ValueError(f"model: its logits are of {out.logits.dtype}; must be torch.float64")
        logits: np.ndarray = out.logits[:, -1].cpu().numpy()
        return logits


def _turn_exactly(part: nn.Module) -> None:
    """Compute the frequencies of a rotation again, in float64, where the model's class says how."""
    made: Any = getattr(part, "compute_default_rope_parameters", None)
    kind: Any = getattr(part, "rope_type", None)
    if made is None or kind != "default" or not isinstance(getattr(part, "inv_freq", None), Tensor):
        return
    turned: Any = part
    frequencies, _ = made(turned.config)
    if frequencies.shape == turned.inv_freq.shape:
        turned.inv_freq = frequencies.to(turned.inv_freq.device)
