"""The command with which a user starts a program, for usage lines and for commands to repeat."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from basis.files import working_folder


def called_as(module: str) -> str:
    """The command that starts a program, in the form that started this process.

    For the module `capacity.run` it is one of `capacity run`, `python -m capacity run`, `python -m capacity.run`.
    """
    module = module.removesuffix(".__main__")
    name = module.rpartition(".")[2]
    started = Path(sys.argv[0])
    if started.name == module:  # a console command of its own
        return name
    if started.name == "capacity":
        return f"capacity {name}"
    if started.parts[-2:] == ("capacity", "__main__.py") and module != "capacity":
        return f"{_python()} -m capacity {name}"
    return f"{_python()} -m {module}"


def _python() -> str:
    """The command of this Python in the user's shell."""
    named = shutil.which("python")
    if named is not None and Path(named).absolute() == Path(sys.executable).absolute():
        return "python"
    inside = (here := working_folder()) is not None and Path(sys.executable).is_relative_to(here)
    return shlex.quote(os.path.relpath(sys.executable) if inside else sys.executable)
