"""Text variety: one fixed text a person, a few, or a new one at every exposure.

Source: Allen-Zhu and Li, arXiv 2404.05405, result 2 (section 4).
"""

from capacity.experiments.comparison import Comparison, claims

_FRESH, _SINGLE, _FIVE = "a new text at every exposure", "one text a person", "five texts a person"
_ORDER, _NAMES = "one text, sentences in an order of its own", "new texts, the full name in every sentence"
_VARIANTS = {
    _FRESH: "fresh",
    _FIVE: "multi5+permute",
    _SINGLE: "single",
    _ORDER: "single+permute",
    _NAMES: "fresh+fullname",
}
_AT = {"exposures": 200}

TEXT_VARIETY = Comparison(
    title="one text a person, or many",
    question="Does a model store as much of people if it reads one text about each again and again?",
    source=(
        "Allen-Zhu and Li (arXiv 2404.05405, result 2). "
        "One text a person, and texts written by a language model, give about the same capacity, slightly lower."
    ),
    settings={name: {"variant": variant} for name, variant in _VARIANTS.items()},
    runs=(
        ("laptop", "reproduce/text-variety", {}),
        ("paper", "paper/single-text", {"variant": list(_VARIANTS.values())}),
    ),
    claims=claims(
        [
            (_FRESH, _SINGLE, 0.95, 1.2, "about the same, slightly lower", _AT),
            (_FRESH, _FIVE, 0.95, 1.2, "about the same", _AT),
            (_FRESH, _ORDER, 0.95, 1.2, "about the same", _AT),
        ]
    ),
    paper={"templates": 200, "exposures": 1000},
    shared={"dataset": "bios", "recipe": "fast", "templates": 60, "junk": "0", "questions": "none", "exposures": 200},
)
