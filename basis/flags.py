"""Command lines from configurations: every field of a pydantic model is a flag, over an optional YAML file.

In: a model class and the arguments. Out: a model; or, for mistakes, one line each on standard error (all of them
at once) and exit code 2. Later wins: the model's defaults, then the file of `--config`, then flags.
"""

import dataclasses
import difflib
import signal
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, get_args, get_origin

import tyro
import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

Config = TypeVar("Config", bound=BaseModel)


_MOST_YAML = 1 << 20
"""Bytes of a preset, at most."""


class UserError(Exception):
    """What a user got wrong, in whole lines."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = list(lines)


def parse(
    model: type[Config],
    arguments: Sequence[str] | None,
    *,
    program: str,
    description: str,
    keys_of_file: Callable[[dict[str, Any]], dict[str, Any]] = dict,
    default_file: Path | None = None,
    find_file: Callable[[str], Path] = Path,
) -> Config:
    """Read a configuration from the command line; see the module's docstring.

    keys_of_file: takes from the file's keys those of this model. default_file: read where `--config` is not given.
    find_file: the file that a value of `--config` names; may raise UserError.
    Raises UserError.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    lines, arguments = _without_values(model, arguments)
    flags: Any = _flags(model, with_file=True)
    parsed: Any
    unknown: list[str]
    parsed, unknown = tyro.cli(
        flags,
        args=arguments,
        prog=program,
        description=description,
        return_unknown_args=True,
    )
    lines += _unknown_lines(model, unknown)
    values: dict[str, Any] = {}
    try:
        if (file := find_file(parsed.config) if parsed.config else default_file) is not None:
            values = keys_of_file(read_yaml(file))
    except UserError as error:
        lines += error.lines
    _overlay(values, parsed, model, arguments)
    try:
        return _checked(model, values, lines)
    except ValidationError as error:
        raise UserError(lines + explain(error, model)) from None


def _checked(model: type[Config], values: dict[str, Any], lines: list[str]) -> Config:
    config = model.model_validate(values)
    if lines:
        raise UserError(lines)
    return config


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases, a few lines of which stand for gigabytes, and without keys that are given twice."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            keys = [key.value for key, _ in node.value]
            twice = next((key for key in keys if keys.count(key) > 1), "a key")
            raise yaml.YAMLError(f"{twice} is given twice")
        return mapping


def _short(text: str, length: int = 200) -> str:
    return text if len(text) <= length else text[:length] + " ..."


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
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # such as a date or a number that cannot be
        problem = _short(" ".join(str(error).split()), 300)
        raise UserError([f"config: {path} is not YAML ({problem})"]) from None
    if content is None:
        raise UserError([f"config: {path} is empty; allowed is a mapping of keys to values"])
    if not isinstance(content, dict):
        raise UserError([f"config: {path} holds {type(content).__name__}; allowed is a mapping of keys to values"])
    return {str(key): value for key, value in content.items()}


