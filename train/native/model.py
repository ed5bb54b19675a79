"""The compiled model: the parameters of a model and arrays of tokens come in, gradients or scores (nats) go out.

Passes run on the calling thread, in fp32; a library for bf16 rounds the inputs of matrix products, and inside attention
only the one for AMX does. The parameters stay where PyTorch has them.
"""

import ctypes
import threading
import weakref
from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from train.architectures.causal_lm import CausalLM
from train.architectures.rotary import rotation
from train.native.form import KernelForm, to_struct
from train.native.tensors import Tensors

_LONGEST, _MOST_TOKENS = 1 << 20, 1 << 30
"""The longest window and the largest batch, in tokens: the kernels' numbers stay below 2^31."""


def _enough_memory(total: float) -> float:
    """A pass's sum of losses; the kernels give -1, which no sum is, where there was no memory for the pass."""
    if total == -1:
        raise MemoryError("kernels: no memory for the activations of a pass; try shorter windows")
    return total


def _form_of(model: CausalLM) -> KernelForm:
    """The form of a model. Raises ValueError for one that the kernels cannot compute."""
    form = model.kernel_form()
    if form is None:
        raise ValueError(f"kernels: native is not allowed with {type(model).__name__}; must be auto or pytorch")
    if misfit := form.misfit():
        raise ValueError(misfit)
    return form


def _check_layout(model: CausalLM, layout: str) -> None:
    """Raises ValueError for a model whose parameters are not those that the kernels read, in their order."""
    found = [(name, list(parameter.shape)) for name, parameter in model.named_parameters()]
    wanted = [(name, [*map(int, sizes)]) for name, *sizes in map(str.split, layout.splitlines())]
    for has, needs in zip_longest(found, wanted):
        if has != needs:
            told, must = (f"'{one[0]}' {one[1]}" if one else "none" for one in (has, needs))
            raise ValueError(f"parameters: {told} is not allowed with native kernels; must be {must} at this place")


class NativeModel:
    """Passes over a model by the kernels of a library. Calls from several threads wait for each other.

    Raises:
        ValueError: the model has no form that they can compute, or other parameters than its form says.

    """

    def __init__(self, model: CausalLM, kernels: ctypes.CDLL) -> None:
        self.form, self.kernels = _form_of(model), kernels
        self.lock = threading.RLock()
        """Held during a call: the passes share buffers."""
        self.names = [name for name, _ in model.named_parameters()]
        self.parameters = list(model.parameters())
        self.shapes = [parameter.shape for parameter in self.parameters]
        self.sizes = (ctypes.c_int64 * len(self.parameters))(*[p.numel() for p in self.parameters])
        self._handle = kernels.kc_make_model(ctypes.byref(to_struct(self.form)))
        if not self._handle:
            raise MemoryError(f"kernels: no memory for a model of size {model.size}")
        weakref.finalize(self, kernels.kc_free_model, self._handle).atexit = False  # a thread may be in a pass
        _check_layout(model, kernels.kc_layout(self._handle).decode())
        self._bound = self.bind(self.parameters)
        self._cos, self._sin = rotation(0, self._head_width)

    @property
    def _head_width(self) -> int:
        return self.form.width // self.form.heads

    def bind(self, tensors: Sequence[Tensor], suffix: str = "") -> Tensors:
        """Tensors like the parameters, one for each. Raises ValueError for others."""
        if len(tensors) != len(self.names):
            raise ValueError(f"grads: {len(tensors)} tensors are not allowed; must be {len(self.names)}")
        bound = Tensors()
        for name, tensor, shape in zip(self.names, tensors, self.shapes, strict=True):
            bound.add(f"{name}{suffix}", tensor, shape)
        return bound

    def gradients(
        self,
        inputs: Int[np.ndarray, "batch time"],
        targets: Int[np.ndarray, "batch time"],
        grads: Sequence[Tensor] | Tensors,
        scale: float,
    ) -> float:
        """Sum of cross-entropies in nats; writes the gradients of scale · sum into `grads`, one a parameter.

        Raises ValueError for tokens outside the vocabulary, other arrays, or tensors unlike the parameters.
        """
        arrays = self._arrays(inputs, targets)
        bound = grads if isinstance(grads, Tensors) else self.bind(grads, ".grad")
        with self.lock:
            where = (self._pointers(), bound.array, self.sizes, len(self.sizes))
            return _enough_memory(self.kernels.kc_gradients(self._handle, *where, *self._arguments(*arrays), scale))

    def score(
        self, inputs: Int[np.ndarray, "batch time"], targets: Int[np.ndarray, "batch time"]
    ) -> tuple[Float[np.ndarray, "batch time"], Bool[np.ndarray, "batch time"]]:
        """−ln Pr(target) in nats, and whether the target is the likeliest token; 0 and False where IGNORE.

        Raises ValueError for tokens outside the vocabulary, or other arrays.
        """
        arrays = self._arrays(inputs, targets)
        nats, correct = np.empty(inputs.shape, np.float32), np.empty(inputs.shape, np.bool_)
        where = (nats.ctypes.data, correct.ctypes.data)
        with self.lock:
            _enough_memory(self.kernels.kc_score(self._handle, self._pointers(), *self._arguments(*arrays), *where))
        return nats, correct

    def _pointers(self) -> "ctypes.Array[ctypes.c_void_p]":
        """Where the parameters are now."""
        if self._bound.moved:
            self._bound = self.bind(self.parameters)
        return self._bound.array

    def _arrays(self, inputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As the kernels want them, which check nothing."""
        if inputs.ndim != 2 or not 0 < inputs.shape[1] <= _LONGEST or inputs.size > _MOST_TOKENS:
            must = f"[batch, time] with a time of 1 to {_LONGEST}, and at most {_MOST_TOKENS} tokens"
            raise ValueError(f"inputs: the shape {list(inputs.shape)} is not allowed; must be {must}")
        if targets.shape != inputs.shape:
            raise ValueError(f"targets: the shape {list(targets.shape)} is not allowed; must be {list(inputs.shape)}")
        for name, array, least in (("inputs", inputs, 0), ("targets", targets, -1)):
            if array.dtype.kind not in "iu":
                raise ValueError(f"{name}: an array of {array.dtype} is not allowed; must be of integers")
            if array.size and not least <= int(array.min()) <= int(array.max()) < self.form.vocab:
                raise ValueError(f"{name}: a token is not allowed; must be {least} to {self.form.vocab - 1}")
        return np.ascontiguousarray(inputs, np.int32), np.ascontiguousarray(targets, np.int32)

    def _arguments(self, inputs: np.ndarray, targets: np.ndarray) -> tuple[int, ...]:
        rows, time = inputs.shape
        if time > len(self._cos):
            self._cos, self._sin = (angles.contiguous() for angles in rotation(time, self._head_width))
        angles = (self._cos.data_ptr(), self._sin.data_ptr())
        return (inputs.ctypes.data, targets.ctypes.data, rows, time, *angles)
