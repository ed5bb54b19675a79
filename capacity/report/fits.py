"""A fit as text, and as JSON.

In: `Fit`s. Out: lines for a terminal, or what `json.dumps` takes.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from capacity.laws.fit import LEVEL, Fit, Prediction

RUNS = "runs"
"""The title of a fit's table that has its rows, which figures show."""
_BEYOND = 3
"""Powers of ten beyond the fitted budgets that a frontier goes on."""


def text_of(fit: Fit) -> str:
    """What a fit says, a line each: parameters with intervals, how they were made, status, objective, tables."""
    lines = [f"{fit.law}: {fit.formula}", f"{len(fit.residuals):,} points", ""]
    width = max(map(len, fit.parameters))
    for name, value in fit.parameters.items():
        interval = fit.intervals.get(name)
        ends = f"  {number(interval.low)} to {number(interval.high)}" if interval else ""
        lines.append(f"  {name:{width}}  {number(value):>10}{ends}")
    lines.append("")
    if fit.method:
        lines.append(f"intervals  {LEVEL:.0%}; {fit.method}")
    lines += [f"status     {'; '.join(fit.status)}", f"objective  {fit.objective:.7g}, {fit.measure}"]
    for title, table in tables_of(fit).items():
        lines += ["", f"{title}:", _aligned(table)]
    return "\n".join(lines)


def text_of_prediction(fit: Fit, where: Mapping[str, float]) -> str:
    """One predicted point: its value, both intervals, what was measured, and what is doubtful. Raises ValueError."""
    said = predicted(fit, where)
    at = ", ".join(f"{name} {number(where[name])}" for name in fit.ranges)
    line = f"at {at}: {fit.target} {number(said.value[0])}"
    if fit.spread is not None:
        law, run = (f"{number(low[0])} to {number(high[0])}" for low, high in _ends(said))
        line += f"; the law {law}, one run {run}"
    if fit.target in where:
        line += f"; measured {number(where[fit.target])}"
    return f"{line} ({'; '.join(_doubts(fit, where))})"


def predicted(fit: Fit, where: Mapping[str, float]) -> Prediction:
    """The prediction of one point. Raises ValueError for a column that the law does not have."""
    known = [*fit.ranges, fit.target]
    if unknown := [name for name in where if name not in known]:
        raise ValueError(f"at: {unknown[0]} is not allowed; law {fit.law} has {', '.join(known)}")
    try:
        return fit.predict({name: np.array([value]) for name, value in where.items()})
    except ValueError as error:
        raise ValueError(f"at: {error}") from None


def _doubts(fit: Fit, where: Mapping[str, float]) -> tuple[str, ...]:
    return fit.at({name: np.array([where[name]]) for name in fit.ranges})


def json_of(fit: Fit) -> dict[str, Any]:
    """Everything of a fit but its runs; numbers that are not finite become null."""
    return {
        "law": fit.law,
        "formula": fit.formula,
        "points": len(fit.residuals),
        "parameters": {name: finite(value) for name, value in fit.parameters.items()},
        "intervals": {name: [finite(one.low), finite(one.high)] for name, one in fit.intervals.items()},
        "level": LEVEL,
        "method": fit.method,
        "status": list(fit.status),
        "objective": finite(fit.objective),
        "measure": fit.measure,
        "residuals": [finite(value) for value in fit.residuals.tolist()],
        "tables": {
            title: [{str(name): finite(cell) for name, cell in row.items()} for row in table.to_dict("records")]
            for title, table in tables_of(fit).items()
        },
    }


def json_of_prediction(fit: Fit, where: Mapping[str, float]) -> dict[str, Any]:
    """One predicted point. Raises ValueError."""
    said = predicted(fit, where)
    law, run = ([finite(low[0]), finite(high[0])] for low, high in _ends(said))
    status = list(_doubts(fit, where))
    value, times = finite(said.value[0]), finite(said.times[0])
    return {"at": dict(where), fit.target: value, "law": law, "run": run, "times_beyond": times, "status": status}


def tables_of(fit: Fit) -> dict[str, pd.DataFrame]:
    """The tables of a fit but its runs, with a frontier wherever the law says what is best for a budget."""
    tables = {title: table for title, table in fit.tables.items() if title != RUNS}
    if fit.target == "params" and list(fit.ranges) == ["flops"]:
        tables["frontier"] = _frontier(fit)
    return tables


def number(value: float) -> str:
    """Four digits, in powers of ten where the number is long."""
    return f"{value:.4g}"


def finite(value: Any) -> Any:
    """A number as JSON has it."""
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def _frontier(fit: Fit) -> pd.DataFrame:
    """The best size for powers of ten of FLOPs, with its interval, and tokens by C = 6·N·D."""
    low, high = fit.ranges["flops"]
    C = 10.0 ** np.arange(math.floor(math.log10(low)), math.ceil(math.log10(high)) + _BEYOND)
    said = fit.predict({"flops": C})
    table = {"flops": C, "params": said.value, "low": said.low, "high": said.high, "tokens": C / (6 * said.value)}
    return pd.DataFrame(table).dropna(axis=1)


def _ends(said: Prediction) -> Sequence[tuple[np.ndarray, np.ndarray]]:
    return (said.low, said.high), (said.run_low, said.run_high)


def _aligned(table: pd.DataFrame) -> str:
    return table.to_string(index=False, float_format=number, justify="right")
