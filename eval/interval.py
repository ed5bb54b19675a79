"""The confidence interval of a model's bits, given that a sample of people is measured.

In: every person's losses in nats, and a function from mean losses to bits. Out: a confidence interval in bits.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

LEVEL = 0.95
RESAMPLES = 999
MAX_BOOTSTRAP_PEOPLE = 100_000  # 3.3 seconds on one core
_BATCH_BYTES = 100_000_000  # bounds the memory of one batch of resampled arrays


def bootstrap_interval(
    nll_name: Float[np.ndarray, " people"],
    nll_value: Float[np.ndarray, " people"],
    nll_value1: Float[np.ndarray, " people"] | None,
    bits: Callable[[float, float, float], float],
) -> tuple[float, float]:
    """The 95 % confidence interval of the total bits over the draw of people.

    People are resampled with all of their losses together (a percentile bootstrap, seeded, 999 resamples). It is
    written out, since the import of scipy's, which gives the same to the last bit, takes longer than a short training.
    Above 100,000 people the means p1, p2, p3 are drawn from their normal approximation instead (the sample
    means and their covariance), which at that size differs from the bootstrap by no more than its own noise
    and takes milliseconds. The floors of the bits apply to every draw either way.

    Args:
        nll_name: loss of each person's name, nats.
        nll_value: loss of each person's values, nats: summed over attributes for bioS, their mean for bioD.
        nll_value1: the same for the first chunks of the values, mean over attributes; None for bioS.
        bits: total bits at the means (p1, p2, p3); p3 is 0 where nll_value1 is None.

    Returns:
        Low and high end, bits.

    Raises:
        ValueError: fewer than two people, a loss that is negative or not finite.
    """
    if nll_value1 is None:
        nll_value1 = np.zeros_like(nll_name)
    losses = {"nll_name": nll_name, "nll_value": nll_value, "nll_value1": nll_value1}
    people = len(nll_name)
    if people < 2:
        raise ValueError(f"nll_name has {people} people: allowed is at least 2, to tell how people differ")
    for field, nll in losses.items():
        assert len(nll) == people
        allowed = (nll >= 0) & np.isfinite(nll)
        if not allowed.all():
            raise ValueError(f"{field} has a loss of {nll[~allowed][0]}: allowed is a finite number, at least 0")
    means_to_bits = np.vectorize(lambda p1, p2, p3: bits(float(p1), float(p2), float(p3)), otypes=[float])
    rng = np.random.default_rng(0)
    data = [np.asarray(nll, dtype=np.float64) for nll in losses.values()]
    if people > MAX_BOOTSTRAP_PEOPLE:
        covariance = np.cov(data) / people
        means = rng.multivariate_normal(np.mean(data, axis=1), covariance, size=RESAMPLES)  # [resamples, 3]
        draws = means_to_bits(*np.maximum(means, 0).T)
    else:
        # a resample holds an index and three losses a person, eight bytes each
        batch = max(1, _BATCH_BYTES // (people * 8 * (len(data) + 1)))
        sizes = [min(batch, RESAMPLES - first) for first in range(0, RESAMPLES, batch)]
        chosen = (rng.integers(people, size=(size, people)) for size in sizes)
        draws = np.concatenate([means_to_bits(*(nll[index].mean(axis=-1) for nll in data)) for index in chosen])
    outside = (1 - LEVEL) / 2
    return _quantile(draws, outside), _quantile(draws, 1 - outside)


def _quantile(values: Float[np.ndarray, " n"], share: float) -> float:
    """The value below which a share of values lies, linear between two of them, as `scipy.stats.quantile` rounds it."""
    place = share * len(values) + (1 - share)  # counted from 1
    left, part = int(place) - 1, place % 1
    below, above = np.partition(values, [left, left + 1])[left : left + 2]
    return float((1 - part) * below + part * above)
