"""How many intervals hold the true value: `python -m benchmarks.coverage`.

For each law, tables are planted: its curve at a grid of points, times noise. Each is fitted, and the share of nominal
95 % intervals that hold what was planted is counted: of every parameter, and of the prediction of a point ten times
beyond the grid. Printed as the table of docs/laws.md; `--write` puts it there.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from basis.files import replace_file
from capacity.laws import LAWS
from capacity.laws.chinchilla import exponents_of_frontier, frontier, surface
from capacity.laws.critical_batch import steps as steps_at
from capacity.laws.fit import Curve
from capacity.laws.kaplan import KaplanND, KaplanNS
from capacity.laws.stored import stored
from capacity.report.markdown import table

PAGE = Path(__file__).parents[1] / "docs" / "laws.md"
BEGIN, END = "<!-- printed by benchmarks/coverage.py -->", "<!-- end -->"
DRAWS = 199
TABLES = 200
LEAST = 93.0
"""Percent of intervals that must hold the truth."""


class Noise(NamedTuple):
    """Of log loss."""

    name: str
    size: float
    make: Callable[[np.random.Generator, np.ndarray], np.ndarray]
    """Noise of variance 1 at the true values."""
    stream: int


def normal(rng: np.random.Generator, true: np.ndarray) -> np.ndarray:
    return rng.standard_normal(true.shape)


def heavy(rng: np.random.Generator, true: np.ndarray) -> np.ndarray:
    """Student's with 3 degrees of freedom, with variance 1."""
    return rng.standard_t(3, true.shape) / np.sqrt(3)


def uneven(rng: np.random.Generator, true: np.ndarray) -> np.ndarray:
    """Normal, and up to ten times as large where the loss is high as where it is low."""
    size = np.linspace(0.2, 2.0, len(true))[np.argsort(np.argsort(true))]
    return size * rng.standard_normal(true.shape) / np.sqrt(np.square(size).mean())


NOISES = (
    Noise("0.2 %", 0.002, normal, 0),
    Noise("1 %", 0.01, normal, 1),
    Noise("3 %", 0.03, normal, 2),
    Noise("1 %, heavy tails", 0.01, heavy, 3),
)
UNEVEN = Noise("1 %, uneven", 0.01, uneven, 4)
"""Not what intervals from pooled residuals assume; printed, and not counted."""


@dataclass(frozen=True)
class Planted:
    """A law with known parameters at known points."""

    law: str
    points: pd.DataFrame
    target: str
    curve: Curve
    truth: Mapping[str, float]
    """What the fit must find: the planted parameters and what follows from them."""
    beyond: Mapping[str, float] | None = None
    """A point beyond the grid."""
    value_beyond: float = float("nan")
    unit: float | None = None
    """Noise is added in this unit, not multiplied."""

    def table(self, noise: Noise, seed: int) -> pd.DataFrame:
        """One table of noisy measurements."""
        columns = {name: self.points[name].to_numpy() for name in self.points}
        true = np.asarray(self.curve(self.truth, columns))
        error = noise.size * noise.make(np.random.default_rng([noise.stream, seed]), true)
        noisy = true * np.exp(error) if self.unit is None else true + self.unit * error
        return self.points.assign(**{self.target: noisy})


def isoflop_grid() -> pd.DataFrame:
    """Six budgets over three decades, seven sizes each, around 20 tokens a parameter."""
    rows = []
    for C in np.geomspace(1e18, 1e21, 6):
        for N in np.sqrt(C / 120) * np.geomspace(1 / 5, 5, 7):
            rows.append({"params": N, "tokens": C / (6 * N), "flops": C})
    return pd.DataFrame(rows)


def horizon_grid() -> pd.DataFrame:
    """Nine sizes, nine horizons each."""
    rows = [(N, N * ratio) for N in np.geomspace(1e7, 1e10, 9) for ratio in np.geomspace(1, 400, 9)]
    frame = pd.DataFrame(rows, columns=["params", "tokens"])
    return frame.assign(flops=6 * frame["params"] * frame["tokens"])


