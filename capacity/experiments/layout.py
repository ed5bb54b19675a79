"""Layout: a text a row, or texts packed into windows of 512 tokens, as the paper trains."""

from capacity.experiments.comparison import Comparison, claims

_ROWS, _PACKED = "a text a row", "packed windows of 512"

LAYOUT = Comparison(
    title="a text a row, or packed windows",
    question="Does a model store as much if texts are packed into windows as with a text a row?",
    source=(
        "Allen-Zhu and Li (arXiv 2404.05405) pack texts into windows of 512 tokens, and find the law so. "
        "Other layouts they do not compare; the law here is measured with a text a row."
    ),
    settings={_ROWS: {"layout": "rows"}, _PACKED: {"layout": "packed", "context": 512}},
    runs=(("laptop", "reproduce/layout", {}),),
    claims=claims([(_ROWS, _PACKED, 0.9, 1.1, "the same law", {"exposures": 100})]),
    shared={
        **{"dataset": "biod", "recipe": "fast", "biod.name_length": 3, "exposures": 100, "junk": "0"},
        "mlp": "gelu",
        "people": [200, 400, 900, 1600],
    },
)
