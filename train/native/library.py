"""The compiled kernels: the libraries that the installation built come in, the one for this processor goes out."""

import ctypes
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import torch

_RUNS = {"AVX512": ("avx512", "avx2"), "AVX2": ("avx2",)}
"""The libraries that a processor of PyTorch's name for it can run, the fastest first."""

_POINTER, _INT, _FLOAT, _DOUBLE = ctypes.c_void_p, ctypes.c_int, ctypes.c_float, ctypes.c_double
_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "kc_lanes": (_INT, []),
    "kc_model": (_POINTER, [_INT] * 4),
    "kc_free_model": (None, [_POINTER]),
    "kc_gradients": (_DOUBLE, [*[_POINTER] * 4, _INT, *[_POINTER] * 2, *[_INT] * 2, *[_POINTER] * 2, _FLOAT]),
    "kc_score": (_DOUBLE, [*[_POINTER] * 4, *[_INT] * 2, *[_POINTER] * 4]),
    "kc_clip_factor": (_FLOAT, [*[_POINTER] * 2, _INT, _FLOAT]),
    "kc_adamw": (None, [*[_POINTER] * 5, ctypes.c_int64, _FLOAT, *[_DOUBLE] * 5]),
    "kc_muon": (_POINTER, []),
    "kc_free_muon": (None, [_POINTER]),
    "kc_muon_step": (None, [*[_POINTER] * 4, *[_INT] * 3, *[_FLOAT] * 4]),
}


def open_library(path: Path) -> ctypes.CDLL:
    """The functions of a library, with their types."""
    library = ctypes.CDLL(str(path))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def built() -> dict[str, Path]:
    """The libraries that were built here, by instruction set."""
    folder = Path(__file__).parent
    names = {name for names in _RUNS.values() for name in names}
    paths = [(name, folder / f"_{name}{suffix}") for name in names for suffix in reversed(EXTENSION_SUFFIXES)]
    return {name: path for name, path in paths if path.exists()}


@cache
def instruction_set() -> str | None:
    """The fastest instruction set that this processor runs and that kernels were built for; None: there are none."""
    here = built()
    return next((name for name in _RUNS.get(torch.backends.cpu.get_cpu_capability(), ()) if name in here), None)


@cache
def library() -> ctypes.CDLL:
    """The kernels for this processor. Raises ValueError where there are none."""
    name = instruction_set()
    if name is None:
        raise ValueError("kernels: native is not here; must be auto or pytorch, or install with a C++ compiler")
    return open_library(built()[name])