def planted_chinchilla(law: str) -> Planted:
    constants = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}
    of = {name: float(value) for name, value in exponents_of_frontier(constants).items()}
    if law == "chinchilla-3":
        beyond = {"params": 2e10, "tokens": 4e11}
        value = float(surface(constants, {name: np.array([at]) for name, at in beyond.items()})[0])
        return Planted(law, isoflop_grid(), "loss", surface, constants | of, beyond, value)
    C = np.array([1e22])
    best = float(frontier(constants, C)[0][0])
    truth = constants | {"k": of["G"] / 6 ** of["a"], "a": of["a"], "b": of["b"]}
    grid = isoflop_grid() if law == "chinchilla-2" else horizon_grid()
    return Planted(law, grid, "loss", surface, truth, {"flops": 1e22}, best)


def planted_power() -> Planted:
    truth = {"a": 1060.0, "b": -0.15, "c": 1.7}

    def curve(values: Mapping[str, float], where: Mapping[str, np.ndarray]) -> np.ndarray:
        return values["a"] * where["flops"] ** values["b"] + values["c"]

    C = np.geomspace(1e17, 1e21, 13)
    beyond = {"flops": 1e22}
    value = float(curve(truth, {"flops": np.array([1e22])})[0])
    return Planted("power", pd.DataFrame({"flops": C}), "loss", curve, truth, beyond, value)


def _far(**other: float) -> dict[str, float]:
    return {"params": 1e10} | other


def planted_kaplan(law: str) -> Planted:
    if law == "kaplan-nd":
        truth = {"alpha_N": 0.076, "alpha_D": 0.103, "N_c": 6.4e13, "D_c": 1.8e13}
        rows = [(N, D) for N in np.geomspace(1e6, 1e9, 6) for D in np.geomspace(2e7, 2e10, 6)]
        frame, beyond, curve = pd.DataFrame(rows, columns=["params", "tokens"]), _far(tokens=2e11), KaplanND.curve
    else:
        truth = {"alpha_N": 0.077, "alpha_S": 0.76, "N_c": 6.5e13, "S_c": 2.1e3}
        rows = [(N, S) for N in np.geomspace(1e6, 1e9, 6) for S in np.geomspace(1e3, 1e5, 6)]
        frame, beyond, curve = pd.DataFrame(rows, columns=["params", "steps"]), _far(steps=1e6), KaplanNS.curve
    value = float(curve(truth, {name: np.array([at]) for name, at in beyond.items()})[0])
    return Planted(law, frame, "loss", curve, truth, beyond, value)


def planted_batches() -> Planted:
    """Eight losses, six batch sizes each; S_min as in Kaplan's equation 1.6 for a model of 10^9 parameters."""
    truth = {"B_star": 2e8, "alpha_B": 0.21, "power": -1 / 0.21}
    rows = [(loss, B) for loss in np.linspace(2.6, 4.0, 8) for B in np.geomspace(2e4, 2e7, 6)]

    def curve(values: Mapping[str, float], where: Mapping[str, np.ndarray]) -> np.ndarray:
        S_min = 2.1e3 / (where["loss"] - 2.3) ** (1 / 0.76)
        critical = values["B_star"] * where["loss"] ** values["power"]
        return steps_at({"S_min": S_min, "critical": critical}, where)

    frame = pd.DataFrame(rows, columns=["loss", "batch"])
    return Planted("critical-batch", frame, "steps", curve, truth, {"loss": 2.0}, 2e8 * 2.0 ** (-1 / 0.21))


def planted_capacity() -> Planted:
    truth = {"scale": 30.0, "slope": 0.8, "steepness": 0.9, "capacity": 1.8}
    rows = [(P, 1e5, e) for P in np.geomspace(1e4, 3e5, 5) for e in np.geomspace(5, 500, 6)]

    def curve(values: Mapping[str, float], where: Mapping[str, np.ndarray]) -> np.ndarray:
        return stored(values, where) * where["max_bits"]

    frame = pd.DataFrame(rows, columns=["params", "max_bits", "exposures"])
    return Planted("capacity", frame, "bits", curve, truth, unit=1e5)


