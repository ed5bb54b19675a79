"""Learning-rate schedules: the share of the peak that is left after a share of the training.

In: the share of the training that is done, from 0 to 1. Out: 1 at the peak, 0 at the end of the decay.
"""

import math
from typing import Literal

ScheduleName = Literal["cosine", "constant", "wsd"]
"""cosine: Loshchilov and Hutter, arXiv 1608.03983; wsd: warm-up, stable, decay (Hu et al., arXiv 2404.06395)."""


def left_of_peak(schedule: ScheduleName, done: float, decay_share: float) -> float:
    """The share of the peak that is left.

    constant: all of it; cosine: half a wave over the whole training; wsd: all of it, then a straight line to 0 over the
    last `decay_share` of the training (Hägele et al., arXiv 2405.18392, compare forms of this line).
    """
    done = min(1.0, done)
    if schedule == "constant":
        return 1.0
    if schedule == "wsd":
        return min(1.0, (1 - done) / decay_share)
    return 0.5 * (1 + math.cos(math.pi * done))
