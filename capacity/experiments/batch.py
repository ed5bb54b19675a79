"""The critical batch size against loss, from the steps that batches of several sizes take to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capacity.experiments.comparison import matching
from capacity.experiments.experiment import Finding, Scale, Status, Verdict, sweeps_of
from capacity.laws.critical_batch import critical_batch
from capacity.laws.fit import Fit
from capacity.laws.ratios import LEAST_SEEDS, half_interval
from capacity.store.sources import HELDOUT, load_curves

_LEVELS = 8
"""Losses at which steps are counted."""
_ON_TEXT = 0.21
"""α_B on text (Kaplan et al., section 5.1)."""


@dataclass(frozen=True)
class Batch:
    """Steps to several losses, by batch size, each with its best learning rate."""

    title: str = "critical batch size"
    question: str = "How does the batch size up to which larger batches save steps depend on the loss?"
    source: str = (
        "Kaplan et al. (arXiv 2001.08361, equation 1.4), after McCandlish et al. (arXiv 1812.06162): the critical "
        "batch size grows as a power of the loss as that falls, B_crit = B*/L^(1/α_B), α_B = 0.21 on text."
    )
    published: tuple[str, ...] = ("scaling",)
    figures: tuple[str, ...] = ()

    def sweeps(self, scale: Scale) -> Sequence[Mapping[str, Any]]:
        """Options of the sweeps. Raises ValueError for a scale that it does not have."""
        large = {"sizes": "2-2", "tokens": 600_000_000, "batch": [16, 64, 256, 1024, 4096]}
        return sweeps_of((("laptop", "reproduce/batch", {}), ("gpu", "reproduce/batch", large)), scale)

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The runs with a constant learning rate, of the size and tokens that have the most batch sizes."""
        if not {"schedule", "budget", "population", "heldout_loss"} <= set(frame):
            return frame.iloc[:0]
        rows = matching(frame, {"population": "zipf", "schedule": "constant", "quantization": "none"})
        batches = rows.groupby(["size", "budget"])["batch"].transform("nunique")
        return rows[(batches == batches.max()) & (batches > 2)]

    def along(self, runs: pd.DataFrame, folders: Sequence[Path]) -> pd.DataFrame:
        """A row for each loss, batch size (in tokens) and seed: the fewest steps of its learning rates to that loss."""
        curves = load_curves(*folders, runs=list(runs["run_id"]), kind=HELDOUT) if len(runs) else pd.DataFrame()
        if curves.empty:
            return curves
        options = ["run_id", "batch", "seed", "lr", "quantization", "zipf"]
        points = curves[["run_id", "steps", "tokens", "heldout_loss"]].merge(runs[options], on="run_id")
        each = points.groupby("run_id")
        levels = _levels(points)
        reached = pd.concat([_steps_to(rows, levels) for _, rows in each], ignore_index=True).dropna(subset=["steps"])
        settings = reached.groupby(["loss", "batch", "lr"])
        reached = reached[settings["seed"].transform("nunique") == reached["seed"].nunique()]
        means = reached.groupby(["loss", "batch", "lr"], as_index=False)["steps"].mean()
        best = means.loc[means.groupby(["loss", "batch"])["steps"].idxmin(), ["loss", "batch", "lr"]]
        found = reached.merge(best, on=["loss", "batch", "lr"])
        tried = runs["lr"].agg(["min", "max"])
        found["at_end"] = found["lr"].isin(tried)
        return found[found.groupby("loss")["batch"].transform("nunique") >= 3].reset_index(drop=True)

    def table(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Steps to each loss by batch size, the mean over seeds, and what follows."""
        fit = _fit(frame)
        steps = frame.pivot_table(index="loss", columns="batch", values="steps", aggfunc="mean")
        steps.columns = pd.Index([f"steps, {batch:,.0f} tokens a batch" for batch in steps])
        levels = fit.tables["levels"].set_index("loss") if fit else pd.DataFrame(index=steps.index)
        shown = steps.join(levels[[name for name in ("critical_batch",) if name in levels]])
        texts = shown.sort_index(ascending=False).reset_index()
        return texts.map(lambda value: "" if value != value else f"{value:,.0f}" if value > 20 else f"{value:.3f}")

    def verdict(self, frame: pd.DataFrame) -> Verdict:
        """Whether the critical batch size grows as the loss falls, and with which exponent."""
        fit = _fit(frame) if len(frame) else None
        says = "grows as the loss falls, α_B = 0.21"
        if fit is None:
            return Verdict("not enough runs", [], [Finding("critical batch size", says, "", "not enough runs")])
        powers = np.array([one.parameters["power"] for _, rows in frame.groupby("seed") if (one := _fit(rows))])
        if len(powers) < LEAST_SEEDS:
            return Verdict("not enough runs", [], [Finding("critical batch size", says, "", "not enough runs")])
        power, half = float(powers.mean()), half_interval(powers)
        grows = power + half < 0
        near = grows and power - half <= -1 / _ON_TEXT <= power + half
        status: Status = "reproduced" if near else "reproduced in part" if grows else "not reproduced"
        evidence = ["Each batch size has the best of the same learning rates for each loss, by the mean over seeds."]
        if frame["at_end"].any():
            share = frame.groupby(["loss", "batch"])["at_end"].any().mean()
            evidence.append(f"At {share:.0%} of the points the best learning rate is the last that was tried.")
            status = "reproduced in part" if status == "reproduced" else status
        here = f"L to the power {power:.2f} ({power - half:.2f} to {power + half:.2f}), α_B = {-1 / power:.2f}"
        return Verdict(status, evidence, [Finding("critical batch size", says, here, status)])

    def fitted(self, frame: pd.DataFrame) -> Sequence[tuple[str, Fit]]:
        """The law of the critical batch size."""
        fit = _fit(frame)
        return [("", fit)] if fit else []


def _levels(points: pd.DataFrame) -> np.ndarray:
    """Losses, evenly spaced in logarithms, from what all runs reached early to what half of them reached."""
    ends = points.groupby("run_id")["heldout_loss"].agg(["max", "min"])
    return np.geomspace(0.8 * float(ends["max"].min()), 1.02 * float(np.sort(ends["min"])[len(ends) // 2]), _LEVELS)


def _steps_to(rows: pd.DataFrame, levels: np.ndarray) -> pd.DataFrame:
    """The steps of one run to each loss, by logarithms between two measurements; missing where it was not reached."""
    rows = rows.sort_values("steps").drop_duplicates("steps")
    falling = rows[rows["heldout_loss"] == rows["heldout_loss"].cummin()]
    first, tokens = rows.iloc[0], float((rows["tokens"] / rows["steps"]).iloc[-1])
    x, y = -np.log(falling["heldout_loss"].to_numpy(float)), np.log(falling["steps"].to_numpy(float))
    steps = np.exp(np.interp(-np.log(levels), x, y, left=np.nan, right=np.nan))
    return pd.DataFrame({"loss": levels, "steps": steps}).assign(
        **{name: first[name] for name in ("run_id", "seed", "lr", "quantization", "zipf")}, batch=float(f"{tokens:.3g}")
    )


def _fit(frame: pd.DataFrame) -> Fit | None:
    """The law over all seeds; None where too few losses have a critical batch size."""
    try:
        return critical_batch.fit(frame[["loss", "batch", "steps"]])
    except ValueError:
        return None


BATCH = Batch()
