"""Kaplan's and Chinchilla's laws on one grid of sizes and budgets, in a world of unequal people of known entropy."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from capacity.experiments.experiment import Scale
from capacity.experiments.fitted import Expected, Fitted, OneFit
from capacity.experiments.zipf import ON_GPU as ZIPF_ON_GPU
from capacity.laws.chinchilla import chinchilla_3
from capacity.laws.envelope import chinchilla_1
from capacity.laws.isoflop import chinchilla_2
from capacity.laws.kaplan import kaplan_nd
from capacity.laws.power import Power
from capacity.laws.zipf import predicted_exponents
from train.sizes import parse_size

S = 1.35
"""The exponent of the people's frequencies."""
FLOPS_A_TOKEN = {
    "1x16x1": 30_048,
    "2x16x1": 53_472,
    "4x16x1": 100_320,
    "2x32x2": 180_672,
    "2x48x2": 381_600,
    "2x64x2": 656_256,
    "4x64x2": 1_286_016,
}
"""Floating-point operations to train on a token, for the sizes of the grid."""
BUDGETS = (1e11, 2.5e11, 6.3e11, 1.6e12, 4e12, 1e13)
"""FLOPs, over a factor of 100."""
GPU_BUDGETS = tuple(1000 * budget for budget in BUDGETS)
GPU_BUDGETS_ON_CODE = tuple(10 * budget for budget in BUDGETS)
"""More would read the code again and again."""
TOKENS = {"laptop": (2e5, 2e8), "gpu": (1e7, 5e9)}
"""The fewest and the most tokens of a run; others would say little, or take long."""
TOKENS_OF_CODE = (2e5, 1e8)
"""At most three passes over the training text."""
_OFF = 0.05
"""By how much the FLOPs of a run may differ from its budget."""
_LEAST_SIZES = 3
"""A curve at equal FLOPs with fewer sizes has no minimum."""
_EXPONENTS = predicted_exponents(S)
GPU_FLOPS_A_TOKEN = {"2x64x2": 656_256, "4x64x2": 1_286_016, "2-2": 2_492_160, "3-3": 8_221_824, "4-4": 19_299_840}
FLOPS_A_TOKEN_OF_CODE = {
    "1x16x1": 61_920,
    "2x16x1": 104_928,
    "4x16x1": 190_944,
    "2x32x2": 283_584,
    "2x48x2": 535_968,
    "2x64x2": 862_080,
    "4x64x2": 1_648_512,
}
"""With the 197 bytes that occur in Python 3.11's library; those of other versions differ by less than `_OFF`."""
GPU_FLOPS_A_TOKEN_OF_CODE = {
    "2x48x2": 535_968,
    "2x64x2": 862_080,
    "4x64x2": 1_648_512,
    "2-2": 2_903_808,
    "3-3": 9_074_304,
    "4-4": 20_749_824,
}
_Sweep = tuple[Scale, str, dict[str, Any]]


def grid_sweeps(
    scale: Scale, preset: str, flops_a_token: Mapping[str, int], budgets: Sequence[float], tokens: tuple[float, float]
) -> tuple[_Sweep, ...]:
    """A sweep for each size, with the tokens that each budget pays for; tokens: the fewest and the most of a run."""
    fewest, most = tokens
    return tuple(
        (scale, preset, {"sizes": size, "tokens": [round(paid) for paid in of_budgets if fewest <= paid <= most]})
        for size, of_budgets in ((size, [one / flops for one in budgets]) for size, flops in flops_a_token.items())
    )


def _without_embeddings(fit: OneFit, name: str) -> OneFit:
    """The same fit, with Kaplan's count of parameters."""
    return replace(fit, name=name, columns={**fit.columns, "params": "params_non_embedding"})


