"""Quantization after training: rounding to nearest and GPTQ, 8 to 2 bits, after 100, 300 and 1000 exposures.

Source: Allen-Zhu and Li, arXiv 2404.05405, result 8 (section 8).
"""

import math
from typing import Any

from capacity.experiments.comparison import Comparison, claims

_NONE = "as trained"
_PEOPLE = [450, 1000]
"""About what each of its two sizes can hold."""
_SHARED = {
    **{
        "dataset": "biod",
        "recipe": "fast",
        "biod.name_length": 3,
        "junk": "0",
        "layout": "rows",
        "architecture": "gpt2",
    },
    "people": _PEOPLE,
    "size": ["2x32", "2x48x2"],
    "lr": 0.015,
}
_SCHEMES = {
    "GPTQ int8": "gptq-int8",
    "nearest int8": "rtn-int8",
    "fp8": "rtn-fp8",
    "GPTQ int6": "gptq-int6",
    "GPTQ int4": "gptq-int4",
    "GPTQ int4, temperature": "gptq-int4+temperature",
    "GPTQ int4, groups of 16": "gptq-int4-g16",
    "GPTQ int4, scales of least error": "gptq_least-int4",
    "GPTQ int4, scales of least error, temperature": "gptq_least-int4+temperature",
    "GPTQ int4, scales of least error, groups of 16": "gptq_least-int4-g16",
    "nearest int4": "rtn-int4",
    "nearest int4, temperature": "rtn-int4+temperature",
    "nearest int4, embedding too": "rtn-int4+embedding",
    "nearest int4, embedding too, temperature": "rtn-int4+embedding+temperature",
    "GPTQ int3": "gptq-int3",
    "GPTQ int3, temperature": "gptq-int3+temperature",
    "GPTQ int3, groups of 16, temperature": "gptq-int3-g16+temperature",
    "GPTQ int2": "gptq-int2",
}


def _longer(name: str) -> tuple[Any, ...]:
    """That a longer training leaves less."""
    return name, name, 1.05, math.inf, "less after longer training", {"exposures": 100}, {"exposures": 1000}


QUANTIZATION = Comparison(
    title="quantization after training",
    question="How much of what a model stores is left if its weights are quantized?",
    source=(
        "Allen-Zhu and Li (arXiv 2404.05405, result 8), by GPTQ on the matrices inside the blocks. "
        "With int8 nothing is lost, and with int4 more than a factor of 2 (about 0.7 bits per parameter is left). "
        "The longer the training, the more quantization costs (arXiv 2411.04330, 2411.17691)."
    ),
    settings={_NONE: {"quantization": "none"}} | {name: {"quantization": scheme} for name, scheme in _SCHEMES.items()},
    runs=(
        ("laptop", "reproduce/quantization", {}),
        ("paper", "paper/exposures-1000", {"quantize": ["gptq-int8", "gptq-int4"]}),
        ("paper", "paper/exposures-100", {"quantize": ["gptq-int8", "gptq-int4"]}),
    ),
    paper={"dataset": "bios", "templates": 200, "questions": "none"},
    claims=claims(
        (_NONE, name, low, high, says, {"exposures": number})
        for name, low, high, says in (
            ("GPTQ int8", 0.98, 1.02, "no loss"),
            ("GPTQ int4", 1.7, 4.0, "over 2 times less"),
        )
        for number in (100, 300, 1000)
    )
    + claims(_longer(name) for name in ("GPTQ int4", "nearest int4"))
    + claims(
        [
            *(_longer(f"{name}, temperature") for name in ("GPTQ int4", "nearest int4")),
            *(
                (f"{name}, temperature", name, 1.5, math.inf, "much comes back", {"exposures": 1000})
                for name in ("GPTQ int4", "nearest int4", "nearest int4, embedding too", "GPTQ int3")
            ),
            *(
                ("GPTQ int4, scales of least error", "GPTQ int4", 1.02, math.inf, "better scales keep more", at)
                for at in ({"exposures": 100}, {"exposures": 1000})
            ),
        ],
        ours=True,
    ),
    columns={"bits_per_stored_bit": "bits a stored bit"},
    shared=_SHARED,
    tuned=(),
)
