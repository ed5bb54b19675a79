"""Command lines from configurations: every field of a pydantic model is a flag, over an optional YAML file.

In: a model class and the arguments. Out: a model; or, for mistakes, one line each on standard error (all of them
at once) and exit code 2. Later wins: the model's defaults, then the file of `--config`, then flags.
"""

import argparse
import difflib
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from basis.fields import allowed, fields_of, holds_several, is_switch, takes_none
from basis.files import working_folder
from basis.mistakes import MOST_LINES, explain, more
from basis.text import printable, short
from basis.yaml_text import UserError, read_yaml

__all__ = ["Parser", "UserError", "explain", "parse", "read_yaml", "run_main"]

Config = TypeVar("Config", bound=BaseModel)

_NOTHING: Any = object()
"""Stands for a flag that was given without a value."""
_NEGATIVE = re.compile(r"-\.?\d")
_FLAG = re.compile(r"-(?!\.?\d)")
_MOST_FLAGS = 1000
"""Flags on a command line; argparse takes quadratic time."""


def parse(
    model: type[Config],
    arguments: Sequence[str] | None,
    *,
    program: str,
    description: str,
    examples: Sequence[str] = (),
    keys_of_file: Callable[[dict[str, Any]], dict[str, Any]] = dict,
    find_file: Callable[[str], Path] = Path,
    default_file: Path | None = None,
    adjust: Callable[[dict[str, Any], set[str]], None] = lambda values, given: None,
) -> Config:
    """Read a configuration from the command line; see the module's docstring.

    keys_of_file: takes from the file's keys those of this model. find_file: the path that the text of `--config` means.
    default_file: read where `--config` is not given. adjust: may change the values, knowing which fields flags gave.
    A model may have `groups`, names of fields by the title that they stand under in `--help`. Raises UserError.
    """
    arguments = [_spelled(text) for text in (sys.argv[1:] if arguments is None else arguments)]
    if (count := sum(_FLAG.match(text) is not None for text in arguments)) > _MOST_FLAGS:
        raise UserError([f"{count:,} flags are given; allowed are {_MOST_FLAGS:,}"])
    fields = fields_of(model)
    values, lines = _read_file(arguments, keys_of_file, find_file, default_file)
    parser = _parser(model, fields, values, program, description, examples)
    found, unknown = parser.parse_known_args(arguments)
    given: set[str] = set()
    if found.config is _NOTHING:
        lines.append("--config: has no value; see --help")
    for name, field in fields.items():
        if (texts := getattr(found, name)) is None:
            continue
        if texts is _NOTHING or texts == []:
            lines.append(f"--{_flag(name)}: has no value; see --help")
            continue
        given.add(name)
        _put(values, name, _value(field, texts))
    lines += _unknown_lines(fields, unknown)
    adjust(values, given)
    try:
        config = model.model_validate(values)
    except ValidationError as error:
        raise UserError(lines + explain(error, model)) from None
    if lines:
        raise UserError(lines)
    return config


def _read_file(
    arguments: Sequence[str],
    keys_of_file: Callable[[dict[str, Any]], dict[str, Any]],
    find_file: Callable[[str], Path],
    default_file: Path | None,
) -> tuple[dict[str, Any], list[str]]:
    """The keys of the file of `--config`, or of the default; and what is wrong with it."""
    only = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    only.add_argument("--config", nargs="?", const=_NOTHING)
    named = only.parse_known_args(list(arguments))[0].config
    if named is _NOTHING:
        return {}, []  # the parser of the flags reports it
    try:
        file = default_file if named is None else find_file(named)
        return (keys_of_file(read_yaml(file)) if file is not None else {}), []
    except UserError as error:
        return {}, error.lines


class Parser(argparse.ArgumentParser):
    """A parser that raises UserError; an argument that begins with a minus and a digit is a value."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False} | kwargs)
        self._negative_number_matcher = _NEGATIVE

    def error(self, message: str) -> NoReturn:
        """Raises UserError, where argparse would print the usage and exit."""
        raise UserError([message])


class _Help(argparse.HelpFormatter):
    """A flag has a line of its own, with its meaning below; descriptions and examples keep their lines."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=6)

    def _format_args(self, action: argparse.Action, default_metavar: Any) -> str:
        return str(action.metavar or default_metavar)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(super(_Help, self)._fill_text(line, width, indent) for line in text.splitlines())


