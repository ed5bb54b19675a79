"""Kernels to test: those for this processor, and the wide ones (AVX-512's tiles) compiled for it lane by lane."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

import train.native
from train.model import GPT, initialize
from train.native.library import instruction_set, library, open_library
from train.sizes import parse_size

SOURCE = Path(train.native.__file__).parent / "kernels.cpp"


@pytest.fixture(scope="session")
def wide_library(tmp_path_factory):
    """As for AVX-512, which many machines lack: the same tiles of 12 x 32, in two instructions where it has one."""
    compiler = shutil.which("c++")
    if compiler is None or instruction_set() is None:
        pytest.skip("needs a C++ compiler and a processor with AVX2")
    path = tmp_path_factory.getbasetemp().parent / "wide.so"  # of all workers together
    with FileLock(f"{path}.lock"):
        if not path.exists():
            flags = ["-std=c++17", "-O1", "-Wno-psabi", "-mavx2", "-mfma", "-DKC_LANES=16", "-fPIC", "-shared"]
            subprocess.run([compiler, *flags, str(SOURCE), "-o", str(path)], check=True)
    return open_library(path)


@pytest.fixture(params=["own", "wide"])
def kernels(request):
    """Libraries that every test of the kernels runs with."""
    if request.param == "wide":
        return request.getfixturevalue("wide_library")
    if instruction_set() is None:
        pytest.skip("needs kernels for this processor")
    return library()


@pytest.fixture
def make_model():
    """A model whose norms and biases matter too."""

    def make(size, vocab, seed=0):
        model = GPT(parse_size(size), vocab)
        initialize(model, "width", seed)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 1:
                    parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
        return model

    return make


@pytest.fixture
def make_windows():
    """Inputs and targets [rows, time], a tenth of the targets left out."""

    def make(vocab, rows, time, seed=0):
        rng = np.random.default_rng(seed)
        inputs, targets = rng.integers(0, vocab, (2, rows, time), dtype=np.int32)
        targets[rng.random(targets.shape) < 0.1] = -1
        return inputs, targets

    return make
