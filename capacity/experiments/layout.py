"""Layout: a text a row, or texts packed into windows of 512 tokens, as the paper trains, or into shorter ones."""

from capacity.experiments.comparison import Comparison, claims

_ROWS, _PACKED, _SHORT, _SHORTEST = "a text a row", *(f"packed windows of {length}" for length in (512, 128, 48))

LAYOUT = Comparison(
    title="a text a row, or packed windows",
    question="Does a model store as much if texts are packed into windows as with a text a row?",
    source=(
        "Allen-Zhu and Li (arXiv 2404.05405) pack texts into windows of 512 tokens, and find the law so. "
        "Other layouts they do not compare; the law here is measured with a text a row."
    ),
    settings={
        _ROWS: {"layout": "rows"},
        **{name: {"layout": "packed", "context": int(name.split()[-1])} for name in (_PACKED, _SHORT, _SHORTEST)},
    },
    runs=(
        ("laptop", "reproduce/layout", {}),
        ("laptop", "reproduce/layout", {"layout": "packed", "context": [128, 48]}),
    ),
    claims=claims(
        [
            (_ROWS, _PACKED, 0.9, 1.1, "the same law", {"exposures": 100}),
            (_ROWS, _SHORTEST, 0.9, 1.1, "our guess: short windows lose nothing", {"exposures": 100}),
        ]
    ),
    shared={
        **{"dataset": "biod", "recipe": "fast", "biod.name_length": 3, "exposures": 100, "junk": "0"},
        "mlp": "gelu",
        "people": [200, 400, 900, 1600],
    },
)
