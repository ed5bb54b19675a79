"""Safe YAML: aliases, tags, duplicate keys and deep nesting are refused."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from basis.text import short

MOST_YAML = 1 << 20
"""Bytes of a text in YAML, at most; libyaml reads them in a second or two."""
MOST_KEYS = 1000
"""Names in a mapping that is one option, at most."""
_MOST_DEEP = 100
"""Lists and mappings inside each other, at most: libyaml recurses in C."""
_MOST_DIGITS = 400
"""Characters of a number, at most: longer ones take quadratic time to read."""


_MOST_LINES = 50
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class UserError(Exception):
    """A mistake of the user's, as complete lines to print."""

    def __init__(self, lines: Sequence[str]) -> None:
        if len(lines) > _MOST_LINES:
            lines = [*lines[:_MOST_LINES], f"and {len(lines) - _MOST_LINES:,} more mistakes"]
        super().__init__("\n".join(lines))
        self.lines = list(lines)


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys of a YAML file. Raises UserError for a file that cannot be read or is no mapping."""
    try:
        with path.open("rb") as file:  # perhaps a pipe of the shell's
            content = parse_yaml(file.read(MOST_YAML + 1))
    except OSError as error:
        raise UserError([f"config: {path} cannot be read ({error.strerror}); give the path of a preset"]) from None
    except ValueError as error:
        raise UserError([f"config: {path} is not YAML ({error})"]) from None
    if content is None:
        raise UserError([f"config: {path} is empty; allowed is a mapping of keys to values"])
    if not isinstance(content, dict):
        raise UserError([f"config: {path} holds {type(content).__name__}; allowed is a mapping of keys to values"])
    return {str(key): value for key, value in content.items()}


def parse_yaml(text: str | bytes) -> Any:
    """The value of a text in YAML. Raises ValueError for any other text, with the reason in a line."""
    try:
        if len(text) > MOST_YAML:
            raise ValueError(f"it is larger than {MOST_YAML:,} bytes")
        _check_events(text)
        return yaml.load(text, _PlainLoader)
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        # PyYAML has an exception of its own for mistakes of form only, not for an impossible date, number or tag.
        raise ValueError(short(" ".join(str(error).split()), 300) or type(error).__name__) from None


def read_mapping(value: object) -> object:
    """A mapping from a text, such as `depth=3 gated=true` or `{depth: 3}`; anything else as it is.

    Raises ValueError for a text that is neither, and for a mapping of more than `MOST_KEYS` names.
    """
    if not isinstance(value, str):
        return _check_count(value)
    pairs = [pair.partition("=") for pair in value.split()]
    if all(name and sign for name, sign, _ in pairs):
        _check_count(pairs)
        return {name: read_value(given) for name, _, given in pairs}
    try:
        mapping = parse_yaml(value)
    except ValueError:
        mapping = None
    if not isinstance(mapping, dict):
        raise ValueError("must be pairs such as name=value, or a mapping such as {name: value}")
    return _check_count(mapping)


def _check_count(value: object) -> object:
    """The value. Raises ValueError for a mapping, or its pairs, of too many names."""
    if isinstance(value, dict | list) and len(value) > MOST_KEYS:
        raise ValueError(f"must have at most {MOST_KEYS:,} names, not {len(value):,}")
    return value


def read_value(text: str) -> Any:
    """A value from a text: a number, a truth value, a list, ...; else the text itself."""
    try:
        return parse_yaml(text) if text else ""
    except ValueError:  # such as a date that cannot be
        return text


def _check_events(text: str | bytes) -> None:
    """Raises yaml.YAMLError for aliases (a few lines of them can expand to gigabytes) and for deep nesting."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MOST_DEEP:
            raise yaml.YAMLError("it is nested too deeply")


class _PlainLoader(_Loader):
    """YAML without duplicate keys and without endless numbers."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            counts = Counter(str(key.value) for key, _ in node.value)
            twice = next((name for name, count in counts.items() if count > 1), "a key")
            raise yaml.YAMLError(f"{twice} is given twice")
        return mapping

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        if node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float") and len(node.value) > _MOST_DIGITS:
            raise yaml.YAMLError(f"a number has {len(node.value):,} characters; allowed are {_MOST_DIGITS}")
        return super().construct_scalar(node)
