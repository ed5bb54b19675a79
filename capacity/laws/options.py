"""What a user's words mean to a law: its options, and the columns that it needs."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from capacity.laws.fit import Law

FLOPS = 6.0
"""Floating-point operations a parameter and a token (Kaplan et al. 2020, arXiv 2001.08361, section 2.1)."""


def with_options(name: str, law: Law, texts: Mapping[str, str]) -> Law:
    """A law with options, which are the fields of its dataclass.

    Raises:
        ValueError: there is no such option, or it does not allow the value.

    """
    if not texts:
        return law
    of: Any = law
    known: list[str] = [one.name for one in dataclasses.fields(of)] if dataclasses.is_dataclass(law) else []
    if unknown := [text for text in texts if text not in known]:
        must = f"must be {', '.join(known)}" if known else f"law {name} has none"
        raise ValueError(f"options: {unknown[0]} is not an option of law {name}; {must}")
    values = {one: getattr(law, one) for one in known} | dict(texts)
    try:
        changed: Law = TypeAdapter(type(law)).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        where, reason = first["loc"][0], first["msg"].removeprefix("Input should be ")
        raise ValueError(f"options: {where}={texts[str(where)]} is not allowed; must be {reason}") from None
    return changed


def with_columns(
    table: pd.DataFrame, renamed: Mapping[str, str], needs: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """A table under the law's names of columns, and a line about each column that follows from others.

    Of params, tokens and flops, one that is missing follows from C = 6·N·D.

    Raises:
        ValueError: a column is missing.

    """
    columns = list(map(str, table.columns))
    for name, column in renamed.items():
        if column not in columns:
            raise ValueError(f"{name}: {column} is not a column; the table has {', '.join(columns)}")
    found = table.assign(**{name: table[column] for name, column in renamed.items()})
    notes = []
    triple = ("params", "tokens", "flops")
    missing = [name for name in triple if name not in found]
    if len(missing) == 1 and missing[0] in needs:
        (name,) = missing
        given = {one: pd.to_numeric(found[one], errors="coerce") for one in triple if one != name}
        first, second = given
        if name == "flops":
            found[name], formula = FLOPS * given["params"] * given["tokens"], "6·params·tokens"
        else:
            found[name], formula = given[second] / (FLOPS * given[first]), f"{second}/(6·{first})"
        notes.append(f"{name}: {formula}, as the table has no such column")
    if lacks := [name for name in needs if name not in found]:
        raise ValueError(f"{lacks[0]}: is not a column; name it with {_flag(lacks[0])}. There are {', '.join(columns)}")
    return found, notes


def _flag(name: str) -> str:
    of_its_own = name in ("loss", "params", "tokens", "flops")
    return f"--{name} COLUMN" if of_its_own else f"--column {name}=COLUMN"
