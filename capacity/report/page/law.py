"""The data of the page's first figure: means over seeds, and the best of them over N.

In: the rows of models as trained, in the order of the page's runs. Out: kinds of runs, and a point for each kind, size
and N, with the places of its runs.
"""

from typing import Any

import pandas as pd

from capacity.laws.capacity import best_over_people, over_seeds
from capacity.laws.groups import kinds, label, phrase
from capacity.report.page.columns import cell
from capacity.report.table import LAW
from capacity.store.options import deciding


def law(runs: pd.DataFrame) -> dict[str, Any]:
    """The figure's data; `points` are empty if nothing was measured that it shows.

    `kinds` have their options and a label; `options` are the options that differ. A point has its kind, exposures,
    size, P, N, y with the lowest and the highest seed, the places of its runs, and its state: "best" (of its size, with
    a smaller and a larger N tried), "edge" (the best, but at an end of the N tried), "only" (the only N tried), or
    "other".
    """
    known = bool(runs["bits_per_param"].notna().any())
    y = "bits_per_param" if known or "heldout_loss" not in runs else "heldout_loss"
    rows = runs.assign(place=range(len(runs)), bits_per_param=runs[y])
    rows = rows[rows["bits_per_param"].notna()]
    if rows.empty:
        return {"measure": "R", "options": [], "kinds": [], "points": [], "levels": []}
    kind = kinds(rows, deciding(rows))
    names = [name for name in kind if name != "exposures"]
    found = _points(rows, kind, [*kind, "size", "people"], best=known)
    several = list(dict.fromkeys(tuple(point["kind"].items()) for point in found))
    for point in found:
        point["kind"] = several.index(tuple(point["kind"].items()))
    return {
        "measure": "R" if known else "held-out loss",
        "options": names,
        "kinds": [{"label": _label(dict(values)), "values": _phrases(dict(values))} for values in several],
        "points": found,
        "levels": [{"exposures": number, "y": level} for number, level in LAW.items()] if known else [],
    }


def _points(rows: pd.DataFrame, kind: list[str], keys: list[str], *, best: bool) -> list[dict[str, Any]]:
    places = rows.groupby(keys, dropna=False, sort=False)["place"].agg(list)
    means = over_seeds(rows, kind)
    of_best = best_over_people(rows, kind) if best else means.iloc[:0].assign(bracketed=False)
    states = {_key(row, keys): bool(row["bracketed"]) for _, row in of_best.iterrows()}
    of_size = [*kind, "size"]
    tried = means.groupby(of_size, dropna=False)["people"].transform("nunique")
    exposures = rows.groupby(keys, dropna=False, sort=False)["exposures"].first()
    found = []
    for (_, row), Ns, of_runs, often in zip(means.iterrows(), tried, places, exposures, strict=True):
        state = states.get(_key(row, keys))
        found.append(
            {
                "kind": {name: _value(row[name]) for name in kind if name != "exposures"},
                **{
                    "exposures": cell(often),
                    "size": str(row["size"]),
                    "P": int(row["params"]),
                    "N": int(row["people"]),
                },
                **{"y": cell(row["R"]), "low": cell(row["low"]), "high": cell(row["high"])},
                "state": "other" if state is None else "only" if Ns == 1 else "best" if state else "edge",
                "runs": of_runs,
            }
        )
    return found


def _key(row: "pd.Series[Any]", names: list[str]) -> tuple[Any, ...]:
    return tuple(_value(row[name]) for name in names)


def _value(value: Any) -> Any:
    return None if pd.isna(value) else value


def _label(values: dict[str, Any]) -> str:
    return label(values) if values else "all runs"


def _phrases(values: dict[str, Any]) -> dict[str, str]:
    return {name: f"no {name}" if value is None else phrase(name, value) for name, value in values.items()}
