"""The choice of kernels: the fastest that were built and that the processor runs."""

import _ctypes
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from train.native import library as module
from train.native.sources import SOURCES, digest

NATIVE = Path(module.__file__).parent

ALL = ["avx2", "avx512", "avx512_bf16", "amx"]


@pytest.fixture
def on(monkeypatch):
    """Pretend to be on a processor, with libraries built."""

    def pretend(capability, names, *, bf16=False, tiles=False, permitted=True):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": tiles})
        monkeypatch.setattr(module, "built", lambda: {name: name for name in names})
        opened = {name: SimpleNamespace(kc_permitted=lambda name=name: permitted or name != "amx") for name in names}
        monkeypatch.setattr(module, "open_library", opened.get)
        module.instruction_set.cache_clear()
        module.library.cache_clear()
        return module.instruction_set(), module.instruction_set(bf16=True)

    yield pretend
    monkeypatch.undo()
    module.instruction_set.cache_clear()
    module.library.cache_clear()


@pytest.mark.parametrize(
    ("capability", "names", "also", "chosen"),
    [
        ("AVX512", ALL, {}, ("avx512", None)),
        ("AVX512", ["avx2"], {}, ("avx2", None)),
        ("AVX2", ALL, {}, ("avx2", None)),
        ("AVX2", [], {}, (None, None)),
        ("DEFAULT", ALL, {}, (None, None)),
        ("SVE256", ALL, {"bf16": True}, (None, None)),
        ("AVX512", ALL, {"bf16": True}, ("avx512", "avx512_bf16")),
        ("AVX512", ["avx2"], {"bf16": True}, ("avx2", None)),
        ("AVX512", ALL, {"bf16": True, "tiles": True}, ("avx512", "amx")),
        ("AVX512", ALL, {"bf16": True, "tiles": True, "permitted": False}, ("avx512", "avx512_bf16")),
    ],
)
def test_the_fastest_that_runs_here(on, capability, names, also, chosen):
    assert on(capability, names, **also) == chosen


def test_without_kernels_the_library_says_what_to_do(on):
    assert on("DEFAULT", []) == (None, None)
    with pytest.raises(ValueError, match=r"^kernels: native is not here"):
        module.library()


@pytest.mark.parametrize("bf16", [False, True])
def test_built_libraries_are_as_wide_as_they_say(bf16):
    name = module.instruction_set(bf16)
    if name is None:
        pytest.skip("needs kernels for this processor")
    found = module.library(bf16)
    assert found.kc_lanes() == (8 if name == "avx2" else 16)
    assert found.kc_bf16() == bf16


@pytest.mark.parametrize(("M", "N", "K"), [(256, 64, 192), (7, 5, 3), (96, 16, 97)])
def test_products_of_any_shape_take_time(kernels, M, N, K):
    assert kernels.kc_product_seconds(M, N, K, 1000) > 0


@pytest.fixture
def path(kernels):
    return Path(kernels._name)


@pytest.mark.parametrize("change", [{"digest": lambda _: "another"}, {"_ABI": 0}])
def test_a_library_that_was_built_from_other_sources_is_refused(path, monkeypatch, change):
    for name, value in change.items():
        monkeypatch.setattr(module, name, value)
    with pytest.raises(ValueError, match=rf"^kernels: '{path.name}' was built from other sources; install again$"):
        module.open_library(path)


@pytest.mark.skipif(not hasattr(_ctypes, "__file__"), reason="needs some other library")
def test_a_library_without_a_version_is_refused():
    with pytest.raises(ValueError, match=r"was built from other sources; install again$"):
        module.open_library(Path(_ctypes.__file__))


def test_without_sources_as_in_a_wheel_the_version_decides(path, monkeypatch):
    monkeypatch.setattr(module, "digest", lambda _: None)
    assert module.open_library(path).kc_abi() == module._ABI


def test_the_digest_is_that_of_all_sources(tmp_path):
    assert sorted(SOURCES) == sorted(file.name for pattern in ("*.h", "*.cpp") for file in NATIVE.glob(pattern))
    assert digest(tmp_path) is None
    for name in SOURCES:
        shutil.copy(NATIVE / name, tmp_path)
    assert digest(tmp_path) == digest(NATIVE)
    with (tmp_path / SOURCES[-1]).open("a") as file:
        file.write("//")
    assert digest(tmp_path) not in (None, digest(NATIVE))
    (tmp_path / SOURCES[-1]).unlink()
    assert digest(tmp_path) is None
