"""Mistakes in options, one line each: the field, the value, what is allowed."""

import difflib
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from basis.fields import annotations, fields_of
from basis.text import short, shown

MOST_LINES = 20
"""Mistakes of one kind that are explained; more would be read by nobody, and take long."""
_TYPES = {
    "int_.*": "must be a whole number",
    "float_.*": "must be a number",
    "bool_.*": "must be true or false",
    "string_(type|unicode)": "must be a text",
    "path_type": "must be a path",
    "(dict|model)(_attributes)?_type": "must be a mapping of keys to values",
}
"""What is allowed, by pydantic's name of a mistake."""


def explain(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One line for each mistake: the field, the value, what is allowed."""
    lines = []
    mistakes = error.errors(include_url=False)
    sections = {"", *(name.rpartition(".")[0] for name in fields_of(model))}
    for mistake in mistakes[:MOST_LINES]:
        where = ".".join(str(part) for part in mistake["loc"] if not isinstance(part, int))
        message = mistake["msg"].removeprefix("Value error, ")
        if mistake["type"] == "extra_forbidden":
            near, where = _nearest(short(where, 60), model), short(where, 60)
            hint = f"give it inside {near.rpartition('.')[0]}" if near == where else f"did you mean {near}?"
            lines.append(f"{where}: is not a key; " + (hint if near else "see --help for all"))
        elif mistake["type"] == "missing" and isinstance(mistake["loc"][-1], int):
            places = [other["loc"][-1] for other in mistakes if other["loc"][:-1] == mistake["loc"][:-1]]
            needed = 1 + max(place for place in places if isinstance(place, int))
            lines.append(f"{where}: {shown(mistake['input'])} is not allowed; must be {needed} values")
        elif mistake["type"] == "missing":
            lines.append(f"{where}: is required")
        elif mistake["type"] == "value_error" and where in sections:
            found = message.splitlines()  # a check of several fields names them itself
            lines += [f"{where}.{line}" if where else line for line in found]
        else:
            bounds = _bounds(where, model) if mistake["type"].startswith(("greater_than", "less_than")) else ""
            message = bounds or _in_words(mistake) or message.replace("Input should be", "must be")
            lines.append(f"{where}: {shown(mistake['input'])} is not allowed; {short(message)}")
    return list(dict.fromkeys(lines)) + more(len(mistakes))


def _in_words(mistake: Mapping[str, Any]) -> str:
    """What is allowed, for a value of another type than the field's; else empty."""
    context = mistake.get("ctx", {})
    if mistake["type"] in ("too_short", "too_long"):
        count = context.get("max_length", context.get("min_length"))
        return f"must be {'at least' if mistake['type'] == 'too_short' else 'at most'} {count} value{'s'[: count != 1]}"
    return next((words for kind, words in _TYPES.items() if re.fullmatch(kind, mistake["type"])), "")


def _bounds(where: str, model: type[BaseModel]) -> str:
    """Both bounds of a number that has two, as pydantic names only one; else empty."""
    field = fields_of(model).get(where)
    words = {"gt": "greater than", "ge": "greater than or equal to", "lt": "less than", "le": "less than or equal to"}
    notes = [*field.metadata, *annotations(field.annotation)] if field else []
    parts = [f"{text} {getattr(note, name)}" for note in notes for name, text in words.items() if hasattr(note, name)]
    return f"must be {' and '.join(parts)}" if len(parts) > 1 else ""


def _nearest(where: str, model: type[BaseModel]) -> str | None:
    """The key of the same section that is spelled most like an unknown key, if any."""
    keys = list(fields_of(model))
    keys += {section for key in keys if (section := key.rpartition(".")[0])}
    section, _, name = where.rpartition(".")
    siblings = {key.rpartition(".")[2]: key for key in keys if not section or key.rpartition(".")[0] == section}
    near = difflib.get_close_matches(name, siblings, n=1)
    return siblings[near[0]] if near else None


def more(mistakes: int) -> list[str]:
    """A line that says how many mistakes are not explained, if any."""
    return [f"and {mistakes - MOST_LINES:,} more mistakes"] if mistakes > MOST_LINES else []
