"""The compiled kernels of train/native, one library an instruction set; where none can be built, PyTorch serves."""

import runpy
from pathlib import Path

from setuptools import Extension, find_packages, setup

NATIVE = "train/native"
sources = runpy.run_path(f"{NATIVE}/sources.py")
# No -ffast-math: a library linked with it makes the whole process flush small numbers to zero.
FLAGS = ["-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"]
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"]
BF16 = [*AVX512, "-mavx512bf16", "-DKC_BF16=1"]
SETS = {
    "avx2": ["-mavx2", "-mfma"],
    "avx512": AVX512,
    "avx512_bf16": BF16,
    "amx": [*BF16, "-mamx-tile", "-mamx-bf16", "-DKC_AMX=1"],
}
PACKAGES = find_packages(include=[f"{name}*" for name in ("basis", "biogen", "train", "eval", "capacity")])

setup(
    packages=[*PACKAGES, "capacity.configs"],
    package_dir={"capacity.configs": "configs"},  # presets lie inside the package once it is installed
    ext_modules=[
        Extension(
            f"train.native._{name}",
            sources=[f"{NATIVE}/kernels.cpp"],
            depends=[f"{NATIVE}/{source}" for source in sources["SOURCES"]],
            define_macros=[("KC_SOURCES", f'"{sources["digest"](Path(NATIVE))}"')],
            extra_compile_args=[*FLAGS, *flags],
            optional=True,
        )
        for name, flags in SETS.items()
    ],
)
