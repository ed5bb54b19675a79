"""A prediction: small runs say what a large one will reach, and that is written down before the large one starts.

`results/predictions/laptop.yaml` has the prediction; its commit is older than the large run. Without it the experiment
runs the grid alone, and says what to write there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import yaml
from pydantic import BeforeValidator, Field, ValidationError

from basis.flags import UserError, explain, read_yaml
from biogen.config import Frozen
from capacity.experiments.comparison import matching
from capacity.experiments.experiment import Finding, Scale, Status, Verdict, sweeps_of
from capacity.experiments.grid import BUDGETS, CHINCHILLA, frontier_rows
from capacity.laws.chinchilla import chinchilla_3, frontier
from capacity.laws.fit import Fit
from capacity.laws.power import Power
from capacity.laws.ratios import LEAST_SEEDS

FOLDER = Path(__file__).parents[2] / "results" / "predictions"
"""Predictions, in a checkout."""
SHARE = 30.0
"""The large run has at least so many times the compute of any run that is fitted."""
_LARGE = {"laptop": 1.25e14, "gpu": 1.25e17}
"""FLOPs of the large run."""
_NARROW = 0.5
"""A prediction is sharp if its interval reaches at most this share of the predicted fall to either side."""
_Word = Annotated[str, BeforeValidator(str)]
"""A text, which YAML may read as a day or a number."""


class Prediction(Frozen):
    """What was predicted, before the large run started."""

    made: _Word
    """The day."""
    commit: _Word
    """The commit whose results were fitted."""
    size: str
    tokens: int = Field(ge=1)
    flops: float = Field(gt=0)
    """Of the large run."""
    fitted_flops: float = Field(gt=0)
    """The largest budget that was fitted."""
    runs: int = Field(ge=1)
    """Runs that were fitted."""
    last_loss: float = Field(gt=0)
    """The best loss at that budget, nats a token."""
    loss: float = Field(gt=0)
    """The predicted held-out loss, nats a token."""
    low: float
    high: float
    """Ends of the 95 % interval of one run."""


@dataclass(frozen=True)
class Predict:
    """The law a·C^b + c of the best loss of each budget, at a budget thirty times as large."""

    title: str = "a prediction"
    question: str = "Do runs of at most a thirtieth of the compute predict the loss of a large run?"
    source: str = (
        "The GPT-4 report (arXiv 2303.08774, section 3.1) fits a·C^b + c to runs of 1/10,000 of the compute at most. "
        "It predicts the final loss before the large run ended."
    )
    published: tuple[str, ...] = ("scaling",)
    figures: tuple[str, ...] = ()

    def sweeps(self, scale: Scale) -> Sequence[Mapping[str, Any]]:
        """Options of the sweeps; the large run's only if it was predicted. Raises ValueError for another scale."""
        found = list(CHINCHILLA.sweeps(scale))
        if (said := prediction(scale)) is not None:
            found += sweeps_of(((scale, "reproduce/grid", {"sizes": said.size, "tokens": said.tokens}),), scale)
        return found

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The runs of the grid, and the large ones."""
        grid = CHINCHILLA.select(frame)
        said = prediction(_scale(grid))
        if said is None or grid.empty:
            return grid
        alike = [name for name in ("zipf", "population", "recipe", "schedule", "quantization") if name in frame]
        first = grid.iloc[0]
        large = _measured(frame.dropna(subset=["heldout_loss"]), said)
        return pd.concat([grid, matching(large, {name: first[name] for name in alike})])

    def table(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The best size of each budget, what the law says of it, and the large run."""
        fit, small = _fit(frame), frontier_rows(_small(frame))
        rows = [("fitted", *one) for one in small.groupby("flops")]
        said = prediction(_scale(frame))
        rows += [("predicted", *one) for one in _measured(frame, said).groupby("flops")] if said else []
        lines = []
        for kind, flops, runs in rows:
            of_law = fit.predict({"flops": np.array([float(str(flops))])}).value[0] if fit else np.nan
            lines.append(
                {"FLOPs": f"{float(str(flops)):.2g}", "size": runs["size"].iloc[0], "": kind}
                | {"loss": f"{runs['heldout_loss'].mean():.4f}", "by the law": f"{of_law:.4f}"}
                | {"seeds": str(runs["seed"].nunique())}
            )
        return pd.DataFrame(lines)

    def verdict(self, frame: pd.DataFrame) -> Verdict:
        """Whether the large run came out as predicted."""
        said = prediction(_scale(frame))
        if said is None:
            return Verdict("not enough runs", _to_write(frame), [_finding("", "not enough runs")])
        runs = _measured(frame, said)
        told = f"predicted {said.loss:.4f} ({said.low:.4f} to {said.high:.4f}) on {said.made}, of {said.runs} runs"
        if runs.empty:
            return Verdict("not enough runs", [f"The large run: {told}."], [_finding("", "not enough runs")])
        found = float(runs["heldout_loss"].mean())
        inside = said.low <= found <= said.high and said.flops >= SHARE * said.fitted_flops
        narrow = max(said.high - said.loss, said.loss - said.low) <= _NARROW * (said.last_loss - said.loss)
        status: Status = "reproduced" if inside and narrow else "reproduced in part" if inside else "not reproduced"
        status = status if runs["seed"].nunique() >= LEAST_SEEDS else "not enough runs"
        times = f"{said.flops / said.fitted_flops:.0f} times the compute of any fitted run"
        evidence = [f"The large run has {times}, which reached {said.last_loss:.4f}."]
        evidence.append(f"The prediction is of commit {said.commit}; git log says when it was written down.")
        return Verdict(status, evidence, [_finding(f"{found:.4f}, {told}", status)])

    def fitted(self, frame: pd.DataFrame) -> Sequence[tuple[str, Fit]]:
        """The law."""
        fit = _fit(frame)
        return [("", fit)] if fit else []

    def held_out(self, frame: pd.DataFrame) -> Sequence[Mapping[str, float]]:
        """The large runs."""
        said = prediction(_scale(frame))
        rows = _measured(frame, said) if said else frame.iloc[:0]
        return [{"flops": float(C), "loss": float(L)} for C, L in zip(rows["flops"], rows["heldout_loss"], strict=True)]


