"""The fields of a model of options: their names, whether they hold several values, what is allowed."""

from collections.abc import Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from basis.registry import Registry


def fields_of(model: type[BaseModel], section: str = "") -> dict[str, FieldInfo]:
    """Every field by its name; a field of a section is called `section.name`."""
    fields: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        inner = section_of(field)
        fields |= fields_of(inner, f"{section}{name}.") if inner is not None else {f"{section}{name}": field}
    return fields


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a field that is a section of its own."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def holds_several(field: FieldInfo) -> bool:
    """Whether a field's value is a list."""
    return any(get_origin(kind) in (tuple, list) for kind in [field.annotation, *get_args(field.annotation)])


def takes_none(field: FieldInfo) -> bool:
    """Whether the text `none` means None; it does not where it is one of the field's own values."""
    return type(None) in _leaves(field.annotation) and "none" not in _choices(field.annotation)


def is_number(field: FieldInfo) -> bool:
    """Whether a field's value is a number."""
    return bool({int, float} & set(_leaves(field.annotation)))


def split_values(value: object) -> list[Any]:
    """The values of a list, which may be given as a list, as a text with commas, or as one value."""
    parts = list(value) if isinstance(value, list | tuple) else [value]
    split = [part.split(",") if isinstance(part, str) and "," in part else [part] for part in parts]
    texts = [part.strip() if isinstance(part, str) else part for several in split for part in several]
    return [text for text in texts if text != ""] if len(texts) > 1 else texts


def allowed(field: FieldInfo) -> str:
    """The allowed values, if the type says so: `a | b`, `1 to 4096`, `at least 1`; else empty."""
    notes = [*field.metadata, *annotations(field.annotation)]
    words = _choices(field.annotation) or _registered(notes)
    bounds: dict[str, Any] = {}
    for note in notes:
        bounds |= {name: getattr(note, name) for name in ("gt", "ge", "lt", "le") if hasattr(note, name)}
    if words:
        return " | ".join(words)
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    low_text = "" if low is None else f"at least {low:,}" if "ge" in bounds else f"more than {low:,}"
    high_text = "" if high is None else f"at most {high:,}" if "le" in bounds else f"less than {high:,}"
    if "ge" in bounds and "le" in bounds:
        return f"{low:,} to {high:,}"
    return ", ".join(text for text in (low_text, high_text) if text)


def _choices(kind: Any) -> list[str]:
    """The words that a type allows, if it is a choice of words."""
    parts = [part for part in get_args(kind) if part is not type(None)]
    if parts and all(isinstance(part, str) for part in parts):
        return list(parts)
    found = [words for part in parts if not isinstance(part, str) and (words := _choices(part))]
    return found[0] if len(found) == 1 else []


def _registered(notes: Sequence[Any]) -> list[str]:
    """The names of a registry that checks a field, and how a user's own is named."""
    owners = [getattr(getattr(note, "func", None), "__self__", None) for note in notes]
    names = [name for owner in owners if isinstance(owner, Registry) for name in owner.names]
    return [*names, "your own as module:Name"] if names else []


def annotations(kind: Any) -> list[Any]:
    """The annotations of a type, at any depth."""
    found = [part for note in getattr(kind, "__metadata__", ()) for part in getattr(note, "metadata", [note])]
    return found + [note for inner in get_args(kind) for note in annotations(inner)]


def is_switch(field: FieldInfo) -> bool:
    """Whether a field's value is true or false."""
    return bool in _leaves(field.annotation)


def _leaves(kind: Any) -> list[Any]:
    inner = get_args(kind)
    return [leaf for part in inner for leaf in _leaves(part)] if inner else [kind]
