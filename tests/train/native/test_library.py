"""The choice of kernels: the fastest that were built and that the processor runs."""

import pytest
import torch

from train.native import library as module


@pytest.fixture
def on(monkeypatch):
    """Pretend to be on a processor, with libraries built."""

    def pretend(capability, names):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
        monkeypatch.setattr(module, "built", lambda: dict.fromkeys(names))
        module.instruction_set.cache_clear()
        module.library.cache_clear()
        return module.instruction_set()

    yield pretend
    monkeypatch.undo()
    module.instruction_set.cache_clear()
    module.library.cache_clear()


@pytest.mark.parametrize(
    ("capability", "names", "chosen"),
    [
        ("AVX512", ["avx2", "avx512"], "avx512"),
        ("AVX512", ["avx2"], "avx2"),
        ("AVX2", ["avx2", "avx512"], "avx2"),
        ("AVX2", [], None),
        ("DEFAULT", ["avx2", "avx512"], None),
        ("SVE256", ["avx2"], None),
    ],
)
def test_the_fastest_that_runs_here(on, capability, names, chosen):
    assert on(capability, names) == chosen


def test_without_kernels_the_library_says_what_to_do(on):
    assert on("DEFAULT", []) is None
    with pytest.raises(ValueError, match=r"^kernels: native is not here"):
        module.library()


def test_built_libraries_are_as_wide_as_they_say():
    here = module.built()
    if module.instruction_set() is None:
        pytest.skip("needs kernels for this processor")
    assert module.library().kc_lanes() == {"avx2": 8, "avx512": 16}[module.instruction_set()]
    assert {path.name.split(".")[0] for path in here.values()} == {f"_{name}" for name in here}
