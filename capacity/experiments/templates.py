"""Templates: six templates and small pools, as in the law on two cores, or 200 templates and the paper's pools.

Source: Allen-Zhu and Li, arXiv 2404.05405, result 4, with the data of section 2.1.
"""

from collections.abc import Mapping
from typing import Any

from capacity.experiments.comparison import Comparison, claims

_FEW, _MANY = "6 templates, small pools", "200 templates, the paper's pools"


def _pools(**sizes: int) -> Mapping[str, Any]:
    return {f"pools.{name}": size for name, size in sizes.items()}


TEMPLATES = Comparison(
    title="six templates, or the paper's 200 and its pools",
    question="Does the law hold for 200 templates and large pools as it does for six and small ones?",
    source=(
        "Allen-Zhu and Li (arXiv 2404.05405, result 4) find about 1 bit per parameter after 100 exposures. "
        "Their biographies have about 50 templates an attribute and 160 million names. "
        "They have 200 cities, 300 universities, 100 majors and 263 employers. "
        "The law here is measured with six templates and small pools; if it is theirs, this makes no difference."
    ),
    settings={
        _FEW: {"templates": 6, **_pools(first_names=40, last_names=100, employers=32)},
        _MANY: {"templates": 200, **_pools(first_names=400, last_names=1000, employers=263)},
    },
    runs=(("laptop", "reproduce/templates-few", {}), ("laptop", "reproduce/templates-many", {})),
    claims=claims([(_FEW, _MANY, 0.9, 1.1, "the same law", {"exposures": 100})]),
    shared={
        **{"dataset": "bios", "recipe": "fast", "variant": "fresh", "junk": "0", "questions": "none"},
        **{"layout": "rows", "architecture": "gpt2", "tokenizer": "word", "size": "2x48x2", "exposures": 100},
        "people": [2500, 4200],
    },
    best_people=True,
)
