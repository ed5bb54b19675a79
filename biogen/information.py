"""How many bits a data set holds, and how many a model's losses on it amount to: closed forms, and nothing else.

In: the sizes of a data set and the mean losses of a model on it, p1 (name), p2 (value) and p3 (first chunk of a
value), in nats summed over tokens. Out: bits, split into the three terms of the definition.

Everything follows Allen-Zhu and Li, "Knowledge Capacity Scaling Laws" (arXiv 2404.05405): the definition of
the bits, the largest value they can take, and the lower bound of its Theorem 3.2 on log2|W|, the number of
bits that the weights W must have. T^L, the number of strings a chunk is drawn from, may have thousands of
digits, so it enters by its logarithm.
"""

import math
from dataclasses import dataclass

BITS_PER_NAT = math.log2(math.e)


@dataclass(frozen=True)
class Bits:
    """Bits of knowledge, by what is known.

    Attributes:
        name: which N of the N0 names occur.
        value: which value each person has in each attribute.
        value_set: which D strings each attribute draws its chunks from; 0 for bioS, whose pools are given.
    """

    name: float
    value: float
    value_set: float

    @property
    def total(self) -> float:
        """The three terms together, in bits."""
        return self.name + self.value + self.value_set


def bios_bits(N: int, N0: int, S0_log2: float, p1: float, p2: float) -> Bits:
    """The bits a model has learned of bioS(N): N·log2(N0/e^p1) + N·log2(S0/e^p2).

    The same holds for any data set whose names and values are drawn uniformly and independently out of given pools.

    A term below zero counts as 0: the model then predicts worse than the uniform distribution, and a coder
    would use that one instead. So a model that knows nothing scores 0.

    Args:
        N: people.
        N0: names that could occur.
        S0_log2: log2 of the number of possible combinations of values, bits a person (47.59 in the paper).
        p1: mean loss of a name, nats.
        p2: mean over people of the loss of all attributes together, nats.

    Raises:
        ValueError: N > N0, a count below 1 or a negative loss.
    """
    _check_people(N, N0)
    _check_at_least("S0_log2", S0_log2, 0)
    _check_losses(p1=p1, p2=p2)
    name = N * (math.log2(N0) - p1 * BITS_PER_NAT)
    value = N * (S0_log2 - p2 * BITS_PER_NAT)
    return Bits(name=max(0.0, name), value=max(0.0, value), value_set=0.0)


def biod_bits(N: int, N0: int, K: int, C: int, D: int, L: int, T: int, p1: float, p2: float, p3: float) -> Bits:
    """The bits a model has learned of bioD(N, K, C, D, L, T).

    N·log2(N0/e^p1) + N·K·log2(D^C/e^p2) + K·D·log2(T^L/(D·e^p3)).

    A term below zero counts as 0: the model then predicts worse than the uniform distribution, and a coder
    would use that one instead. So a model that knows nothing (p1 = ln N0, p2 = C·ln D, p3 = L·ln T) scores
    0, though its raw third term is −K·D·log2 D. With D = T^L there is no set to learn: the raw third
    term is then 0 at p3 = 0 and negative elsewhere.

    Args:
        N: people.
        N0: names that could occur.
        K: attributes.
        C: chunks in a value.
        D: strings in an attribute's set.
        L: tokens in a chunk.
        T: tokens that a chunk's characters are drawn from.
        p1: mean loss of a name, nats.
        p2: mean over people and attributes of the loss of a whole value, nats.
        p3: mean over people and attributes of the loss of a value's first chunk, nats.

    Raises:
        ValueError: N > N0, D > T^L, a count below 1 or a negative loss.
    """
    _check_people(N, N0)
    _check_values(K, C, D, L, T)
    _check_losses(p1=p1, p2=p2, p3=p3)
    name = N * (math.log2(N0) - p1 * BITS_PER_NAT)
    value = N * K * (C * math.log2(D) - p2 * BITS_PER_NAT)
    value_set = K * D * (L * math.log2(T) - math.log2(D) - p3 * BITS_PER_NAT)
    return Bits(name=max(0.0, name), value=max(0.0, value), value_set=max(0.0, value_set))


def bios_lower_bound(N: int, N0: int, S0_log2: float, p1: float, p2: float) -> Bits:
    """The lower bound on log2|W| for bioS(N): `bios_bits` with N0 − N in place of N0.

    Theorem 3.2 is stated for bioD; this is its name term, and its value term with S0 in place of D^(C·K).
    The name term is 0 at N = N0, where the bound says nothing about names. Arguments and errors are those
    of `bios_bits`.
    """
    learned = bios_bits(N, N0, S0_log2, p1, p2)
    return Bits(name=_bound_name(N, N0, p1), value=learned.value, value_set=0.0)


def biod_lower_bound(N: int, N0: int, K: int, C: int, D: int, L: int, T: int, p1: float, p2: float, p3: float) -> Bits:
    """The lower bound of Theorem 3.2 on log2|W|: `biod_bits` with N0 − N and T^L − D in place of N0 and T^L.

    The theorem's lower-order parts are left out: the o(1) in its factor (1 + o(1)) of p3, and the o(K·D) that
    it subtracts. It needs N ≥ Ω(D·log N), which isn't checked. A term is 0 where it says nothing: the name
    term at N = N0, the third one at D = T^L (no set to learn: it is what the rest is conditioned on), and
    any that would be negative, where the uniform code is the shorter one. Arguments and errors are those of
    `biod_bits`.
    """
    learned = biod_bits(N, N0, K, C, D, L, T, p1, p2, p3)
    value_set = K * D * (_log_strings_left(D, L, T) - math.log(D) - p3) * BITS_PER_NAT
    return Bits(name=_bound_name(N, N0, p1), value=learned.value, value_set=max(0.0, value_set))


def _bound_name(N: int, N0: int, p1: float) -> float:
    """N·log2((N0 − N)/e^p1), or 0 where that is negative or N = N0."""
    if N == N0:
        return 0.0
    return max(0.0, N * (math.log2(N0 - N) - p1 * BITS_PER_NAT))


def _log_strings_left(D: int, L: int, T: int) -> float:
    """ln(T^L − D), −inf where that is the logarithm of 0."""
    if T == 1:
        return -math.inf  # D <= T^L = 1
    if D.bit_length() >= L:  # T^L may be close to D, where a difference of logarithms loses all digits
        return math.log(T**L - D) if T**L > D else -math.inf
    return L * math.log(T) + math.log1p(-math.exp(math.log(D) - L * math.log(T)))


def _check_people(N: int, N0: int) -> None:
    _check_at_least("N", N, 1)
    if N > N0:
        raise ValueError(f"N = {N} people: allowed is at most N0 = {N0}, the number of names")


def _check_values(K: int, C: int, D: int, L: int, T: int) -> None:
    for field, count in {"K": K, "C": C, "D": D, "L": L, "T": T}.items():
        _check_at_least(field, count, 1)
    if T ** min(L, D.bit_length()) < D:  # as many digits as D can need, since T^L itself may be huge
        raise ValueError(f"D = {D} strings: allowed is at most T^L = {T}^{L}")


def _check_losses(**losses: float) -> None:
    for field, loss in losses.items():
        _check_at_least(field, loss, 0)


def _check_at_least(field: str, value: int | float, least: int) -> None:
    if not least <= value < math.inf:  # refuses NaN too
        raise ValueError(f"{field} = {value}: allowed is a finite number, at least {least}")
