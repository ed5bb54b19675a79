"""Tensors that the kernels read and write in place: PyTorch's tensors come in, their addresses go out.

The kernels trust addresses and sizes. Every tensor is therefore checked in full once, and every call compares its
address.
"""

import ctypes
from collections.abc import Sequence
from functools import cached_property

from torch import Tensor, UntypedStorage


class Tensors:
    """Tensors whose memory the kernels use, which is kept as long as this lives."""

    def __init__(self) -> None:
        self._tensors: list[Tensor] = []
        self._addresses: list[int] = []
        self._storages: list[UntypedStorage] = []
        """Kept so that no memory is freed when a tensor gets another storage."""

    def add(self, name: str, tensor: Tensor, shape: Sequence[int]) -> int:
        """The address of one more tensor.

        Raises ValueError unless it is float32, contiguous, on the CPU and of this shape.
        """
        self._addresses.append(_address(name, tensor, shape))
        self._tensors.append(tensor)
        self._storages.append(tensor.untyped_storage())
        return self._addresses[-1]

    @cached_property
    def array(self) -> "ctypes.Array[ctypes.c_void_p]":
        """All addresses, as the kernels take them."""
        return (ctypes.c_void_p * len(self._addresses))(*self._addresses)

    @property
    def moved(self) -> bool:
        """Whether a tensor has other memory than when it was added (`tensor.data = other`)."""
        return list(map(Tensor.data_ptr, self._tensors)) != self._addresses


def _address(name: str, tensor: Tensor, shape: Sequence[int]) -> int:
    """Where a tensor begins. Raises ValueError for one that the kernels cannot use."""
    kind = f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)} on {tensor.device.type}"
    wanted = f"float32 {list(shape)} on cpu"
    address = tensor.data_ptr() if kind == wanted and tensor.is_contiguous() else 0
    if not address:
        layout = " that is not contiguous" if kind == wanted else ""
        raise ValueError(f"{name}: {kind}{layout} is not allowed with native kernels; must be contiguous {wanted}")
    return address
