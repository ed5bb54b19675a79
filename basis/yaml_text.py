"""Safe YAML: aliases, tags and duplicate keys are refused."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

_MOST_YAML = 1 << 20
"""Bytes of a preset, at most."""


class UserError(Exception):
    """A mistake of the user's, as complete lines to print."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = list(lines)


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys of a YAML file. Raises UserError for a file that cannot be read or is no mapping."""
    try:
        with path.open("rb") as file:
            written = file.read(_MOST_YAML + 1)
        if len(written) > _MOST_YAML:
            raise UserError([f"config: {path} is too large; allowed are {_MOST_YAML:,} bytes"])
        content = yaml.load(written, _PlainLoader)
    except OSError as error:
        raise UserError([f"config: {path} cannot be read ({error.strerror}); give the path of a preset"]) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # such as an impossible date or number
        problem = short(" ".join(str(error).split()), 300)
        raise UserError([f"config: {path} is not YAML ({problem})"]) from None
    if content is None:
        raise UserError([f"config: {path} is empty; allowed is a mapping of keys to values"])
    if not isinstance(content, dict):
        raise UserError([f"config: {path} holds {type(content).__name__}; allowed is a mapping of keys to values"])
    return {str(key): value for key, value in content.items()}


def read_mapping(value: object) -> object:
    """A mapping from a text, such as `depth=3 gated=true` or `{depth: 3}`; anything else as it is.

    Raises ValueError for a text that is neither.
    """
    if not isinstance(value, str):
        return value
    pairs = [pair.partition("=") for pair in value.split()]
    if all(name and sign for name, sign, _ in pairs):
        return {name: read_value(given) for name, _, given in pairs}
    try:
        mapping = yaml.load(value, _PlainLoader)
    except yaml.YAMLError:
        mapping = None
    if not isinstance(mapping, dict):
        raise ValueError("must be pairs such as name=value, or a mapping such as {name: value}")
    return mapping


def read_value(text: str) -> Any:
    """A value from a text: a number, a truth value, a list, ...; else the text itself."""
    try:
        return yaml.load(text, _PlainLoader) if text else ""
    except (yaml.YAMLError, ValueError):  # such as a date that cannot be
        return text


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases (a few lines of them can expand to gigabytes) and without duplicate keys."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            counts = Counter(str(key.value) for key, _ in node.value)
            twice = next((name for name, count in counts.items() if count > 1), "a key")
            raise yaml.YAMLError(f"{twice} is given twice")
        return mapping


def short(text: str, length: int = 200) -> str:
    """A text cut to `length` characters, for a message."""
    return text if len(text) <= length else text[:length] + " ..."
