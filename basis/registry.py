"""Objects by name: those of this project, and a user's own as `module:Name`.

In: a name from a preset or a flag. Out: the object, imported only on access, so that a program that only lists names
starts fast.
"""

import difflib
import importlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar, cast

from basis.files import working_folder
from basis.text import printable, short

Thing = TypeVar("Thing")

_OWN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class Registry(Generic[Thing]):
    """All architectures, or all optimizers, data sets, ..., by name."""

    def __init__(self, kind: str, entries: Mapping[str, str], needs: Sequence[str] = ()) -> None:
        """kind: the option that names one, for messages. entries: `module:Name` by name. needs: attributes of all."""
        self.kind, self._entries, self._needs = kind, dict(entries), needs

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the project's own objects."""
        return tuple(self._entries)

    def check(self, name: str) -> str:
        """Returns the name. Raises ValueError if it is neither known nor of the form `module:Name`."""
        if name not in self._entries and not _OWN.fullmatch(name):
            near = difflib.get_close_matches(name, self._entries, n=1, cutoff=0.7)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"must be {', '.join(self._entries)} or your own as module:Name{hint}")
        return name

    def __getitem__(self, name: str) -> Thing:
        """The object of this name. Raises ValueError with the reason if there is none."""
        try:
            where = self._entries.get(self.check(name), name)
        except ValueError as error:
            raise ValueError(f"{self.kind}: {name!r} is not allowed; {error}") from None
        module, _, attribute = where.partition(":")
        if name in self._entries:
            return cast(Thing, getattr(importlib.import_module(module), attribute))
        here = working_folder()
        if here is not None and str(here) not in sys.path and "" not in sys.path:
            sys.path.append(str(here))  # for a user's own modules; last in the search path
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (Exception, SystemExit) as error:  # a module can do anything while it is imported
            named = isinstance(error, ImportError | AttributeError | SyntaxError)
            told = short(printable(error if named else f"{type(error).__name__}: {error}"))
            raise ValueError(f"{self.kind}: {name!r} cannot be imported ({told})") from None
        if lacks := [needed for needed in self._needs if not hasattr(found, needed)]:
            raise ValueError(f"{self.kind}: {name!r} is not allowed; must have {', '.join(lacks)}")
        return cast(Thing, found)
