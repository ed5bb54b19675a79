"""Loss by position in the window: what the first third of log-spaced checkpoints says about the rest."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capacity.experiments.comparison import matching
from capacity.experiments.experiment import Finding, Scale, Status, Verdict, sweeps_of
from capacity.laws.forecast import FIRST, errors, forecast
from capacity.laws.ratios import LEAST_SEEDS
from capacity.store.sources import HELDOUT, load_curves
from eval.heldout import by_position

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEAST_CHECKPOINTS = 20
_EARLY = 0.01
"""Checkpoints in this first part of the training, while it warms up, are left out."""


@dataclass(frozen=True)
class Temporal:
    """Mean losses over seeds at every checkpoint and position."""

    title: str = "loss by position over time"
    question: str = (
        "Do laws of loss by position predict later checkpoints from the first third, and do all positions learn alike?"
    )
    source: str = (
        "Xiong et al. (arXiv 2404.17785): the loss falls with the position as a0/(1 + a1·i) + a2. "
        "Its parameters early in a training predict those later on. "
        "Kaplan et al. (arXiv 2001.08361, appendix D.5) have a power law in the position. "
        "How the parameters depend on tokens is here a power law, which is ours."
    )
    published: tuple[str, ...] = ("scaling",)
    figures: tuple[str, ...] = ()

    def sweeps(self, scale: Scale) -> Sequence[Mapping[str, Any]]:
        """Options of the sweeps. Raises ValueError for a scale that it does not have."""
        large = {"sizes": "4-4", "tokens": 200_000_000, "heldout_tokens": 400_000}
        return sweeps_of((("laptop", "reproduce/temporal", {}), ("gpu", "reproduce/temporal", large)), scale)

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The runs on text files with packed windows, of one size and number of tokens."""
        if not {"corpus", "budget", "heldout_loss"} <= set(frame):
            return frame.iloc[:0]
        rows = matching(frame, {"dataset": "corpus", "layout": "packed", "context": 512, "quantization": "none"})
        if rows.empty:
            return rows
        most = rows.groupby(["params", "budget"])["seed"].nunique()
        params, budget = most[most == most.max()].index.max()
        return rows[(rows["params"] == params) & (rows["budget"] == budget)]

    def along(self, runs: pd.DataFrame, folders: Sequence[Path]) -> pd.DataFrame:
        """A row for each run, checkpoint and position: run_id, tokens, position, loss and lr."""
        curves = load_curves(*folders, runs=list(runs["run_id"]), kind=HELDOUT) if len(runs) else pd.DataFrame()
        points = [
            {"tokens": row["tokens"], "run_id": row["run_id"], "lr": row["lr"]}
            | {"position": (first * last) ** 0.5, "loss": loss}
            for row in curves.to_dict("records")
            if row["tokens"] >= _EARLY * curves["tokens"].max()
            for first, last, loss in by_position({str(name): value for name, value in row.items()})
        ]
        if not points:
            return pd.DataFrame()
        rows = pd.DataFrame(points)
        return rows.assign(checkpoint=rows.groupby(["run_id", "position"])["tokens"].rank().astype(int))

    def table(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The loss at some positions and checkpoints, means over seeds."""
        frame = _means(frame)
        tokens, positions = (sorted(frame[name].unique()) for name in ("tokens", "position"))
        shown = frame[
            frame["tokens"].isin(tokens[:: max(1, len(tokens) // 6)] + tokens[-1:])
            & frame["position"].isin(positions[:: max(1, len(positions) // 8)] + positions[-1:])
        ]
        cells = shown.pivot(index="tokens", columns="position", values="loss")
        cells.columns = pd.Index([f"position {position:.0f}" for position in cells])
        texts = cells.map(lambda loss: f"{loss:.3f}").reset_index()
        return texts.assign(tokens=[f"{number:,.0f}" for number in texts["tokens"]])

    def verdict(self, frame: pd.DataFrame) -> Verdict:
        """Whether the hyperbolic law predicts later checkpoints better than its rivals."""
        says = "predicts later checkpoints"
        if not self._enough(frame):
            return Verdict("not enough runs", [], [Finding("hyperbolic in position", says, "", "not enough runs")])
        each = [errors(forecast(rows)).set_index("rival")["mean"] for _, rows in frame.groupby("run_id")]
        found = pd.concat(each, axis=1).mean(axis=1).sort_values()
        best = all(str(one.index[0]) == "hyperbolic" for one in each)
        beats = all(one["hyperbolic"] < one["last"] for one in each)
        status: Status = "reproduced" if best else "reproduced in part" if beats else "not reproduced"
        status = status if len(each) >= LEAST_SEEDS else "not enough runs"
        told = ", ".join(f"{str(name).replace('_', '-')} {error:.3f}" for name, error in found.items())
        here = f"off by {found['hyperbolic']:.3f} nats, the last value by {found['last']:.3f}"
        tokens = np.unique(_means(frame)["tokens"])
        share = tokens[math.ceil(FIRST * len(tokens)) - 1] / tokens[-1]
        seen = f"Fitted to the first {FIRST:.0%} of {len(tokens)} checkpoints, which are {share:.0%} of the tokens"
        evidence = [
            f"{seen}.",
            f"Mean absolute errors at the others, in nats: {told}.",
            "Reproduced means that the law is the best in each seed, in part that it beats the last value in each.",
            _positions_apart(_means(frame)),
        ]
        return Verdict(status, evidence, [Finding("hyperbolic in position", says, here, status)])

    def drawn(self, frame: pd.DataFrame) -> "Mapping[str, Figure]":
        """The forecast, by the name of its file."""
        from capacity.report.figures.laws.position import draw_forecast

        return {"forecast": draw_forecast(forecast(_means(frame)))} if self._enough(frame) else {}

    @staticmethod
    def _enough(frame: pd.DataFrame) -> bool:
        """Whether there are checkpoints to fit and to predict."""
        return len(frame) > 0 and bool(frame.groupby("run_id")["tokens"].nunique().min() >= _LEAST_CHECKPOINTS)


def _means(frame: pd.DataFrame) -> pd.DataFrame:
    """The mean over seeds at each checkpoint and position."""
    means = frame.groupby(["checkpoint", "position"], as_index=False)[["tokens", "loss", "lr"]].mean()
    return means.assign(tokens=means.groupby("checkpoint")["tokens"].transform("mean").round())


def _positions_apart(frame: pd.DataFrame) -> str:
    """Whether early and late positions had the same share of their fall behind them half-way (in logarithms)."""
    tokens = sorted(frame["tokens"].unique())
    first, middle, last = (
        frame[frame["tokens"] == tokens[at]].set_index("position")["loss"] for at in (0, len(tokens) // 2, -1)
    )
    share = ((first - middle) / (first - last)).sort_index()
    few = max(1, len(share) // 4)
    early, late = (f"{part.mean():.0%}" for part in (share.iloc[:few], share.iloc[-few:]))
    after = f"{tokens[len(tokens) // 2] / 1e6:.2g} million tokens"
    return f"After {after} the earliest quarter of positions had {early} of its fall behind it, the latest {late}."


TEMPORAL = Temporal()