def _parser(
    model: type[BaseModel],
    fields: Mapping[str, FieldInfo],
    values: Mapping[str, Any],
    program: str,
    description: str,
    examples: Sequence[str],
) -> argparse.ArgumentParser:
    """A parser whose flags take texts for the model to check; `--help` shows allowed and current values."""
    epilog = "\n".join(["examples:", *(f"  {line}" for line in examples)]) if examples else None
    parser = Parser(
        program,
        f"{program} [--FLAG VALUE ...]",
        description,
        epilog,
        formatter_class=_Help,
        argument_default=None,
    )
    parser.add_argument(
        "--config", metavar="FILE", nargs="?", const=_NOTHING, help="A YAML file of these options; flags go over it."
    )
    groups = {title: parser.add_argument_group(title) for title in getattr(model, "groups", {})}
    title_of = {name: title for title, names in getattr(model, "groups", {}).items() for name in names}
    for name, field in fields.items():
        title = title_of.get(name.partition(".")[0])
        group = groups[title] if title else parser
        help_text = " ".join([*(field.description or "").split(), *_notes(field, values, name)]).replace("%", "%%")
        add = partial(group.add_argument, f"--{_flag(name)}", dest=name, help=help_text)
        one = name.rpartition(".")[2].upper()
        if field.annotation is bool:
            add(action=argparse.BooleanOptionalAction)
        elif not holds_several(field):
            add(nargs="?", const=_NOTHING, metavar=one)
        elif is_switch(field):
            add(nargs="*", action=_Switch, metavar="[VALUE ...]")
            group.add_argument(
                f"--no-{_flag(name)}", dest=name, action="store_const", const=["false"], help=argparse.SUPPRESS
            )
        else:
            add(nargs="*", metavar="VALUE ...")
    return parser


class _Switch(argparse.Action):
    """A flag that alone means true."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:
        setattr(namespace, self.dest, values or ["true"])


def _notes(field: FieldInfo, values: Mapping[str, Any], name: str) -> list[str]:
    """The allowed values, and the value without the flag."""
    notes = [f"Allowed: {text}."] if (text := allowed(field)) else []
    section: Any = values
    for part in name.split("."):
        section = section.get(part) if isinstance(section, Mapping) else None
    if section is not None:
        return [*notes, f"(preset: {_shown(section)})"]
    if field.is_required():
        return [*notes, "(required)"]
    default = field.get_default(call_default_factory=True)
    return notes if default in (None, (None,), {}, ({},)) else [*notes, f"(default: {_shown(default)})"]


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(field: FieldInfo, found: Any) -> Any:
    """The value of a flag as the model takes it."""
    return None if found in ("none", "None") and takes_none(field) else found


def _put(values: dict[str, Any], name: str, value: Any) -> None:
    *sections, last = name.split(".")
    for section in sections:
        inner = values.get(section)
        values[section] = values = dict(inner) if isinstance(inner, Mapping) else {}
    values[last] = value


def _flag(name: str) -> str:
    return name.replace("_", "-")


def _spelled(text: str) -> str:
    """An argument as `--help` spells it; flags may also be given with underscores."""
    flag, equals, value = text.partition("=")
    return _flag(flag) + equals + value if text.startswith("--") else text


def _unknown_lines(fields: Mapping[str, FieldInfo], unknown: Sequence[str]) -> list[str]:
    if "--" in unknown:
        return ["--: is not allowed; flags have names, and nothing else is given"]
    lines = []
    for text in dict.fromkeys(unknown[:MOST_LINES]):
        if text.startswith("-"):
            flag = short(text.partition("=")[0], 60)
            near = difflib.get_close_matches(flag, ["--config", *(f"--{_flag(name)}" for name in fields)], n=1)
            lines.append(f"{flag}: is not a flag; " + (f"did you mean {near[0]}?" if near else "see --help"))
    if unknown and not lines:
        lines = [f"{short(unknown[0])}: is not a flag's value; see --help"]
    return lines + more(len(unknown))


def run_main(main: Callable[[], int]) -> NoReturn:
    """Run a program. A UserError is printed and ends it with exit code 2, an OSError with 1, Ctrl-C with 130."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # set during the imports: see basis/start.py
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if working_folder() is None:  # Intel's MKL would end the process
            raise UserError(["the working folder has been removed; change to one that is there"])
        sys.exit(main())
    except UserError as error:
        for line in error.lines:
            print(f"error: {short(printable(line), 2000)}", file=sys.stderr)  # keys can hold anything
        sys.exit(2)
    except OSError as error:  # such as a full disk
        reason = f"{short(str(error.filename))}: {error.strerror}" if error.filename is not None else str(error)
        print(f"error: {short(printable(reason), 2000)}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # another one ends the process's last steps without a traceback
        print("Stopped.", file=sys.stderr)
        sys.exit(130)
