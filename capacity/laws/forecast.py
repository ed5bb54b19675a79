"""The loss at each position, forecast from the first checkpoints of a training by several rivals.

In: a table with the columns tokens, position, loss and, if the schedule shall count, lr: a row for each checkpoint and
position. Out: the same rows with what each rival says about them, and the rivals' errors at checkpoints that they did
not see.
"""

import math

import numpy as np
import pandas as pd

from capacity.laws.position import PositionOverTime
from capacity.laws.schedule import MultiPower

FIRST = 1 / 3
"""The share of checkpoints that are fitted."""
RIVALS = {
    "hyperbolic": "hyperbolic in position",
    "power": "power law in position",
    "last": "last value",
    "multi_power": "multi-power law at each position",
}
"""Columns of forecasts, with their names in words."""


def forecast(table: pd.DataFrame, first: float = FIRST) -> pd.DataFrame:
    """What each rival says at every row, fitted to the first checkpoints alone.

    Columns: tokens, position, loss, `fitted` (whether the row was seen), and one for each of `RIVALS`, multi_power
    only with lr. Where that law cannot be fitted, as while the rate has not changed, its column is empty. Rows are
    sorted by position and tokens.

    Args:
        table: a row for each checkpoint and position.
        first: the share of checkpoints that are fitted, rounded up.

    Raises:
        ValueError: too few checkpoints or positions, or not all positions at all checkpoints.

    """
    rows = table.sort_values(["position", "tokens"], kind="stable", ignore_index=True)
    checkpoints = np.unique(rows["tokens"])
    if len(rows) != len(checkpoints) * rows["position"].nunique() or rows.duplicated(["position", "tokens"]).any():
        raise ValueError("position: must have one row at each of the tokens, as the forecast compares checkpoints")
    seen = math.ceil(first * len(checkpoints))
    if seen == len(checkpoints):
        raise ValueError(f"tokens: {seen} different values are not enough; must be more, as some are left to predict")
    rows["fitted"] = rows["tokens"] <= checkpoints[seen - 1]
    known = rows[rows["fitted"]]
    where = {name: rows[name].to_numpy(float) for name in ("tokens", "position")}
    for form in ("hyperbolic", "power"):
        law = PositionOverTime(form)
        rows[form] = law.curve(law.fit(known, draws=0).parameters, where)
    last = known[known["tokens"] == checkpoints[seen - 1]].set_index("position")["loss"]
    rows["last"] = rows["position"].map(last)
    if "lr" in rows:
        rows["multi_power"] = _multi_power(rows)
    return rows


def errors(rows: pd.DataFrame) -> pd.DataFrame:
    """How far each rival's forecast is from the rows that it did not see.

    A row a rival, the best first: `rival`, `mean` and `largest` absolute error in nats, and `bias`, the mean of
    forecast minus measured. Rivals without a forecast are left out.
    """
    unseen = rows[~rows["fitted"]]
    found = []
    for name in (name for name in RIVALS if name in rows and unseen[name].notna().all()):
        error = unseen[name] - unseen["loss"]
        size = error.abs()
        found.append({"rival": name, "mean": size.mean(), "largest": size.max(), "bias": error.mean()})
    return pd.DataFrame(found).sort_values("mean", kind="stable", ignore_index=True)


def _multi_power(rows: pd.DataFrame) -> np.ndarray:
    """The multi-power law of each position by itself, with tokens for steps; empty where it cannot be fitted.

    It sees the learning rate at checkpoints alone, and takes it to be linear in between.
    """
    law, found = MultiPower(), []
    for _, at in rows.groupby("position", sort=True):
        path = pd.DataFrame({"step": at["tokens"], "lr": at["lr"], "loss": at["loss"]})
        try:
            fit = law.fit(path[at["fitted"]])
        except ValueError:
            found.append(np.full(len(at), np.nan))
            continue
        found.append(law.curve(fit.parameters, {name: path[name].to_numpy(float) for name in ("step", "lr")}))
    return np.concatenate(found)
