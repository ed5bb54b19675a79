"""The exponents of scaling that the capacity law predicts for people of unequal frequency.

Let person i be written about with probability p_i ∝ i^−s, s > 1. A model of P parameters holds the K ∝ P most frequent
and leaves the tail's share of the loss, Σ_{i>K} p_i ∝ K^(1−s). D tokens teach those who came about c times, K ∝
(D/c)^(1/s). Derived here; Hutter (arXiv 2102.04074) has the second exponent for a learner without limits.
"""


def predicted_exponents(s: float) -> dict[str, float]:
    """alpha, beta and a of L − E ∝ P^−alpha, L − E ∝ D^−beta, and best P ∝ C^a.

    s: the exponent of the frequencies, above 1. Raises ValueError otherwise.
    """
    if not s > 1:
        raise ValueError(f"s: {s} is not allowed; must be above 1, as else a few people have no share of the texts")
    return {"alpha": s - 1, "beta": (s - 1) / s, "a": 1 / (s + 1)}
