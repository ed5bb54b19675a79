"""The question of a page and its answer, computed from the runs, in a sentence or a few.

In: the rows of models as trained. Out: plain text.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from capacity.laws.capacity import best_over_people
from capacity.laws.groups import kinds, label
from capacity.store.options import deciding

QUESTION = "How many bits of knowledge does a model store per parameter?"
QUESTION_OF_TEXT = "How well does a model predict text that it never saw?"
_MOST = 3
"""Kinds of runs that have a sentence of their own; of more, the best and the worst are named."""


def question_and_answer(runs: pd.DataFrame) -> tuple[str, str]:
    """The question that the runs answer, and the answer."""
    if runs["bits_per_param"].notna().any():
        return QUESTION, _answer(runs[runs["bits_per_param"].notna()])
    if "heldout_loss" in runs and runs["heldout_loss"].notna().any():
        losses = runs["heldout_loss"]
        ends = _ends(losses.min(), losses.max(), 3)
        return QUESTION_OF_TEXT, f"Held-out text costs {ends} nats a token ({_models(runs)})."
    return QUESTION, "Nothing is known of it yet: no run has measured what its model stores."


def _answer(runs: pd.DataFrame) -> str:
    kind = kinds(runs, deciding(runs))
    best = best_over_people(runs, kind)
    several = len(best[kind].drop_duplicates()) if kind else 1
    sentences = _few_kinds(best, kind) if several <= _MOST else _many_kinds(best, kind)
    return " ".join([*sentences, *_doubts(best)])


def _doubts(best: pd.DataFrame) -> list[str]:
    """What is a lower bound only, as the best N is at an end of those tried, and where one N alone was tried."""
    found = {
        "lower bounds, with the best N at an end of those tried": ~best["bracketed"] & (best["tried"] > 1),
        "sizes of which one N was tried": best["tried"] == 1,
    }
    counts = {what: int(rows.sum()) for what, rows in found.items()}
    return [
        f"{'All' if count == len(best) else f'{count} of {len(best)}'} are {what}."
        for what, count in counts.items()
        if count
    ]


def _few_kinds(best: pd.DataFrame, kind: Sequence[str]) -> list[str]:
    if not kind:
        return [_sentence(best, "")]
    return [
        _sentence(rows, label(dict(zip(kind, values, strict=True))))
        for values, rows in best.groupby(list(kind), sort=False, dropna=False)
    ]


def _many_kinds(best: pd.DataFrame, kind: Sequence[str]) -> list[str]:
    """The range for each number of exposures, and the best and the worst kind of all."""
    names = [name for name in kind if name != "exposures"]
    groups: list[tuple[Any, pd.DataFrame]] = (
        sorted(best.groupby("exposures"), reverse=True) if "exposures" in kind else [(None, best)]
    )
    sentences = []
    for exposures, rows in groups[:_MOST]:
        high, low = (rows.iloc[place] for place in (rows["R"].argmax(), rows["R"].argmin()))
        when = "" if exposures is None else f"after {label({'exposures': exposures})}, "
        telling = [name for name in names if not _same(high[name], low[name])][:_MOST]
        most, least = (label({name: row[name] for name in telling}) if telling else "" for row in (high, low))
        text = f"{when}{_models(rows)} {_store(rows)} {_ends(low['R'], high['R'])} bits per parameter"
        if telling:
            text += f": most with {most} ({high['size']}), least with {least} ({low['size']})"
        sentences.append(f"{text[:1].upper()}{text[1:]}.")
    return sentences


def _sentence(rows: pd.DataFrame, name: str) -> str:
    about = f" ({name})" if name else ""
    ends = _ends(rows["R"].min(), rows["R"].max())
    return f"{_capital(_models(rows))} {_store(rows)} {ends} bits per parameter{about}."


def _models(rows: pd.DataFrame) -> str:
    low, high = int(rows["params"].min()), int(rows["params"].max())
    return f"a model of {low:,} parameters" if low == high else f"models of {low:,} to {high:,} parameters"


def _store(rows: pd.DataFrame) -> str:
    return "stores" if rows["params"].nunique() == 1 else "store"


def _same(left: Any, right: Any) -> bool:
    return bool(left == right) or (pd.isna(left) and pd.isna(right))


def _ends(low: Any, high: Any, digits: int = 2) -> str:
    texts = list(dict.fromkeys(f"{value:.{digits}f}" for value in (low, high)))
    return " to ".join(texts)


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
