"""What a proof says: the bits of a code beside those of the estimator, and the bits per parameter of both.

In: a code, losses as they are measured, the data set. Out: a record, ready for JSON. Bits and R follow the paper's
formula with the code's bits in place of the losses.
"""

import hashlib
import math
from typing import Any

import numpy as np
from jaxtyping import Float

from biogen.dataset import Dataset
from biogen.information import BITS_PER_NAT
from biogen.pieces import Role
from eval.proof.blanked import Person
from eval.proof.code import NAMES, VALUES, Written
from eval.recall import Recall

AGREEMENT = 0.005
"""Share of the bits by which code and estimator may differ."""
_WORD = 32
ENDS = 2 * _WORD
"""Bits that a code has more at its ends: a word for names, a word for values."""


def make_proof(written: Written, recall: Recall, dataset: Dataset, parameters: int) -> dict[str, Any]:
    """One record; all in bits but the losses, which are in nats."""
    people, N0 = dataset.config.people, dataset.names
    attributes = len(dataset.value_roles)
    code = {part: _WORD * len(written.codes[part]) for part in (NAMES, VALUES)}
    p1, p2 = float(recall.name.mean()), float(recall.value.mean())
    p3 = float(recall.value1.mean()) if recall.value1 is not None else 0.0
    each = attributes if dataset.first_chunk else 1  # values that p2 is the mean over
    estimated = {NAMES: people * p1 * BITS_PER_NAT, VALUES: people * each * p2 * BITS_PER_NAT}
    first = np.mean([written.bits[:, roles[0]] for roles in dataset.value_roles.values()]) if dataset.first_chunk else 0
    nats = [code[NAMES] / people, code[VALUES] / (people * each), float(first)]
    bits, most = dataset.bits(*(bits / BITS_PER_NAT for bits in nats)), dataset.max_bits()
    of_sets = bits.value_set * dataset.share_of_sets(written.people)
    known = bits.name + bits.value + of_sets
    content = written.content()
    total, expected = sum(code.values()), sum(estimated.values())
    return {
        "people": people,
        "params": parameters,
        "sha256": hashlib.sha256(content).hexdigest(),
        "file_bits": 8 * len(content),
        "code_bits": total,
        "code_bits_name": code[NAMES],
        "code_bits_value": code[VALUES],
        "estimated_bits": expected,
        "estimated_bits_name": estimated[NAMES],
        "estimated_bits_value": estimated[VALUES],
        "difference": total / expected - 1 if expected else 0.0,
        "loss_name": p1,
        "loss_value": p2,
        "loss_value1": p3 if dataset.first_chunk else None,
        "bits": known,
        "bits_name": bits.name,
        "bits_value": bits.value,
        "bits_value_set": of_sets,
        "bits_per_param": known / parameters,
        "bits_per_param_estimated": dataset.bits(p1, p2, p3).total / parameters,
        "max_bits_per_param": most.total / parameters,
        **names_as_set(people, N0, code[NAMES], written.bits[:, Role.NAME]),
        "tokens_coded": written.tokens,
        "ambiguous_roundings": written.ambiguous,
    }


def names_as_set(N: int, N0: int, code: int, bits: Float[np.ndarray, " people"]) -> dict[str, float]:
    """What the names cost as a set, in no order, and each once.

    A set of N of N0 names costs log2 binom(N0, N), about N·log2(N0/N) + N·log2 e bits. The code gives the names in an
    order, which is log2 N! bits of it. It could leave out names that have come, which would save −log2(1 − q) of each
    name, with q the probability of all names before it. What is left of the code, a model does not know of the set.

    bits: −log2 of the probability of each name, in order.
    """
    order = _log2_factorial(N)
    come = np.minimum(np.cumsum(np.exp2(-bits)) - np.exp2(-bits), 1 - 2.0**-50)
    again = float(-np.log2(1 - come).sum())
    cost = _log2_factorial(N0) - _log2_factorial(N0 - N) - order if N0 < 1 << 40 else N * math.log2(N0) - order
    return {
        "set_bits": cost,
        "set_bits_order": order,
        "set_bits_again": again,
        "set_bits_known": max(0.0, cost - max(0.0, code - order - again)),
    }


def compare(found: list[Person], expected: list[Person]) -> list[str]:
    """A line for each field that differs, and for each person too many or too few; fields that no text has are left
    out."""
    lines = [] if len(found) == len(expected) else [f"{len(found)} people; must be {len(expected)}"]
    for number, (one, other) in enumerate(zip(found, expected, strict=False)):
        lines += [
            f"person {number}: {name} is {one[name]!r}; must be {other.get(name)!r}"
            for name in one
            if one[name] != other.get(name)
        ]
    return lines


def _log2_factorial(n: int) -> float:
    return math.lgamma(n + 1) * BITS_PER_NAT