def _shared_tokens(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the most tokens that as many sizes as possible share."""
    sizes = rows.groupby("tokens")["size"].nunique()
    return rows[rows["tokens"] == sizes[sizes == sizes.max()].index.max()]


def _of_the_grid(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of a budget, with `budget_of`; budgets of too few sizes are left out."""
    flops, budgets = rows["flops"].to_numpy(float), np.array([*BUDGETS, *GPU_BUDGETS_ON_CODE, *GPU_BUDGETS])
    nearest = budgets[np.abs(np.log(flops[:, None] / budgets)).argmin(axis=1)]
    found = rows.assign(budget_of=nearest)[np.abs(flops / nearest - 1) < _OFF]
    return found[found.groupby("budget_of")["size"].transform("nunique") >= _LEAST_SIZES]


def _layers(rows: pd.DataFrame, *, one: bool) -> pd.DataFrame:
    """The rows of models of one layer, or of those of more."""
    return rows[[(parse_size(str(size)).layers == 1) == one for size in rows["size"]]]


def _deep_with_equal_tokens(rows: pd.DataFrame) -> pd.DataFrame:
    return _shared_tokens(_layers(rows, one=False))


def _one_layer_with_equal_tokens(rows: pd.DataFrame) -> pd.DataFrame:
    return _shared_tokens(_layers(rows, one=True))


def _largest(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the largest model among those with the most numbers of tokens."""
    runs = rows.groupby("params")["tokens"].nunique()
    return rows[rows["params"] == runs[runs == runs.max()].index.max()]


def frontier_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the best size of each budget, by the mean over seeds; rows of no budget are left out."""
    of_budget = _of_the_grid(rows)
    means = of_budget.groupby(["budget_of", "size"], as_index=False)["heldout_loss"].mean()
    best = means.loc[means.groupby("budget_of")["heldout_loss"].idxmin(), ["budget_of", "size"]]
    return of_budget.merge(best, on=["budget_of", "size"]).drop(columns="budget_of")


_RUNS = (
    *grid_sweeps("laptop", "reproduce/grid", FLOPS_A_TOKEN, BUDGETS, TOKENS["laptop"]),
    *grid_sweeps("gpu", "reproduce/grid", GPU_FLOPS_A_TOKEN, GPU_BUDGETS, TOKENS["gpu"]),
)
_RUNS_ON_CODE = (
    *grid_sweeps("laptop", "reproduce/grid-code", FLOPS_A_TOKEN_OF_CODE, BUDGETS, TOKENS_OF_CODE),
    *grid_sweeps("gpu", "reproduce/grid-code", GPU_FLOPS_A_TOKEN_OF_CODE, GPU_BUDGETS_ON_CODE, TOKENS_OF_CODE),
)
_ON_TEXT = {1: 0.50, 2: 0.49, 3: 0.46}
"""The exponent a by each approach (Hoffmann et al., table 2)."""


def _told(on_text: float) -> str:
    return f"{_EXPONENTS['a']:.3f} by the capacity law; {on_text:.2f} on text"


_MORE_SIZES = ["2x16x1", "4x64x2", "1x32x2", "1x48x2", "1x64x2"]
"""Beside those of the preset, for laws of parameters: models of one layer apart, as Kaplan et al. have them."""
_SHARED = {"dataset": "biod", "population": "zipf", "zipf": S}
_SECOND = OneFit("approach 2", chinchilla_2, rows=_of_the_grid)
_APPROACHES = (OneFit("approach 1", chinchilla_1), _SECOND, OneFit("approach 3", chinchilla_3))

CHINCHILLA = Fitted(
    title="Chinchilla's three approaches",
    question="Do the three approaches agree on how parameters should grow with compute, and with the known answer?",
    source=(
        "Hoffmann et al. (arXiv 2203.15556): the best number of parameters grows as C^a. "
        "On text a is 0.50, 0.49 and 0.46 by the three approaches. "
        "In this world the capacity law gives a = 1/(s + 1)."
    ),
    runs=_RUNS,
    shared=_SHARED,
    fits=_APPROACHES,
    expected=(
        *(Expected(f"approach {one}", "a", "a", _EXPONENTS["a"], _told(text)) for one, text in _ON_TEXT.items()),
        Expected("approach 3", "E", "E, nats a token", "heldout_entropy"),
    ),
    published=("scaling",),
    shown=("approach 1", "approach 2", "approach 3"),
)

CHINCHILLA_ON_CODE = replace(
    CHINCHILLA,
    title="Chinchilla's three approaches on code",
    question="Do the three approaches agree on how parameters should grow with compute, on Python's own library?",
    source=(
        "Hoffmann et al. (arXiv 2203.15556): the best number of parameters grows as C^a. "
        "On text a is 0.50, 0.49 and 0.46 by the three approaches."
    ),
    runs=_RUNS_ON_CODE,
    shared={"dataset": "corpus", "corpus": "stdlib", "layout": "packed", "context": 128},
    expected=tuple(
        Expected(f"approach {one}", "a", "a", text, f"{text:.2f} on text") for one, text in _ON_TEXT.items()
    ),
)

KAPLAN = Fitted(
    title="Kaplan's laws",
    question="Are there power laws in parameters, tokens and compute, and does Kaplan's exponent depend on the count?",
    source=(
        "Kaplan et al. (arXiv 2001.08361): L(N), L(D) and L(C) are power laws. "
        "N is without embeddings, and the best one grows as C^0.73. "
        "Porian et al. (arXiv 2406.19146), Pearce and Song (arXiv 2406.12907): with embeddings it is near 0.50. "
        "In this world the capacity law gives the exponents of L − E."
    ),
    runs=(
        *_RUNS,
        ("laptop", "reproduce/zipf", {"zipf": S}),
        ("laptop", "reproduce/zipf", {"zipf": S, "sizes": _MORE_SIZES, "tokens": [17_000_000]}),
        ("gpu", "reproduce/zipf", {**ZIPF_ON_GPU, "zipf": S}),
    ),
    shared=_SHARED,
    fits=(
        OneFit("L(N), equal tokens", Power("params"), rows=_deep_with_equal_tokens),
        OneFit("L(N), one layer", Power("params"), rows=_one_layer_with_equal_tokens),
        OneFit("L(D), largest model", Power("tokens"), rows=_largest),
        OneFit("L(C), best size", Power("flops"), rows=frontier_rows),
        OneFit("L(N, D)", kaplan_nd),
        replace(_SECOND, name="best N, all parameters"),
        _without_embeddings(_SECOND, "best N, without embeddings"),
    ),
    expected=(
        Expected("L(N), equal tokens", "b", "exponent of N", -_EXPONENTS["alpha"]),
        Expected("L(N), one layer", "b", "exponent of N", -_EXPONENTS["alpha"], "off the line of others", counts=False),
        Expected("L(D), largest model", "b", "exponent of D", -_EXPONENTS["beta"]),
        Expected("L(C), best size", "b", "exponent of C", -_EXPONENTS["alpha"] * _EXPONENTS["a"]),
        Expected("best N, all parameters", "a", "exponent of the best N", _EXPONENTS["a"]),
        Expected("best N, without embeddings", "a", "exponent of the best N", 0.73, "0.73 on text", counts=False),
    ),
    published=("scaling",),
    shown=("L(N), equal tokens", "L(D), largest model", "L(C), best size"),
)
