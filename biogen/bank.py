"""A bank of a user's own: templates, questions and pools from a folder with the files of biogen/data.

In: a folder. Out: the lines of each of its files by name. What the folder lacks comes from biogen/data.

The rules are those that make losses exact (docs/science.md) and that keep the tokens of a text apart: a mistake is a
line with the file, the number of the line, what stands there and what is allowed.
"""

import os
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from basis.reading import read_file
from basis.text import printable, shown
from biogen.pools import MONTHS, PoolSizes
from biogen.templates import ATTRIBUTES, NAME, SUBJECT, VALUE, split_template, stored_lines

Lines = Mapping[str, tuple[str, ...]]
"""The lines of each file of a bank, by its name in the folder."""

MOST_BYTES, MOST_LINES, MOST_CHARACTERS = 1 << 22, 100_000, 300
"""Bytes and lines of a file of a bank, and characters of a line, at most."""
_NAMES = ("first_names.txt", "middle_names.txt", "last_names.txt")
_POOLS = (*_NAMES, "birth_cities.txt", "universities.txt", "majors.txt", "employers.tsv", "months.txt")
_TEMPLATES = tuple(f"templates/{attribute}.txt" for attribute in ATTRIBUTES)
_QUESTIONS = tuple(f"questions/{attribute}.txt" for attribute in ATTRIBUTES)
FILES = (*_POOLS, "pronouns.txt", *_TEMPLATES, *_QUESTIONS)
"""What a bank may hold; it needs one of them at least."""
_EXTRA = ("README", "LICENSE")
"""Beginnings of the names of other files that a bank may hold."""


def read_bank(folder: str | None) -> Lines:
    """The lines of every file of a bank; none for no folder. Raises ValueError with a line for each mistake."""
    if folder is None:
        return {}
    try:
        found = tuple(sorted(_entries(Path(folder))))
    except OSError as error:
        raise ValueError(
            f"bank: {printable(folder)} cannot be read ({error.strerror}); must be a folder of templates and pools"
        ) from None
    return _read_bank(folder, found)


def bank_files(folder: str) -> dict[str, Path]:
    """The paths of all files of a bank by their names in it. Raises ValueError as `read_bank` does."""
    return {name: Path(folder) / name for name in read_bank(folder)}


def sizes_in_use(sizes: PoolSizes, own: Lines) -> PoolSizes:
    """The same sizes, but none above the number of entries in a bank's file."""
    counts = {file.partition(".")[0]: len(lines) for file, lines in own.items() if file in _POOLS}
    return sizes.model_copy(update={pool: min(getattr(sizes, pool), count) for pool, count in counts.items()})


def templates_in_use(templates: int, own: Lines) -> int:
    """The same number of templates, but at most what a bank's files allow: the same number for each attribute."""
    counts = [len(own[file]) for file in _TEMPLATES if file in own]
    return min([templates, *(len(ATTRIBUTES) * count for count in counts)])


def bank_mistakes(folder: str | None, locale: str | None) -> list[str]:
    """A line for each mistake in a bank, and for names of a locale beside a bank's."""
    try:
        own = read_bank(folder)
    except ValueError as error:
        return str(error).splitlines()
    named = [file for file in _NAMES if file in own]
    return [f"locale: {locale!r} is not allowed; the bank has {named[0]}"] if locale and named else []


