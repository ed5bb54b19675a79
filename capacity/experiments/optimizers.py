"""Optimizers: AdamW, Muon, Lion and SOAP on people who all come equally often.

Sources: Muon and the tail of associative memories, arXiv 2509.26030; Lion, arXiv 2302.06675; SOAP, arXiv 2409.11321.
"""

import math

from capacity.experiments.comparison import Comparison, claims
from capacity.experiments.experiment import GPU

_RATES = {  # each a factor of two about the best of trials with seed 0 (docs/notebook.md)
    "adamw": [0.004, 0.008, 0.016],
    "muon": [0.0075, 0.015, 0.03],
    "lion": [0.0007, 0.0014, 0.0028],
    "soap": [0.007, 0.014, 0.028],
}
_ADAMW, _MUON, _LION, _SOAP = "AdamW", "Muon", "Lion", "SOAP"
_LONG, _SHORT = {"exposures": 1000}, {"exposures": 100}
_NARROW = {"sizes": "4x16x1", "people": 450, "exposures": 1000}
_WIDE = {"sizes": "2x48x2", "people": 900}

OPTIMIZERS = Comparison(
    title="optimizers",
    question="Does the capacity depend on the optimizer, and in which part: names, values or the sets of values?",
    source=(
        "Muon's gain over Adam lies in rare facts and shrinks as facts become alike (arXiv 2509.26030). "
        "Lion is said to do as well as AdamW (arXiv 2302.06675). "
        "SOAP is said to need fewer steps than AdamW (arXiv 2409.11321). "
        "None of the three measured bits per parameter."
    ),
    settings={
        _ADAMW: {"optimizer": "adamw"},
        _MUON: {"optimizer": "muon"},
        _LION: {"optimizer": "lion"},
        _SOAP: {"optimizer": "soap"},
    },
    runs=(
        *(("laptop", "reproduce/optimizers", {"optimizer": name, "lr": _RATES[name]}) for name in _RATES),
        *(("laptop", "reproduce/optimizers", _WIDE | {"optimizer": name, "lr": _RATES[name]}) for name in _RATES),
        *(
            ("laptop", "reproduce/optimizers", _NARROW | {"optimizer": name, "lr": _RATES[name]})
            for name in ("adamw", "muon")
        ),
        *(("gpu", "reproduce/optimizers", {**GPU, "optimizer": name, "lr": _RATES[name]}) for name in _RATES),
    ),
    claims=claims(
        [
            (_MUON, _ADAMW, 0.9, 1.1, "little gain where all facts are alike", _SHORT),
            (_MUON, _ADAMW, 0.9, 1.1, "little gain where all facts are alike", _LONG),
            (_SOAP, _ADAMW, 1.0, math.inf, "fewer steps, so no less", _SHORT),
            (_LION, _ADAMW, 0.9, math.inf, "does as well", _SHORT),
        ]
    ),
    shared={
        **{"dataset": "biod", "recipe": "fast", "biod.name_length": 3, "junk": "0", "layout": "rows"},
        **{"architecture": "gpt2", "mlp": "gelu", "size": ["4x16", "2x32", "2x48x2"], "people": [400, 450, 800, 900]},
        **{"lr": sorted({rate for rates in _RATES.values() for rate in rates})},
    },
    own_values=True,
    parts={"of it names": "bits_name", "values": "bits_value", "sets of values": "bits_value_set"},
)
