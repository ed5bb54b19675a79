"""The choice of kernels: the fastest that were built and that the processor runs."""

from types import SimpleNamespace

import pytest
import torch

from train.native import library as module

ALL = ["avx2", "avx512", "avx512_bf16", "amx"]


@pytest.fixture
def on(monkeypatch):
    """Pretend to be on a processor, with libraries built."""

    def pretend(capability, names, *, bf16=False, tiles=False, permitted=True):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": tiles})
        monkeypatch.setattr(module, "built", lambda: {name: name for name in names})
        monkeypatch.setattr(module, "open_library", lambda _: SimpleNamespace(kc_permitted=lambda: permitted))
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
