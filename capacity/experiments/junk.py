"""Junk: what text about other people costs, at more and more exposures of the useful text.

Source: Allen-Zhu and Li, arXiv 2404.05405, results 10 to 12 (section 10).
"""

from collections.abc import Mapping
from typing import Any

from capacity.experiments.comparison import Comparison, claims

_CLEAN, _FRESH = "no junk", "7/8 new people"
_AGAIN, _TOKEN = "7/8 few people again", "7/8 new people, token in front"
_HUNDRED, _THREE, _SIX, _THOUSAND = ({"exposures": number} for number in (100, 300, 600, 1000))
_LONG = {"exposures": [300, 600, 1000], "lr": [0.00375, 0.0075, 0.015]}
"""Longer trainings want smaller learning rates. Few people again and again, and the token beyond 300 exposures, are for
a GPU, so that all fits into two hours of two cores."""
_BIOD: Mapping[str, Any] = {"dataset": "biod", "biod.name_length": 5, "biod.K": 4, "biod.C": 4}
_BIOS: Mapping[str, Any] = dict.fromkeys(_BIOD) | {
    "dataset": "bios",
    "pools.first_names": 100,
    "pools.last_names": 100,
    "templates": 6,
}
_CLEAN_TEXTS, _FRESH_TEXTS = f"biographies, {_CLEAN}", f"biographies, {_FRESH}"
_GPU: dict[str, Any] = {
    "sizes": "2-2",
    "people": 5600,
    "lr": [0.00375, 0.0075, 0.015, 0.03],
    "exposures": [100, 300, 600, 1000],
}

JUNK = Comparison(
    title="junk between the useful texts",
    question="How much less does a model store if 7/8 of all tokens are about other people?",
    source=(
        "Allen-Zhu and Li (arXiv 2404.05405, results 10 to 12). "
        "Junk about people who never come again costs a factor of 20 at 100 exposures, 3 at 300, 1.5 at 600 and "
        "1.3 at 1000. "
        "Junk about few people again and again costs nothing. "
        "A token before every useful text leaves a factor of 2 at 100 exposures, and nothing at 300."
    ),
    settings={
        _CLEAN: {"junk": "0", "domain_token": False},
        _FRESH: {"junk": "7/8", "junk_people": None, "domain_token": False},
        _AGAIN: {"junk": "7/8", "junk_people": [8, 110, 1000], "domain_token": False},
        _TOKEN: {"junk": "7/8", "junk_people": None, "domain_token": True},
        _CLEAN_TEXTS: {**_BIOS, "junk": "0", "domain_token": False},
        _FRESH_TEXTS: {**_BIOS, "junk": "7/8", "junk_people": None, "domain_token": False},
    },
    runs=(
        ("laptop", "reproduce/junk", {"junk": "0"}),
        ("laptop", "reproduce/junk", {"junk": "7/8", "junk_people": ["none", 8]}),
        ("laptop", "reproduce/junk", {"junk": "7/8", "domain_token": True}),
        ("laptop", "reproduce/junk", {"junk": ["0", "7/8"], **_LONG}),
        ("laptop", "reproduce/junk", {"junk": "7/8", "domain_token": True, **_LONG, "exposures": 300}),
        ("laptop", "reproduce/junk-bios", {"junk": ["0", "7/8"]}),
        ("gpu", "reproduce/junk", _GPU | {"junk": "0"}),
        ("gpu", "reproduce/junk", _GPU | {"junk": "7/8", "junk_people": ["none", 110]}),
        ("gpu", "reproduce/junk", _GPU | {"junk": "7/8", "domain_token": True}),
        ("paper", "paper/junk-fresh", {}),
        ("paper", "paper/junk-repeated", {}),
        ("paper", "paper/junk-domain", {}),
    ),
    claims=claims(
        [
            (_CLEAN, _FRESH, 10.0, 40.0, "20 times less", _HUNDRED),
            (_CLEAN, _FRESH, 2.3, 4.0, "3 times less", _THREE),
            (_CLEAN, _FRESH, 1.3, 1.8, "1.5 times less", _SIX),
            (_CLEAN, _FRESH, 1.15, 1.5, "1.3 times less", _THOUSAND),
            (_CLEAN_TEXTS, _FRESH_TEXTS, 10.0, 40.0, "20 times less", _HUNDRED),
            (_CLEAN, _AGAIN, 0.9, 1.15, "no loss", _HUNDRED),
            (_CLEAN, _TOKEN, 1.5, 2.6, "2 times less", _HUNDRED),
            (_CLEAN, _TOKEN, 0.9, 1.15, "no loss", _THREE),
        ]
    ),
    shared={"recipe": "fast", "layout": "rows", "size": "2x32", "people": [400, 1000], **_BIOD},
    large={"sizes": _GPU["sizes"], "people": _GPU["people"]},
    paper={"dataset": "bios", "templates": 200},
)
