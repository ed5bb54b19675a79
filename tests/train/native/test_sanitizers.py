"""The kernels of every instruction set under AddressSanitizer and UBSan: no access outside of its memory, and nothing
that C++ leaves undefined, for random models of every form, windows and numbers (fuzz.py)."""

import os
import subprocess
import sys

import pytest

from tests.train.native.conftest import ANYWHERE, FLAGS, SOURCE

SANITIZERS = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
OPTIONS = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1", "OMP_NUM_THREADS": "1"}


def runtime(name):
    """The file of a sanitizer's own library; the compiler gives back the name alone where it has none."""
    told = subprocess.run(["g++", f"-print-file-name={name}"], check=True, capture_output=True, text=True)
    return told.stdout.strip()


@pytest.mark.faults
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
@pytest.mark.parametrize("name", ANYWHERE)
def test_random_models_touch_only_what_is_theirs(compiled, tmp_path, name):
    compiled("avx2")  # or there is no compiler, or no processor with AVX2
    libraries = [runtime(library) for library in ("libasan.so", "libubsan.so", "libstdc++.so")]
    if not all(map(os.path.isabs, libraries)):
        pytest.skip("needs the sanitizers of g++")
    library = tmp_path / f"{name}.so"
    subprocess.run(["g++", *FLAGS, *ANYWHERE[name], *SANITIZERS, str(SOURCE), "-o", str(library)], check=True)
    command = [sys.executable, "-m", "tests.train.native.fuzz", str(library), "2", "60"]
    environment = os.environ | OPTIONS | {"LD_PRELOAD": " ".join(libraries)}
    found = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr[-3000:]
    assert found.stdout == "60 models\n"
    assert "runtime error" not in found.stderr
