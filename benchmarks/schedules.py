"""How well laws of the learning rate's schedule predict public loss curves: `.venv/bin/python benchmarks/schedules.py`.

Fits three curves of tests/data/multi_power_law, predicts the other six, and prints a table for docs/laws.md.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from capacity.laws.fit import Values
from capacity.laws.regression import HUBER, huber
from capacity.laws.schedule import Annealing, MultiPower

CURVES = Path(__file__).resolve().parents[1] / "tests" / "data" / "multi_power_law"
FITTED = ("cosine_24000", "constant_24000", "wsdcon_9")
NAMES = ("L0", "A", "alpha", "B", "C", "beta", "gamma")
PUBLISHED = {  # README of github.com/thu-yao-01-luo/MultiPowerLaw at commit 8da9f190
    "25M": (3.040, 0.525, 0.508, 363.788, 2.066, 0.583, 0.641),
    "100M": (2.651, 0.601, 0.453, 437.946, 2.132, 0.598, 0.655),
}


def said(law: MultiPower | Annealing, values: Values, curve: pd.DataFrame) -> np.ndarray:
    """What a law says along a curve."""
    return law.curve(values, {name: curve[name].to_numpy(float) for name in ("step", "lr")})


def row(name: str, law: MultiPower | Annealing, values: Values, curves: pd.DataFrame) -> str:
    """A line of the table."""
    fitted = curves[curves["curve"].isin(FITTED)]
    residuals = np.log(fitted["loss"].to_numpy()) - np.log(said(law, values, fitted))
    R2, errors = [], []
    for _, curve in curves[~curves["curve"].isin(FITTED)].groupby("curve", sort=False):
        loss = curve["loss"].to_numpy()
        error = said(law, values, curve) - loss
        R2.append(1 - np.square(error).sum() / np.square(loss - loss.mean()).sum())
        errors.append(np.abs(error).mean())
    objective = float(huber(residuals[None, :], HUBER)[0])
    return f"{name} | {1e5 * objective:.2f} | {np.mean(R2):.4f} | {min(R2):.4f} | {1e3 * np.mean(errors):.2f} |"


def main() -> None:
    """Print the table."""
    print("| size | law | objective on three (1e-5) | mean R² of six | lowest R² | mean absolute error (1e-3 nats) |")
    print("| --- | --- | --- | --- | --- | --- |")
    for size, published in PUBLISHED.items():
        curves = pd.read_csv(CURVES / f"{size}.csv")
        table = curves[curves["curve"].isin(FITTED)]
        laws = {"multi-power": MultiPower(), "multi-power, nothing held": MultiPower(0.0), "annealing": Annealing()}
        for name, law in laws.items():
            print(f"| {size} | {row(name, law, law.fit(table).parameters, curves)}")
        values = dict(zip(NAMES, published, strict=True))
        print(f"| {size} | {row('multi-power, published constants', MultiPower(), values, curves)}")


if __name__ == "__main__":
    main()
