"""Experts: a mixture of small MLPs, one a token, against one MLP of the same kind.

Source: Allen-Zhu and Li, arXiv 2404.05405, result 9 (section 9).
"""

import pandas as pd

from capacity.experiments.comparison import Comparison, claims

_ONE = "1 expert"
_NAMES = {4: "4 experts", 8: "8 experts", 32: "32 experts"}

_PAPER = {
    **{"architecture": "moe", "architecture_options": {"experts": [1, 32]}},
    **{"sizes": ["2-2", "3-3", "4-4"], "lr": [0.001, 0.002, 0.005], "quantize": "none"},
}
"""With experts the source takes learning rates of once to five times those without."""


class _Experts(Comparison):
    """A comparison that also knows R by the active parameters."""

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The runs of its settings, with their bits per parameter that a token passes through: one expert a layer."""
        rows = super().select(frame)
        if rows.empty:
            return rows
        left_out = 2 * rows["layers"] * (rows["architecture_options.experts"] - 1) * rows["width"] ** 2
        active = rows["params"] - left_out
        return rows.assign(params_active=active, bits_per_active_param=rows["bits"] / active)


EXPERTS = _Experts(
    title="mixtures of experts",
    question="How much does a mixture of experts store, a parameter of all of them?",
    source=(
        "Allen-Zhu and Li (arXiv 2404.05405, result 9). "
        "With 32 experts, one a token, R is 1.3 times less after 1000 exposures and 1.5 times less after 100."
    ),
    settings={
        _ONE: {"architecture_options.experts": 1},
        **{name: {"architecture_options.experts": number} for number, name in _NAMES.items()},
    },
    runs=(
        ("laptop", "reproduce/experts", {}),
        ("paper", "paper/exposures-1000", _PAPER),
        ("paper", "paper/exposures-100", _PAPER),
    ),
    paper={"dataset": "bios", "templates": 200},
    claims=claims(
        [
            (_ONE, _NAMES[32], 1.25, 1.8, "1.5 times less", {"exposures": 100}),
        ]
    ),
    shared={
        **{
            "architecture": "moe",
            "mlp": None,
            "dataset": "biod",
            "recipe": "fast",
            "biod.name_length": 3,
            "junk": "0",
            "layout": "rows",
        },
        "people": [45, 60, 80, 100, 130, 170, 220, 280, 360, 470, 610, 790],
    },
    best_people=True,
    columns={"bits_per_active_param": "R by active P"},
)