CASES: dict[str, Callable[[], Planted]] = {
    "power": planted_power,
    "kaplan-nd": partial(planted_kaplan, "kaplan-nd"),
    "kaplan-ns": partial(planted_kaplan, "kaplan-ns"),
    "critical-batch": planted_batches,
    "chinchilla-1": partial(planted_chinchilla, "chinchilla-1"),
    "chinchilla-2": partial(planted_chinchilla, "chinchilla-2"),
    "chinchilla-3": partial(planted_chinchilla, "chinchilla-3"),
    "capacity": planted_capacity,
}


class Share(NamedTuple):
    """How many of how many intervals held the truth."""

    held: int
    asked: int

    @property
    def percent(self) -> float:
        return 100 * self.held / self.asked

    def __str__(self) -> str:
        return f"{self.percent:.1f}" if self.asked else ""


class Covered(NamedTuple):
    """What was counted of one law at one noise."""

    law: str
    noise: Noise
    parameters: Share
    least: str
    """The parameter held least often."""
    prediction: Share
    """Of the law at the point beyond the grid."""
    run: Share
    """Of a new run there."""
    refused: int
    """Tables that the law refused to fit."""

    @property
    def row(self) -> dict[str, object]:
        return {
            "law": self.law,
            "noise": self.noise.name,
            "parameters held, %": self.parameters,
            "least of them": self.least,
            "prediction held, %": self.prediction,
            "new run held, %": self.run,
            "tables refused": self.refused,
        }


def cover(law: str, noise: Noise, tables: int, draws: int) -> Covered:
    """Count the intervals that held the truth."""
    planted = CASES[law]()
    names, held, beyond, runs, refused = [], [], [], [], 0
    for seed in range(tables):
        try:
            fit = LAWS[law].fit(planted.table(noise, seed), draws=draws, seed=seed)
        except ValueError:
            refused += 1
            continue
        names = [name for name in fit.parameters if name in planted.truth]
        held.append([fit.intervals[name].low <= planted.truth[name] <= fit.intervals[name].high for name in names])
        if planted.beyond is not None:
            said = fit.predict({name: np.array([value]) for name, value in planted.beyond.items()})
            beyond.append(bool(said.low[0] <= planted.value_beyond <= said.high[0]))
            error = noise.make(np.random.default_rng([noise.stream, seed, 1]), np.ones(5))[2]
            run = planted.value_beyond * np.exp(noise.size * error)
            runs += [bool(said.run_low[0] <= run <= said.run_high[0])] * (fit.target == "loss")
    each = np.mean(held, axis=0)
    least = f"{names[int(np.argmin(each))]} {100 * each.min():.1f}"
    whole = Share(int(np.sum(held)), np.size(held))
    return Covered(law, noise, whole, least, Share(sum(beyond), len(beyond)), Share(sum(runs), len(runs)), refused)


def total(shares: Iterable[Share]) -> Share:
    held, asked = zip(*shares, strict=True)
    return Share(sum(held), sum(asked))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--law", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--tables", type=int, default=TABLES, help="planted of each law and noise")
    parser.add_argument("--draws", type=int, default=DRAWS, help="simulated tables behind each interval")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="write the table into docs/laws.md")
    options = parser.parse_args()
    found = []
    with ProcessPoolExecutor(options.processes) as pool:
        cases = [(law, noise) for law in options.law for noise in (*NOISES, UNEVEN)]
        jobs = [pool.submit(cover, law, noise, options.tables, options.draws) for law, noise in cases]
        for job in jobs:
            found.append(job.result())
            print(*found[-1].row.values(), sep="\t", file=sys.stderr, flush=True)
    counted = [one for one in found if one.noise != UNEVEN]
    all_of = Covered(
        "all but uneven",
        NOISES[0]._replace(name=""),
        total(one.parameters for one in counted),
        "",
        total(one.prediction for one in counted),
        total(one.run for one in counted),
        sum(one.refused for one in counted),
    )
    rows = pd.DataFrame([one.row for one in (*found, all_of)])
    text = f"{options.tables} tables a row, {options.draws} simulated tables an interval.\n\n{table(rows)}"
    if options.write:
        before, begin, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        after = rest[rest.index(END) :]
        replace_file(PAGE, f"{before}{begin}\n{text.strip()}\n{after}".encode())
    print(text)
    return 0 if min(all_of.parameters.percent, all_of.prediction.percent, all_of.run.percent) >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