def _finding(here: str, status: Status) -> Finding:
    return Finding("loss of the large run", "predicted well", here, status)


@cache
def prediction(scale: Scale) -> Prediction | None:
    """The prediction of a scale; None if there is none."""
    path = FOLDER / f"{scale}.yaml"
    if not path.is_file():
        return None
    try:
        return Prediction.model_validate(read_yaml(path))
    except ValidationError as error:
        raise UserError([f"{path}: {line}" for line in explain(error, Prediction)]) from None


def _small(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs that may be fitted."""
    return frame[frame["flops"] <= 1.01 * _LARGE[_scale(frame)] / SHARE]


def _scale(frame: pd.DataFrame) -> Scale:
    """The scale of runs, from their compute."""
    return "gpu" if len(frame) and frame["flops"].median() > BUDGETS[-1] else "laptop"


def _measured(frame: pd.DataFrame, said: Prediction) -> pd.DataFrame:
    """The large runs."""
    return frame[(frame["size"] == said.size) & (frame["tokens"] == said.tokens)]


def _fit(frame: pd.DataFrame) -> Fit | None:
    """The law of the best size of each budget; None where there are too few budgets."""
    rows = frontier_rows(_small(frame)) if len(frame) else frame
    try:
        return Power("flops").fit(rows[["flops"]].astype(float).assign(loss=rows["heldout_loss"]))
    except (ValueError, KeyError):
        return None


def _to_write(frame: pd.DataFrame) -> list[str]:
    """The prediction as the lines of its file, from runs that are there."""
    fit, small, scale = _fit(frame), _small(frame) if len(frame) else frame, _scale(frame)
    if fit is None or small["flops"].max() < 0.5 * _LARGE[scale] / SHARE:
        return ["The grid lacks budgets."]
    surface = chinchilla_3.fit(small[["params", "tokens"]].astype(float).assign(loss=small["heldout_loss"]), draws=0)
    best, _ = frontier(surface.parameters, np.array([_LARGE[scale]]))
    params = small.groupby("size")["params"].first()
    size = str((np.log(params / float(best[0]))).abs().idxmin())
    flops_a_token = float((small["flops"] / small["tokens"])[small["size"] == size].iloc[0])
    tokens = round(_LARGE[scale] / flops_a_token)
    found = fit.predict({"flops": np.array([tokens * flops_a_token])})
    top = frontier_rows(small)
    content = {
        **{"made": "DAY", "commit": "COMMIT", "size": size, "tokens": tokens, "flops": tokens * flops_a_token},
        **{"fitted_flops": float(small["flops"].max()), "runs": len(small)},
        **{"last_loss": round(float(top[top["flops"] == top["flops"].max()]["heldout_loss"].mean()), 5)},
        **{"loss": round(float(found.value[0]), 5)},
        **{"low": round(float(found.run_low[0]), 5), "high": round(float(found.run_high[0]), 5)},
    }
    told = yaml.safe_dump(content, default_flow_style=True, sort_keys=False, width=1000).strip()
    return [f"Write `{told}` to results/predictions/{scale}.yaml, commit it, and run the command again."]


PREDICT = Predict()
