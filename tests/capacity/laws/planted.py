"""Tables without noise whose law is known."""

import numpy as np
import pandas as pd

from capacity.laws.chinchilla import surface

CHINCHILLA = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}


def chinchilla_table(noise=0.0, sizes=7, budgets=5, seed=0):
    """IsoFLOP budgets around 20 tokens a parameter."""
    rows = [(N, C) for C in np.geomspace(1e18, 1e21, budgets) for N in np.sqrt(C / 120) * np.geomspace(0.2, 5, sizes)]
    frame = pd.DataFrame(rows, columns=["params", "flops"])
    frame["tokens"] = frame["flops"] / (6 * frame["params"])
    true = surface(CHINCHILLA, {name: frame[name].to_numpy() for name in ("params", "tokens")})
    return frame.assign(loss=true * np.exp(noise * np.random.default_rng(seed).standard_normal(len(frame))))


def power_table(a=1060.0, b=-0.15, c=1.7, noise=0.0, seed=0):
    """Thirteen budgets over four decades."""
    C = np.geomspace(1e17, 1e21, 13)
    error = noise * np.random.default_rng(seed).standard_normal(len(C))
    return pd.DataFrame({"flops": C, "loss": (a * C**b + c) * np.exp(error)})
