"""The counts of papers for the rows of earlier versions, which lack them: exact, or missing.

In: a row of a record, and the options of its run. Out: the columns `params_non_embedding`, `flops_kaplan` and
`flops_chinchilla`. The length of windows follows from the FLOPs that the row has.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from train.architectures import ARCHITECTURES
from train.architectures.causal_lm import CausalLM, outline
from train.counts import Counts, counts_of
from train.sizes import parse_size

NAMED = ("mlp", "tied")
"""Options of architectures that have flat names of their own."""
_INNER = "architecture_options."


def with_counts(row: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The row with its counts; as it is if it has them, or if they do not follow exactly from what it has.

    Architectures of a user's own are not imported, so their rows stay as they are.

    Args:
        row: measurements as stored, with `size`, `params`, `vocab`, `tokens` and `flops`.
        options: of the run, by flat name (`capacity.store.options.options_of`).

    """
    if row.get("params_non_embedding") is not None or options.get("architecture") not in ARCHITECTURES.names:
        return dict(row)
    own = {name.removeprefix(_INNER): value for name, value in options.items() if name.startswith(_INNER)}
    named = {name: options[name] for name in NAMED if options.get(name) is not None}
    try:
        tokens = row["tokens"]
        model = _model(options["architecture"], row["size"], row["vocab"], json.dumps(named | own))
        counts = _counts(model, row["flops"] // tokens)
    except (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError):  # what a file may hold
        return dict(row)
    if counts.flops * tokens != row["flops"] or sum(model.parameter_counts().values()) != row["params"]:
        return dict(row)
    return {
        **row,
        "params_non_embedding": counts.kaplan_parameters,
        "flops_kaplan": counts.kaplan_flops * tokens,
        "flops_chinchilla": counts.chinchilla_flops * tokens,
    }


def _counts(model: CausalLM, flops: int) -> Counts:
    """The counts in windows of the length that makes its own count `flops` a token."""
    base = model.flops_per_token(0)
    return counts_of(model, (flops - base) // (model.flops_per_token(1) - base))


@cache
def _model(architecture: str, size: str, vocab: int, options: str) -> CausalLM:
    return outline(architecture, parse_size(size), vocab, json.loads(options))
