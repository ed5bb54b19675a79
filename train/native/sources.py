"""The sources of the compiled kernels, and the digest by which a library says which of them it was built from.

`setup.py` runs this file by itself: it may import nothing but the standard library.
"""

import hashlib
from pathlib import Path

SOURCES = [
    *["kernels.cpp", "vector.h", "matrix.h", "product.h", "amx.h", "form.h", "linear.h", "norm.h", "attention.h"],
    *["mlp.h", "head.h", "model.h", "optimizer.h"],
]


def digest(folder: Path) -> str | None:
    """The SHA-256 of the sources in a folder; None where they are not all there, as may be in an installed wheel."""
    paths = [folder / name for name in SOURCES]
    if not all(path.exists() for path in paths):
        return None
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()
