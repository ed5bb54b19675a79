"""Kernels to test: those for this processor, and all others compiled for it, lane by lane and tile by tile."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

import train.native
from train.architectures.gpt2 import GPT2
from train.native.library import instruction_set, library, open_library
from train.native.sources import digest
from train.sizes import parse_size

SOURCE = Path(train.native.__file__).parent / "kernels.cpp"
WIDE = ["-DKC_LANES=16"]  # the tiles of AVX-512, a vector in two instructions where the processor has AVX2 only
BF16 = [*WIDE, "-DKC_BF16=1"]
SOURCES = f'-DKC_SOURCES="{digest(SOURCE.parent)}"'
FLAGS = ["-std=c++17", "-O1", "-Wno-psabi", "-mavx2", "-mfma", "-fPIC", "-shared", SOURCES]
ANYWHERE = {"avx2": [], "avx512": WIDE, "avx512_bf16": BF16, "amx": [*BF16, "-DKC_AMX=1", "-DKC_AMX_BY_LOOPS=1"]}


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """The library for an instruction set that this processor may lack, in instructions that it has."""
    compiler = shutil.which("c++")

    def library_of(name):
        if compiler is None or instruction_set() is None:
            pytest.skip("needs a C++ compiler and a processor with AVX2")
        flags = [*FLAGS, *ANYWHERE[name]]
        version = hashlib.sha256(" ".join(flags).encode()).hexdigest()[:16]
        path = tmp_path_factory.getbasetemp().parent / f"{name}-{version}.so"  # of all workers together
        with FileLock(f"{path}.lock"):
            if not path.exists():
                half = path.with_suffix(".half")
                subprocess.run([compiler, *flags, str(SOURCE), "-o", str(half)], check=True)
                half.replace(path)
        return open_library(path)

    return library_of


@pytest.fixture(params=["own fp32", "own bf16", *ANYWHERE])
def kernels(request, compiled):
    """Libraries that every test of the kernels runs with."""
    if not request.param.startswith("own"):
        return compiled(request.param)
    bf16 = request.param == "own bf16"
    if instruction_set(bf16) is None:
        pytest.skip("needs kernels for this processor")
    return library(bf16)


def build_model(size, vocab, seed=0):
    """A GPT-2 whose norms and biases matter too."""
    return randomize(GPT2(parse_size(size), vocab), seed)


def randomize(model, seed=0):
    """Draw the parameters of a model, norms and biases too."""
    model.initialize("width", seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def draw_windows(vocab, rows, time, seed=0):
    """Inputs and targets [rows, time], a tenth of the targets left out."""
    rng = np.random.default_rng(seed)
    inputs, targets = rng.integers(0, vocab, (2, rows, time), dtype=np.int32)
    targets[rng.random(targets.shape) < 0.1] = -1
    targets[0, 0] = vocab - 1  # something to predict
    return inputs, targets


@pytest.fixture
def make_model():
    return build_model


@pytest.fixture
def make_windows():
    return draw_windows
