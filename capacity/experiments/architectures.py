"""Architectures: gated, quarter and no MLP, LLaMA, its head tied or not, after 1000 and after 100 exposures.

Source: Allen-Zhu and Li, arXiv 2404.05405, results 5 to 7 (section 7 and appendix).
"""

from capacity.experiments.comparison import Comparison, claims

_GPT2, _GATED, _QUARTER, _NONE = "GPT-2", "GPT-2, gated MLP", "GPT-2, quarter MLP", "GPT-2, no MLP"
_LLAMA, _UNTIED = "LLaMA, tied head", "LLaMA, head of its own"
_LONG, _SHORT = {"exposures": 1000}, {"exposures": 100}
_PAPER = {"sizes": ["2-2", "3-3", "4-4", "6-6"], "lr": [0.0005, 0.001, 0.002], "quantize": "none"}
"""The best of three learning rates, as in the source; which three it does not say."""

ARCHITECTURES = Comparison(
    title="architectures",
    question="Does the capacity depend on the architecture?",
    source=(
        "Allen-Zhu and Li (arXiv 2404.05405, results 5 to 7). "
        "After 1000 exposures LLaMA, gated MLPs, smaller MLPs and none make no difference. "
        "Below 10 M parameters a tied head helps. "
        "After 100 exposures the gated MLP stores up to 1.3 times less, a quarter MLP about the same, none over 1.5 "
        "times less."
    ),
    settings={
        _GPT2: {"architecture": "gpt2", "mlp": "gelu"},
        _GATED: {"architecture": "gpt2", "mlp": "gated"},
        _QUARTER: {"architecture": "gpt2", "mlp": "quarter"},
        _NONE: {"architecture": "gpt2", "mlp": "none"},
        _LLAMA: {"architecture": "llama", "mlp": None, "tied": True},
        _UNTIED: {"architecture": "llama", "mlp": None, "tied": False},
    },
    runs=(
        ("laptop", "reproduce/architectures", {"mlp": ["gelu", "gated", "quarter", "none"]}),
        ("laptop", "reproduce/architectures", {"architecture": "llama", "tied": [True, False]}),
        *(
            ("paper", preset, {**_PAPER, **changes})
            for preset in ("paper/exposures-1000", "paper/exposures-100")
            for changes in (
                {"mlp": ["gelu", "gated", "quarter", "none"]},
                {"architecture": "llama", "tied": [True, False]},
            )
        ),
    ),
    paper={"dataset": "bios", "templates": 200},
    claims=claims(
        [
            (_GPT2, _GATED, 0.9, 1.1, "no difference", _LONG),
            (_GPT2, _QUARTER, 0.9, 1.1, "no difference", _LONG),
            (_GPT2, _NONE, 0.9, 1.1, "no difference", _LONG),
            (_GPT2, _LLAMA, 0.9, 1.1, "no difference", _LONG),
            (_LLAMA, _UNTIED, 1.0, 1.5, "a tied head helps", _LONG),
            (_GPT2, _GATED, 1.1, 1.45, "1.3 times less", _SHORT),
            (_GPT2, _QUARTER, 0.9, 1.15, "about the same", _SHORT),
            (_GPT2, _NONE, 1.5, 3.0, "over 1.5 times less", _SHORT),
            (_GPT2, _LLAMA, 1.1, 1.45, "1.3 times less", _SHORT),
        ]
    ),
    shared={
        **{"dataset": "biod", "recipe": "fast", "biod.name_length": 3, "junk": "0", "layout": "rows", "size": "2x32"},
        "people": [150, 200, 260, 340, 440, 560, 720, 940],
    },
    best_people=True,
)
