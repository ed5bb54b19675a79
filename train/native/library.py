"""The compiled kernels: the libraries that the installation built come in, the one for this processor goes out."""

import ctypes
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import torch

from train.native.sources import digest

_ABI = 1
"""The version of what these signatures and the functions of kernels.cpp (`kc_abi`) agree on."""
_FP32, _BF16 = ("avx512", "avx2"), ("amx", "avx512_bf16")
"""Libraries by the numbers that their matrix products take in (sums are fp32 in all of them), the fastest first."""

_POINTER, _INT, _FLOAT, _DOUBLE = ctypes.c_void_p, ctypes.c_int, ctypes.c_float, ctypes.c_double
_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "kc_lanes": (_INT, []),
    "kc_bf16": (ctypes.c_bool, []),
    "kc_permitted": (ctypes.c_bool, []),
    "kc_make_model": (_POINTER, [_POINTER]),
    "kc_free_model": (None, [_POINTER]),
    "kc_layout": (ctypes.c_char_p, [_POINTER]),
    "kc_gradients": (_DOUBLE, [*[_POINTER] * 4, _INT, *[_POINTER] * 2, *[_INT] * 2, *[_POINTER] * 2, _FLOAT]),
    "kc_score": (_DOUBLE, [*[_POINTER] * 4, *[_INT] * 2, *[_POINTER] * 4]),
    "kc_clip_factor": (_FLOAT, [*[_POINTER] * 2, _INT, _FLOAT]),
    "kc_adamw": (None, [*[_POINTER] * 5, ctypes.c_int64, _FLOAT, *[_DOUBLE] * 5]),
    "kc_muon": (_POINTER, []),
    "kc_free_muon": (None, [_POINTER]),
    "kc_muon_step": (ctypes.c_bool, [*[_POINTER] * 4, *[_INT] * 3, *[_FLOAT] * 4]),
    "kc_product_seconds": (_DOUBLE, [_INT] * 4),
}


def open_library(path: Path) -> ctypes.CDLL:
    """The functions of a library, with their types.

    Raises:
        ValueError: it was built from other sources than those beside this file, or, where there are none (in an
            installed wheel), for another version of this file.

    """
    library = ctypes.CDLL(str(path))
    if not _fits(library):
        raise ValueError(f"kernels: '{path.name}' was built from other sources; install again")
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _fits(library: ctypes.CDLL) -> bool:
    """Whether a library has the functions of this version and was built from the present sources, if any."""
    if not all(hasattr(library, name) for name in ("kc_abi", "kc_sources")) or library.kc_abi() != _ABI:
        return False
    library.kc_sources.restype = ctypes.c_char_p
    sources = digest(Path(__file__).parent)
    return sources is None or library.kc_sources().decode() == sources


def built() -> dict[str, Path]:
    """The libraries that were built here, by instruction set."""
    folder = Path(__file__).parent
    paths = [(name, folder / f"_{name}{suffix}") for name in _FP32 + _BF16 for suffix in reversed(EXTENSION_SUFFIXES)]
    return {name: path for name, path in paths if path.exists()}


def supported() -> set[str]:
    """The instruction sets of this processor."""
    avx512 = torch.backends.cpu.get_cpu_capability() == "AVX512"
    bf16 = avx512 and torch.cpu._is_avx512_bf16_supported()
    return {
        name
        for name, there in {
            "avx2": avx512 or torch.backends.cpu.get_cpu_capability() == "AVX2",
            "avx512": avx512,
            "avx512_bf16": bf16,
            "amx": bf16 and bool(torch.cpu.get_capabilities().get("amx_bf16")),
        }.items()
        if there
    }


@cache
def instruction_set(bf16: bool = False) -> str | None:
    """The fastest instruction set for products of fp32 or of bf16 numbers that this processor runs and that kernels
    were built for; None: there are none. Raises ValueError for a library that was built from other sources.
    """
    here, able = built(), supported()
    names = (name for name in (_BF16 if bf16 else _FP32) if name in here and name in able)
    return next((name for name in names if open_library(here[name]).kc_permitted()), None)


@cache
def library(bf16: bool = False) -> ctypes.CDLL:
    """The kernels for this processor. Raises ValueError where there are none, or where `open_library` refuses them."""
    name = instruction_set(bf16)
    if name is None:
        raise ValueError("kernels: native is not here; must be auto or pytorch, or install with a C++ compiler")
    return open_library(built()[name])
