"""bioD in other shapes: more or fewer attributes, chunks, values and symbols, on models of one size.

Source: Allen-Zhu and Li, arXiv 2404.05405, result 3 (section 5).
"""

from capacity.experiments.comparison import Comparison, claims

# K attributes, C chunks a value, D different chunks, L tokens a chunk, T symbols, tokens a name; N of R max about 1.7.
_SHAPES = (
    (4, 4, 64, 1, 64, 3, 950),
    (1, 1, 1024, 2, 32, 4, 5600),
    (16, 1, 16, 1, 16, 5, 1290),
    (8, 2, 64, 2, 8, 6, 910),
    (2, 8, 4, 1, 4, 9, 2430),
    (4, 1, 256, 8, 32, 4, 1770),
    (1, 4, 1024, 4, 64, 3, 1880),
    (16, 1, 64, 4, 32, 4, 800),
    (2, 2, 512, 8, 16, 5, 1740),
    (8, 1, 128, 8, 64, 3, 1050),
)
"""The first is the law's. In the last five D is far below T^L, so that the sets of chunks count: 11 to 32 %."""
_OPTIONS = ("K", "C", "D", "L", "T", "name_length")


def _name(shape: tuple[int, ...]) -> str:
    return ", ".join(f"{option}={value}" for option, value in zip("KCDLT", shape, strict=False))


BIOD_SHAPES = Comparison(
    title="bioD in other shapes",
    question="Does the capacity depend on how facts are made up: of how many attributes, chunks, values and symbols?",
    source="Allen-Zhu and Li (arXiv 2404.05405, result 3). Over wide ranges of K, C, D, L and T the best R is about 2.",
    settings={
        _name(shape): {f"biod.{option}": value for option, value in zip(_OPTIONS, shape, strict=False)}
        for shape in _SHAPES
    },
    runs=tuple(
        (
            "laptop",
            "reproduce/biod-shapes",
            {"biod": dict(zip(_OPTIONS, shape, strict=False)), "people": shape[-1]},
        )
        for shape in _SHAPES
    ),
    claims=claims(
        (_name(_SHAPES[0]), _name(shape), 0.8, 1.25, "about 2 for all", {"exposures": 100}) for shape in _SHAPES[1:]
    ),
    shared={
        **{
            "dataset": "biod",
            "recipe": "fast",
            "junk": "0",
            "layout": "rows",
            "architecture": "gpt2",
            "size": "2x48x2",
        },
        "people": [shape[-1] for shape in _SHAPES],
    },
    best_people=True,
)
