"""Random tokens beside bioD: is it two bits a parameter, or 3.6, and does it lie in the data or in the method?

Source: Morris et al. 2025, "How much do language models memorize?", arXiv 2505.24832.
"""

from capacity.experiments.comparison import Comparison, claims

_BIOD, _RANDOM = "bioD", "random tokens"

RANDOM = Comparison(
    title="random tokens",
    question="Do the same models store as many bits of random tokens as of people?",
    source=(
        "Morris et al. (arXiv 2505.24832) train GPT-2 on uniform random tokens until nothing more is learned. "
        "They find 3.5 bits per parameter in bf16 and 3.8 in fp32; the law on people is about 2, 1.8 times less."
    ),
    settings={
        _RANDOM: {"dataset": "random"},
        _BIOD: {"dataset": "biod", "biod.name_length": 3},
    },
    runs=(
        ("laptop", "reproduce/random", {}),
        ("laptop", "reproduce/random", {"dataset": "random", "people": [160, 220, 300, 400]}),
    ),
    claims=claims(
        [
            (_RANDOM, _BIOD, 1.5, 2.2, "1.8 times less", {"exposures": 1000}),
        ]
    ),
    shared={
        **{"recipe": "fast", "weight_decay": 0.1, "precision": "fp32", "junk": "0", "layout": "rows"},
        **{"architecture": "gpt2", "size": "2x32", "exposures": 1000},
        "people": [160, 220, 300, 400, 450, 600, 800, 1000],
    },
    best_people=True,
)