def left_unused(folder: str | None, sizes: PoolSizes, templates: int) -> str:
    """Which entries of a bank are used where not all are, in words, such as `100 of 500 majors`; else empty."""
    own = read_bank(folder)
    used = {file: getattr(sizes, file.partition(".")[0]) for file in _POOLS if file in own}
    parts = [
        f"{used[file]:,} of {len(own[file]):,} {file.partition('.')[0].replace('_', ' ')}"
        for file in used
        if used[file] < len(own[file])
    ]
    if stored := sum(len(own[file]) for file in _TEMPLATES if file in own):
        per_attribute = -(-templates // len(ATTRIBUTES))
        if any(len(own[file]) > per_attribute for file in _TEMPLATES if file in own):
            parts.append(f"{per_attribute} templates for each attribute, of {stored:,} in all")
    return ", ".join(parts)


def _entries(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Every file by its name in the folder, with what tells that it has changed. Raises OSError."""
    for path in folder.iterdir():
        inner = path.iterdir() if path.name in ("templates", "questions") and path.is_dir() else [path]
        for file in inner:
            if not file.name.startswith((".", *_EXTRA)):
                state = os.stat(file) if file.exists() else os.lstat(file)
                yield file.relative_to(folder).as_posix(), state.st_mtime_ns, state.st_size


@lru_cache(maxsize=16)
def _read_bank(folder: str, found: tuple[tuple[str, int, int], ...]) -> Lines:
    names = [name for name, _, _ in found]
    mistakes = [
        f"bank: {printable(Path(folder) / name)} is not a file of a bank; must be one of {', '.join(_POOLS)}, "
        "pronouns.txt, or templates/ATTRIBUTE.txt or questions/ATTRIBUTE.txt"
        for name in names
        if name not in FILES
    ]
    own: dict[str, tuple[str, ...]] = {}
    for name in FILES:
        if name in names:
            try:
                own[name] = _read_lines(Path(folder) / name)
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                mistakes.append(f"bank: {printable(Path(folder) / name)} cannot be used ({reason})")
    if not own and not mistakes:
        mistakes = [f"bank: {printable(folder)} holds no file of a bank; must hold one at least, such as majors.txt"]
    mistakes += [
        f"bank: {printable(Path(folder) / name)}, line {number}: {text}"
        for name, lines in own.items()
        for number, text in _mistakes(name, lines)
    ]
    if not mistakes:
        mistakes = [f"bank: {printable(Path(folder) / name)}, line {n}: {text}" for name, n, text in _undue_values(own)]
    if mistakes:
        raise ValueError("\n".join(mistakes))
    return own


def _read_lines(path: Path) -> tuple[str, ...]:
    """The lines of a file in UTF-8. Raises OSError and ValueError with the reason."""
    content = read_file(path, MOST_BYTES)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content[: error.start].count(b"\n") + 1
        raise ValueError(f"line {number} is not UTF-8") from None
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[-1] == "":
        lines.pop()
    if not 1 <= len(lines) <= MOST_LINES:
        raise ValueError(f"it has {len(lines):,} lines; must be 1 to {MOST_LINES:,}")
    return tuple(lines)


def _mistakes(name: str, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The number of a line and what is wrong with it, for each line of a file that breaks a rule of its own."""
    form = _FORMS.get(name) or (_template_form if name in _TEMPLATES else _question_form)
    wrong = False
    for number, line in enumerate(lines, start=1):
        if fault := _plain_form(line, tabs=name == "employers.tsv") or form(line):
            wrong = True
            yield number, f"{shown(line)} is not allowed; {fault}"
    if wrong:
        return
    keys = [line.partition("\t")[0] for line in lines]
    first: dict[str, int] = {}
    for number, key in enumerate(keys, start=1):
        if first.setdefault(key, number) != number:
            yield number, f"{shown(key)} is not allowed; it stands in line {first[key]}, too"
    if name in _POOLS or name == "pronouns.txt":
        yield from _beginnings(list(first.items()), " " if name in _BEFORE_A_SPACE else "")
    if name == "employers.tsv":
        cities: dict[str, int] = {}
        for number, line in enumerate(lines, start=1):
            cities.setdefault(line.partition("\t")[2], number)
        yield from _beginnings(list(cities.items()), "")
    yield from _number_of_lines(name, lines)


_BEFORE_A_SPACE = ("first_names.txt", "middle_names.txt", "months.txt")
"""Pools of values that a space and another part of the same name or date follow: it tells where they end."""


def _beginnings(values: list[tuple[str, int]], end: str) -> Iterator[tuple[int, str]]:
    """Values that begin another: the probability of the tokens of `Bonn` would include that of `Bonnville`."""
    ordered = sorted((value + end, number) for value, number in values)
    for (one, line), (other, number) in pairwise(ordered):
        if other.startswith(one) and other != one:
            yield number, f"{shown(other.strip())} is not allowed; it begins with {shown(one.strip())} of line {line}"


def _number_of_lines(name: str, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    if name == "pronouns.txt" and len(lines) != 2:
        yield len(lines), f"{len(lines)} lines are not allowed; must be 2 pronouns"
    if name == "months.txt" and len(lines) > len(MONTHS):
        yield len(lines), f"{len(lines)} lines are not allowed; must be at most {len(MONTHS)} months"


def _plain_form(line: str, *, tabs: bool) -> str:
    """What is wrong with the characters of a line; empty if nothing is."""
    plain = line.replace("\t", "", 1) if tabs else line
    if not line.strip():
        return "must not be empty"
    if len(line) > MOST_CHARACTERS:
        return f"must have at most {MOST_CHARACTERS} characters, not {len(line):,}"
    if not plain.isprintable() or "  " in plain or plain != plain.strip():
        return "must be printable, with single spaces between words"
    return ""


def _value_form(value: str) -> str:
    if not value or not value[0].isalnum() or not value[-1].isalnum():
        return "must begin and end with a letter or a digit"
    return ""


def _employer_form(line: str) -> str:
    parts = line.split("\t")
    if len(parts) != 2:
        return "must be an employer and its city with a tab between"
    return "; ".join(fault for part in parts if (fault := _value_form(part) or _plain_form(part, tabs=False)))


_FORMS: dict[str, Callable[[str], str]] = {
    **dict.fromkeys((*_POOLS, "pronouns.txt"), _value_form),
    "employers.tsv": _employer_form,
}


def _slots(line: str, *slots: str) -> str:
    """What is wrong with the slots of a line: each stands there once, and no other brace does."""
    rest = line
    for slot in slots:
        if line.count(slot) != 1:
            return f"must have the slot {slot} once, not {line.count(slot)} times"
        rest = rest.replace(slot, "")
    return "must have no braces but those of its slots" if "{" in rest or "}" in rest else ""


def _template_form(line: str) -> str:
    if fault := _slots(line, SUBJECT, VALUE):
        return fault
    if not line.startswith(f"{SUBJECT} ") or f" {VALUE}" not in line:
        return f"must begin with {SUBJECT} and a space, and have a space before {VALUE}"
    before, after = split_template(line)
    if not before.strip():
        return f"must have a word between {SUBJECT} and {VALUE}"
    return _end_form(after, VALUE)


def _question_form(line: str) -> str:
    if fault := _slots(line, NAME):
        return fault
    before, space, after = line.partition(f" {NAME}")
    if not space or not before:
        return f"must have a word and a space before {NAME}"
    return _end_form(after, NAME)


def _end_form(after: str, slot: str) -> str:
    """What is wrong with the text behind a slot: a letter there would become a part of the value."""
    if not after or after[0].isalnum() or after[0] == "_":
        return f"must have a mark such as a full stop, or a space, behind {slot}"
    return "" if not after[-1].isalnum() else "must end with a mark such as a full stop"


def _undue_values(own: Lines) -> Iterator[tuple[str, int, str]]:
    """Templates of a bank where another goes on with another word, or another attribute, in the value's place.

    A model would be charged, in the probability of a value, for not knowing which template it reads.
    """
    every = sorted(
        (template, name, number)
        for name in _TEMPLATES
        for number, template in enumerate(own.get(name) or stored_lines(name), start=1)
    )
    texts = [template for template, _, _ in every]
    seen: set[tuple[str, str]] = set()
    told: set[str] = set()
    for template, name, number in every:
        ahead = template[: template.index(VALUE)]
        if (ahead, name) in seen or template in told:
            continue
        seen.add((ahead, name))
        for other, its_name, its_number in _from(every, bisect_left(texts, ahead), ahead):
            if (its_name == name and other.startswith(VALUE, len(ahead))) or not {name, its_name} & own.keys():
                continue
            told |= {template, other}
            file, line, text, like = (name, number, template, other)
            if name not in own:
                file, line, text, like = (its_name, its_number, other, template)
            yield file, line, f"{shown(text)} is not allowed; {_BOTH.format(shown(like))}"
            break


_BOTH = "{} begins alike; both must have their value there, and be of one attribute"


def _from(every: Sequence[tuple[str, str, int]], first: int, beginning: str) -> Iterator[tuple[str, str, int]]:
    """The templates from a place on that begin like this."""
    for place in range(first, len(every)):
        if not every[place][0].startswith(beginning):
            return
        yield every[place]
