"""Schedules: a law fitted to losses under cosine and constant learning rates predicts those under wsd."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capacity.experiments.comparison import matching
from capacity.experiments.experiment import Finding, Scale, Status, Verdict, sweeps_of
from capacity.laws.fit import Fit
from capacity.laws.ratios import LEAST_SEEDS
from capacity.laws.schedule import Annealing, MultiPower
from capacity.store.parquet import thin
from capacity.store.sources import TRAIN, load_curves
from train.schedules import left_of_peak

_FITTED, _PREDICTED = ("cosine", "constant"), "wsd"
_GOOD, _FAIR = 0.998, 0.98
"""R² of the source's predictions, and what counts as reproduced in part."""
_LAWS: Mapping[str, MultiPower | Annealing] = {
    "multi-power law (arXiv 2503.12811)": MultiPower(),
    "annealing law (arXiv 2408.11029)": Annealing(),
}
_CURVE = ["schedule", "decay_share", "budget"]
"""The columns that tell curves apart, which are means over seeds."""


@dataclass(frozen=True)
class Schedules:
    """Losses of training, which in a world where every text is drawn anew are held-out losses."""

    title: str = "learning-rate schedules"
    question: str = "Does a law that is fitted to cosine and constant learning rates predict the loss under wsd?"
    source: str = (
        "Luo et al. (arXiv 2503.12811) fit the multi-power law to two or three schedules. "
        "It predicts others with an R² of at least 0.998. "
        "Tissue et al. (arXiv 2408.11029) have a law with an area of annealing."
    )
    published: tuple[str, ...] = ("scaling",)
    figures: tuple[str, ...] = ()

    def sweeps(self, scale: Scale) -> Sequence[Mapping[str, Any]]:
        """Options of the sweeps. Raises ValueError for a scale that it does not have."""
        large = {"sizes": "2-2", "tokens": [400_000_000, 800_000_000]}
        return sweeps_of((("laptop", "reproduce/schedules", {}), ("gpu", "reproduce/schedules", large)), scale)

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The runs of all schedules, of those sizes and tokens that have each of them."""
        if not {"schedule", "budget", "population"} <= set(frame):
            return frame.iloc[:0]
        rows = matching(frame, {"population": "zipf", "recipe": "fast", "quantization": "none"})
        rows = rows[(rows["final_lr"] == 0.1) | (rows["schedule"] == "constant")]
        rows = rows[rows["schedule"].isin([*_FITTED, _PREDICTED]) & rows["budget"].notna()]
        alike = rows.groupby(["size", "people", "lr"])
        rows = rows[alike["schedule"].transform("nunique") == len(_FITTED) + 1]
        return rows[rows["params"] == rows["params"].mode().max()] if len(rows) else rows

    def along(self, runs: pd.DataFrame, folders: Sequence[Path]) -> pd.DataFrame:
        """A row for each point of the mean curve over seeds: its schedule, step, learning rate and loss."""
        curves = load_curves(*folders, runs=list(runs["run_id"]), kind=TRAIN) if len(runs) else pd.DataFrame()
        if curves.empty:
            return curves
        options = ["run_id", *_CURVE, "seed", "steps", "warmup_steps", "lr", "final_lr", "quantization", "zipf"]
        named = runs[[name for name in options if name in runs]].rename(columns={"steps": "all_steps", "lr": "peak"})
        curves = curves.sort_values(["run_id", "exposures"], kind="stable")
        curves = pd.concat([thin(rows) for _, rows in curves.groupby("run_id")])  # as published runs have them
        curves = curves.merge(named, on="run_id")
        each = curves.groupby("run_id")["exposures"]
        before = each.shift(fill_value=0.0)  # a record is a mean over the steps since the one before
        curves["share"] = (curves["exposures"] + before) / 2 / each.transform("max")
        curves["part"] = each.cumcount()
        curves["decay_share"] = curves["decay_share"].where(curves["schedule"] == _PREDICTED, 0.0)
        points = curves.groupby([*_CURVE, "part"], as_index=False).agg(
            loss=("loss", "mean"),
            noise=("loss", "var"),
            share=("share", "mean"),
            seeds=("seed", "nunique"),
            run_id=("run_id", "first"),
            **{name: (name, "first") for name in ("all_steps", "warmup_steps", "peak", "final_lr", "seed")},
        )
        points["noise"] /= points["seeds"]
        points["step"] = points["share"] * points["all_steps"]
        points = points[points["step"] > points["warmup_steps"]]
        return points.assign(lr=[_rate(row) for row in _rows(points)]).reset_index(drop=True)

    def table(self, frame: pd.DataFrame) -> pd.DataFrame:
        """How well each law says each curve."""
        lines = []
        for name, law in _LAWS.items():
            fit = _fit(law, frame)
            for (schedule, share, tokens), rows in frame.groupby(_CURVE, sort=False):
                R2, of_means, error = _errors(fit, rows)
                what = f"{schedule}, decay share {share:g}" if schedule == _PREDICTED else str(schedule)
                lines.append(
                    {"law": name, "schedule": what, "tokens": f"{tokens:,.0f}"}
                    | {"fitted or predicted": "predicted" if schedule == _PREDICTED else "fitted"}
                    | {"R²": f"{R2:.4f}", "R² without noise": f"{of_means:.4f}"}
                    | {"mean absolute error, nats": f"{error:.4f}"}
                    | {"seeds": str(rows["seeds"].min())}
                )
        return pd.DataFrame(lines)

    def verdict(self, frame: pd.DataFrame) -> Verdict:
        """Whether the unseen schedules are predicted as well as by the source."""
        findings = []
        for place, (name, law) in enumerate(_LAWS.items()):
            if frame.empty or set(frame["schedule"]) != {*_FITTED, _PREDICTED}:
                findings.append(Finding(name, "R² of at least 0.998", "", "not enough runs"))
                continue
            fit, unseen = _fit(law, frame), frame[frame["schedule"] == _PREDICTED]
            found = [_errors(fit, rows) for _, rows in unseen.groupby(_CURVE)]
            worst, error = min(of_means for _, of_means, _ in found), float(np.mean([error for *_, error in found]))
            status: Status = (
                "reproduced" if worst >= _GOOD else "reproduced in part" if worst >= _FAIR else "not reproduced"
            )
            status = status if frame["seeds"].min() >= LEAST_SEEDS else "not enough runs"
            here = f"R² of at least {worst:.4f} without the noise, off by {error:.4f} nats in the mean with it"
            findings.append(
                Finding(name, "R² of at least 0.998" if place == 0 else "predicts other schedules", here, status)
            )
        evidence = [
            "Losses are means over seeds, from the end of the warm-up on.",
            "R² without noise leaves out of squared errors and variance what the spread of seeds accounts for.",
        ]
        return Verdict(findings[0].status, evidence, findings)


def _rows(points: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in points.to_dict("records")]


def _rate(row: Mapping[str, Any]) -> float:
    """The learning rate at a point of a curve."""
    left = left_of_peak(row["schedule"], row["share"], row["decay_share"] or 1.0)
    return float(row["peak"] * (row["final_lr"] + (1 - row["final_lr"]) * left))


def _fit(law: MultiPower | Annealing, frame: pd.DataFrame) -> Fit:
    """A law fitted to the curves of known schedules, one behind the other."""
    known = frame[frame["schedule"].isin(_FITTED)].sort_values([*_CURVE, "step"], kind="stable")
    return law.fit(known[["step", "lr", "loss"]])


def _errors(fit: Fit, rows: pd.DataFrame) -> tuple[float, float, float]:
    """R² of the losses of one curve, the same without their noise, and the mean absolute error in nats.

    rows: `noise` is the variance of each loss, by the spread of seeds; NaN with one seed.
    """
    rows = rows.sort_values("step")
    said = fit.curve(fit.parameters, {name: rows[name].to_numpy(float) for name in ("step", "lr")})
    loss, noise = rows["loss"].to_numpy(float), float(rows["noise"].sum(min_count=1))
    wrong, all_of_it = float(((loss - said) ** 2).sum()), float(((loss - loss.mean()) ** 2).sum())
    of_means = 1 - max(0.0, wrong - noise) / (all_of_it - noise) if all_of_it > noise else np.nan
    return 1 - wrong / all_of_it, of_means, float(np.abs(loss - said).mean())


SCHEDULES = Schedules()