def explain(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One line for each mistake: the field, the value, what is allowed."""
    lines = []
    mistakes = error.errors(include_url=False)
    for mistake in mistakes:
        where = ".".join(str(part) for part in mistake["loc"] if not isinstance(part, int))
        message = mistake["msg"].removeprefix("Value error, ")
        if mistake["type"] == "extra_forbidden":
            near = _nearest(where, model)
            lines.append(f"{where}: is not a key; " + (f"did you mean {near}?" if near else "see --help for all"))
        elif mistake["type"] == "missing" and isinstance(mistake["loc"][-1], int):
            alike = [other["loc"][-1] for other in mistakes if other["loc"][:-1] == mistake["loc"][:-1]]
            needed = 1 + max(place for place in alike if isinstance(place, int))
            lines.append(f"{where}: {_short(repr(mistake['input']))} is not allowed; must be {needed} values")
        elif mistake["type"] == "missing":
            lines.append(f"{where}: is required")
        elif mistake["type"] == "value_error" and isinstance(mistake["input"], dict | BaseModel):
            found = message.splitlines()  # checks of several fields, which they name
            lines += [f"{where}.{line}" if where else line for line in found]
        else:
            bounds = _bounds(where, model) if mistake["type"].startswith(("greater_than", "less_than")) else ""
            message = bounds or message.replace("Input should be", "must be")
            lines.append(f"{where}: {_short(repr(mistake['input']))} is not allowed; {_short(message)}")
    return list(dict.fromkeys(lines))


def _bounds(where: str, model: type[BaseModel]) -> str:
    """What a number may be where it has a smallest and a largest value, of which pydantic names one; else nothing."""
    field = _fields(model).get("--" + where.replace("_", "-"))
    words = {"gt": "greater than", "ge": "greater than or equal to", "lt": "less than", "le": "less than or equal to"}
    notes = [*field.metadata, *_annotations(field.annotation)] if field else []
    parts = [f"{text} {getattr(note, name)}" for note in notes for name, text in words.items() if hasattr(note, name)]
    return f"must be {' and '.join(parts)}" if len(parts) > 1 else ""


def _annotations(kind: Any) -> list[Any]:
    """What a type is annotated with, at any depth."""
    found = [part for note in getattr(kind, "__metadata__", ()) for part in getattr(note, "metadata", [note])]
    return found + [note for inner in get_args(kind) for note in _annotations(inner)]


def _nearest(where: str, model: type[BaseModel]) -> str | None:
    """The key of the same section that is written most like one that is none, or a section's where it has none."""
    keys = [flag.removeprefix("--").replace("-", "_") for flag in _fields(model)]
    keys += {section for key in keys if (section := key.rpartition(".")[0])}
    section, _, name = where.rpartition(".")
    siblings = {key.rpartition(".")[2]: key for key in keys if not section or key.rpartition(".")[0] == section}
    near = difflib.get_close_matches(name, siblings, n=1)
    return siblings[near[0]] if near else None


def run_main(main: Callable[[], int]) -> NoReturn:
    """Run a program: a UserError is printed and ends it with exit code 2, Ctrl-C ends it with 130."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # of the imports: see biogen/__init__.py
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.exit(main())
    except UserError as error:
        for line in error.lines:
            shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)  # keys can hold anything
            print(f"error: {shown}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(130)


def _flags(model: type[BaseModel], *, with_file: bool = False) -> type:
    """A dataclass of optional texts, one a field, for tyro to parse; the model itself checks them later."""
    fields: list[tuple[str, Any, Any]] = []
    if with_file:
        help_text = "A YAML file of these keys; flags override it."
        arg = tyro.conf.arg(help=help_text, metavar="FILE", help_behavior_hint="")
        fields.append(("config", Annotated[str | None, arg], dataclasses.field(default=None)))
    own = [name for name in model.model_fields if name in model.__annotations__]
    for name in dict.fromkeys([*own, *model.model_fields]):  # a class's own fields first, then those it inherits
        field = model.model_fields[name]
        nested = _nested(field)
        if nested is not None:
            inner = _flags(nested)
            fields.append((name, inner, dataclasses.field(default_factory=inner)))
            continue
        text = (field.description or "").replace("\n", " ")
        metavar = name.upper()
        if _is_list(field):
            kind: Any = list[str] | None
            metavar = f"{metavar.rstrip('S')} ..."
        elif field.annotation is bool:
            kind = bool
        else:
            kind = str | None
        default = _default_text(field)
        arg = tyro.conf.arg(help=text, metavar=None if kind is bool else metavar, help_behavior_hint=default)
        default_value = False if kind is bool else None
        fields.append((name, Annotated[kind, arg], dataclasses.field(default=default_value)))
    return dataclasses.make_dataclass(f"{model.__name__}Flags", fields)


def _default_text(field: FieldInfo) -> str:
    if field.is_required():
        return "(required)"
    default = field.get_default(call_default_factory=True)
    if default is None:
        return ""
    if isinstance(default, tuple):
        default = " ".join(map(str, default)) or "none"
    return f"(default: {default})"


def _nested(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _is_list(field: FieldInfo) -> bool:
    kinds = [field.annotation, *get_args(field.annotation)]
    return any(get_origin(kind) in (tuple, list) for kind in kinds)


def _overlay(values: dict[str, Any], parsed: Any, model: type[BaseModel], given: Sequence[str], at: str = "") -> None:
    """Put the flags that were given over the values of the file."""
    for name, field in model.model_fields.items():
        flag, value = f"{at}{name.replace('_', '-')}", getattr(parsed, name)
        nested = _nested(field)
        if nested is not None:
            inner = values.get(name)
            inner = dict(inner) if isinstance(inner, dict) else {}
            _overlay(inner, value, nested, given, f"{flag}.")
            if inner:
                values[name] = inner
        elif field.annotation is bool:
            if any(_flag(text) in (f"--{flag}", f"--{at}no-{name.replace('_', '-')}") for text in given):
                values[name] = value
        elif value is not None:
            values[name] = None if value in ("none", "None") and _optional(field) else value


def _optional(field: FieldInfo) -> bool:
    """Whether `none` leaves an option open; it does not where it is one of the option's values."""
    kinds = get_args(field.annotation)
    return type(None) in kinds and not any("none" in get_args(kind) for kind in kinds)


def _flag(text: str) -> str:
    """An argument as `--help` spells it: tyro takes underscores too."""
    return text.partition("=")[0].replace("_", "-")


def _fields(model: type[BaseModel], at: str = "--") -> dict[str, FieldInfo]:
    """Every flag with its field."""
    fields: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        nested = _nested(field)
        flag = f"{at}{name.replace('_', '-')}"
        fields |= _fields(nested, f"{flag}.") if nested is not None else {flag: field}
    return fields


def _without_values(model: type[BaseModel], arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """A line for every flag whose value is missing, and the other arguments: tyro would stop at the first."""
    valued = {"--config"} | {flag for flag, field in _fields(model).items() if field.annotation is not bool}
    lines, others = [], []
    for text, behind in pairwise([*arguments, "--"]):
        flag_follows = behind.startswith("-") and not behind[1:2].isdigit()
        if flag_follows and "=" not in text and _flag(text) in valued:
            lines.append(f"{_flag(text)}: has no value; see --help")
        else:
            others.append(text)
    return lines, others


def _unknown_lines(model: type[BaseModel], unknown: Sequence[str]) -> list[str]:
    lines = []
    for text in unknown:
        if text.startswith("-"):
            near = difflib.get_close_matches(text, ["--config", *_fields(model)], n=1)
            lines.append(f"{text}: is not a flag; " + (f"did you mean {near[0]}?" if near else "see --help"))
    if unknown and not lines:
        lines = [f"{unknown[0]}: is not a flag's value; see --help"]
    return lines
