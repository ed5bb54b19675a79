"""City: the sentence about the company city, which gives the employer away, in training and in measuring.

Source: Allen-Zhu and Li, arXiv 2404.05405, section 2.1: the employer is a value that counts, and determines the city.
"""

from capacity.experiments.comparison import Comparison, claims

_NONE = "no company city"
_AFTER = "city after the employer"
_ANY, _ANY_GIVEN = "any order, employer measured first", "any order, measured as trained"
_BEFORE, _BEFORE_GIVEN = "city first, employer measured first", "city first, measured as trained"
_AT = {"exposures": 100}

CITY = Comparison(
    title="the company city gives the employer away",
    question="Does it change what a model stores, or seems to store, where texts name the company city?",
    source=(
        "Allen-Zhu and Li (arXiv 2404.05405) count the employer as a value of 8.04 bits. "
        "They do not tell apart where the company city stands: it should make no difference. "
        "Their generator (github.com/facebookresearch/PhysicsLM4) names the city first."
    ),
    settings={
        _NONE: {"company_city": "none"},
        _AFTER: {"company_city": "after"},
        _ANY: {"company_city": "any", "measured_order": "employer-first"},
        _ANY_GIVEN: {"company_city": "any", "measured_order": "as-trained"},
        _BEFORE: {"company_city": "before", "measured_order": "employer-first"},
        _BEFORE_GIVEN: {"company_city": "before", "measured_order": "as-trained"},
    },
    runs=(("laptop", "reproduce/city", {}),),
    claims=claims(
        [
            (_ANY_GIVEN, _ANY, 0.97, 1.03, "no difference", _AT),
            (_BEFORE_GIVEN, _AFTER, 0.97, 1.03, "no difference", _AT),
            (_AFTER, _ANY, 0.97, 1.03, "no difference", _AT),
            (_AFTER, _BEFORE, 0.97, 1.03, "no difference", _AT),
            (_NONE, _ANY, 0.97, 1.03, "no difference", _AT),
        ],
        ours=True,
    ),
    shared={
        **{"dataset": "bios", "recipe": "fast", "variant": "fresh", "templates": 6, "junk": "0", "questions": "none"},
        **{"layout": "rows", "architecture": "gpt2", "size": "2x32x1", "people": 2000, "exposures": 100},
    },
)
