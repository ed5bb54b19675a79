"""The presets that come with this project: files of `configs/`, in a checkout and in an installed wheel.

A preset's name is its path without `.yaml`, such as `laptop` or `law-laptop/biod`.
"""

import difflib
from pathlib import Path

from basis.files import user_path
from basis.flags import UserError
from basis.text import shown

_PACKAGE = Path(__file__).resolve().parents[1]
FOLDER = _PACKAGE / "configs" if (_PACKAGE / "configs").is_dir() else _PACKAGE.parent / "configs"
"""Where the presets are: inside the package if it was installed from a wheel, beside it in a checkout."""

DEFAULT = "laptop"
"""The preset of a command that names none."""


def preset_names() -> list[str]:
    """The names of all presets that come with this project, sorted."""
    return sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.yaml"))


def preset_path(name: str) -> Path:
    """The file of `--config`: a preset of this project by name, else the path itself.

    Raises UserError for a name that is neither a preset nor a file.
    """
    names = preset_names()
    if name in names:
        return FOLDER / f"{name}.yaml"
    try:
        path = user_path(name)
    except ValueError as error:
        raise UserError([f"config: {shown(name)} {error}"]) from None
    if path.exists():
        return path
    stem = name.removesuffix(".yaml").removeprefix("configs/")
    near = [stem] if stem in names else difflib.get_close_matches(stem, names)
    hint = f"did you mean {' or '.join(near)}?" if near else f"presets are {', '.join(names)}"
    raise UserError([f"config: {shown(name)} is neither a file nor a preset; {hint}"])
