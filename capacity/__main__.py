"""`capacity COMMAND ...`, or `python -m capacity COMMAND ...`: every command of this project by name.

A command is a module of this package with a function `main`, or the package `report`; the first sentence of its
docstring says what it does.
`eval` and `biogen` are here too, since a user's own files of these names hide `python -m eval` and `python -m biogen`.
"""

import ast
import difflib
import importlib
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from basis.flags import UserError, run_main
from basis.program import called_as

_PACKAGE = Path(__file__).parent
_BESIDE = {
    "report": "capacity.report.__main__",
    "eval": "eval.__main__",
    "prove": "eval.prove",
    "biogen": "biogen.__main__",
}


def commands() -> dict[str, str]:
    """The module of each command by name."""
    own = {path.stem: f"capacity.{path.stem}" for path in sorted(_PACKAGE.glob("[!_]*.py"))}
    return {name: module for name, module in (own | _BESIDE).items() if "\ndef main(" in _source(module)}


def summary(module: str) -> str:
    """What a command does: the first sentence of its module's docstring, behind the command itself and a colon."""
    docstring = ast.get_docstring(ast.parse(_source(module))) or ""
    paragraph = " ".join(docstring.partition("\n\n")[0].split())
    return paragraph.rpartition("`: ")[2].partition(". ")[0].rstrip(".")


def choose(arguments: list[str]) -> Callable[[], int]:
    """What to do for the words after `capacity`; the command's module is imported now."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        return _show_commands
    name, *rest = arguments
    if (module := commands().get(name)) is None:
        return lambda: _refuse(name)
    program: Callable[[list[str]], int] = importlib.import_module(module).main
    return lambda: program(rest)


def command() -> NoReturn:
    """The console command `capacity`."""
    run_main(choose(sys.argv[1:]))


def biogen() -> NoReturn:
    """The console command `biogen`."""
    run_main(choose(["biogen", *sys.argv[1:]]))


def _source(module: str) -> str:
    """The text of a module, which is not imported: that can take seconds."""
    return _PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")


def _show_commands() -> int:
    program, found = called_as("capacity"), commands()
    print(f"usage: {program} COMMAND ...\n")
    for name, module in found.items():
        print(textwrap.fill(summary(module), 80, initial_indent=f"  {name:10} ", subsequent_indent=" " * 13))
    print(f"\n{program} COMMAND --help says more.")
    return 0


def _refuse(name: str) -> int:
    names = list(commands())
    near = difflib.get_close_matches(name, names, n=1)
    raise UserError(
        [
            f"{name!r} is not a command; "
            + (f"did you mean {near[0]}?" if near else f"must be one of {', '.join(names)}")
        ]
    )


if __name__ == "__main__":
    command()
