"""The value pools of BioS: the names, cities, universities, majors and employers that people are drawn from.

In: how many of each (`PoolSizes`), perhaps a Faker locale for the names. Out: `Pools`, tuples of strings.

The lists are stored in `biogen/data`, in an order shuffled once, so that the first k entries are a fair
sample and a smaller pool is the beginning of a larger one. Where they come from:

- first, middle and last names: Faker 40.54.0, the lists `first_names` and `last_names` of its person
  providers en_US, en_GB, en_NZ, en_IE and en, read in this order until there were enough (the other English
  locales share en_US's lists, or hold mostly names of other languages). Only entries of ASCII letters alone
  were taken. First and middle names are one list cut in two, so they share no name. Of two last names of
  which one begins the other, the earlier was kept: a name's probability is read token by token, so "Smith"
  must not be the beginning of "Smithson".
- birth cities: four cities of each of the 50 states.
- employers: the headquarters is a US city; 37 of the 263 (14 %) are in New York, NY, as in the paper.

The sizes are those of Allen-Zhu and Li, "Knowledge Capacity Scaling Laws" (arXiv 2404.05405).
"""

import hashlib
import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from biogen.templates import stored_lines

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
PRONOUNS = ("He", "She")
_NAMES = ("first_names", "middle_names", "last_names")
FIRST_YEAR = 1900
ENGLISH_LOCALES = ("en_US", "en_GB", "en_NZ", "en_IE", "en")
"""Faker locales of the stored names, the most American first."""


class PoolSizes(BaseModel):
    """How many values each pool holds; the defaults are the paper's."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    first_names: int = Field(400, ge=1)
    """First names; more than 400 are made with Faker."""
    middle_names: int = Field(400, ge=1)
    """Middle names; more than 400 are made with Faker."""
    last_names: int = Field(1000, ge=1)
    """Last names; more than 1000 are made with Faker."""
    birth_cities: int = Field(200, ge=1)
    """Cities of birth, at most 200."""
    universities: int = Field(300, ge=1)
    """Universities, at most 300."""
    majors: int = Field(100, ge=1)
    """Majors, at most 100."""
    employers: int = Field(263, ge=1)
    """Employers, at most 263, each with the one city of its headquarters."""
    months: int = Field(12, ge=1, le=12)
    """Months of birth, from January."""
    days: int = Field(28, ge=1, le=28)
    """Days of birth, from 1; 28 at most, so that every month has every day."""
    years: int = Field(200, ge=1, le=200)
    """Years of birth, from 1900."""

    @property
    def names(self) -> int:
        """N0, the number of possible full names."""
        return self.first_names * self.middle_names * self.last_names

    @property
    def values(self) -> dict[str, int]:
        """The number of possible values of each attribute; their product is S0.

        The company city is left out: the employer determines it.
        """
        return {
            "pronoun": 2,
            "birth_date": self.months * self.days * self.years,
            "birth_city": self.birth_cities,
            "university": self.universities,
            "major": self.majors,
            "employer": self.employers,
        }


@dataclass(frozen=True)
class Pools:
    """The strings themselves; index i of a pool is the same string at every size of at least i + 1."""

    first_names: tuple[str, ...]
    middle_names: tuple[str, ...]
    last_names: tuple[str, ...]
    birth_cities: tuple[str, ...]
    universities: tuple[str, ...]
    majors: tuple[str, ...]
    employers: tuple[str, ...]
    company_cities: tuple[str, ...]
    """The headquarters of the employer at the same index; cities repeat."""
    months: tuple[str, ...]
    days: tuple[str, ...]
    years: tuple[str, ...]
    pronouns: tuple[str, ...] = PRONOUNS


def load_pools(sizes: PoolSizes, locale: str | None = None, own: Mapping[str, tuple[str, ...]] | None = None) -> Pools:
    """The first entries of each stored list, as many as `sizes` asks for.

    Name pools larger than the stored ones are filled up from Faker's English lists. With a `locale`, such as
    "de_DE", all names come from Faker's lists of that locale instead.
    own: the lines of files that take the place of stored ones, as `biogen.bank.read_bank` gives them. Nothing fills up
    a pool of such a file.

    Raises:
        ValueError: a pool is larger than what is stored or what Faker has, or Faker has no such locale.
    """
    own = own or {}
    stored = _stored(sizes, own)
    employers = [row.split("\t") for row in stored.pop("employers")]
    return Pools(
        **_names(sizes, locale, own),
        **stored,
        employers=tuple(employer for employer, _ in employers),
        company_cities=tuple(city for _, city in employers),
        months=own.get("months.txt", MONTHS)[: sizes.months],
        days=tuple(str(day) for day in range(1, sizes.days + 1)),
        years=tuple(str(year) for year in range(FIRST_YEAR, FIRST_YEAR + sizes.years)),
        pronouns=own.get("pronouns.txt", PRONOUNS),
    )


def pool_files(pools: Pools) -> dict[str, list[str]]:
    """The entries of each pool by the name of a file, employers with their cities."""
    files = {f"{name}.txt": list(values) for name, values in asdict(pools).items()}
    if pools.pronouns == PRONOUNS:
        del files["pronouns.txt"]
    cities, employers = files.pop("company_cities.txt"), files.pop("employers.txt")
    files["employers.tsv"] = [f"{name}\t{city}" for name, city in zip(employers, cities, strict=True)]
    return files


def _stored(sizes: PoolSizes, own: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The pools that nothing fills up. Raises ValueError with a line for each that is larger than what is stored."""
    files = ("birth_cities.txt", "universities.txt", "majors.txt", "employers.tsv")
    lists = {Path(file).stem: own.get(file) or stored_lines(file) for file in files}
    if mistakes := [
        f"pools.{field}: {size} is not allowed; must be at most {len(lines)}, the number of entries stored"
        for field, lines in lists.items()
        if (size := getattr(sizes, field)) > len(lines)
    ]:
        raise ValueError("\n".join(mistakes))
    return {field: lines[: getattr(sizes, field)] for field, lines in lists.items()}


def _names(sizes: PoolSizes, locale: str | None, own: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The three pools of names. Raises ValueError as `load_pools` does."""
    given = {file.partition(".")[0]: lines for file, lines in own.items() if file.endswith("_names.txt")}
    wanted = {pool: 0 if pool in given else getattr(sizes, pool) for pool in _NAMES}
    first_names, middle_names = _first_and_middle_names(wanted["first_names"], wanted["middle_names"], locale)
    made = (first_names, middle_names, _last_names(wanted["last_names"], locale))
    for pool, lines in given.items():
        if (size := getattr(sizes, pool)) > len(lines):
            raise ValueError(f"pools.{pool}: {size} is not allowed; must be at most {len(lines)}, as the bank has")
    return dict(zip(_NAMES, made, strict=True)) | {pool: lines[: getattr(sizes, pool)] for pool, lines in given.items()}


def _first_and_middle_names(first: int, middle: int, locale: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    stored_first = stored_lines("first_names.txt") if locale is None else ()
    stored_middle = stored_lines("middle_names.txt") if locale is None else ()
    lacking_first, lacking_middle = max(0, first - len(stored_first)), max(0, middle - len(stored_middle))
    made: list[str] = []
    if lacking_first or lacking_middle:
        stored = {*stored_first, *stored_middle}
        unstored = [name for name in _faker_names("first_names", locale) if name not in stored]
        made = _shuffled("first name", unstored)
        if lacking_first + lacking_middle > len(made):
            raise ValueError(
                f"pools.first_names, pools.middle_names: {first}, {middle} is not allowed; must be at most "
                f"{len(stored) + len(made)} together, the number of first names in Faker's {_lists(locale)}"
            )
    # From the two ends of one list: the pools share no name, and neither depends on the other's size.
    return (
        (*stored_first[:first], *made[:lacking_first]),
        (*stored_middle[:middle], *made[::-1][:lacking_middle]),
    )


def _last_names(size: int, locale: str | None) -> tuple[str, ...]:
    stored = stored_lines("last_names.txt") if locale is None else ()
    if size <= len(stored):
        return stored[:size]
    prefix_free = _prefix_free([*stored, *_faker_names("last_names", locale)])
    names = (*stored, *_shuffled("last name", prefix_free[len(stored) :]))
    if size > len(names):
        raise ValueError(
            f"pools.last_names: {size} is not allowed; must be at most {len(names)}, "
            f"the number of last names in Faker's {_lists(locale)} of which none begins another"
        )
    return names[:size]


def _lists(locale: str | None) -> str:
    return "English lists" if locale is None else f"lists of locale {locale!r}"


def _faker_names(kind: str, locale: str | None) -> list[str]:
    """The entries of Faker's lists `kind` (first_names or last_names) that are letters only, each once."""
    # Imported only here: Faker is slow to import, and the stored lists need none of it.
    from faker import Generator
    from faker.providers import person

    known = sorted(module.name for module in pkgutil.iter_modules(person.__path__))
    if locale is not None and locale not in known:
        raise ValueError(
            f"locale: {locale!r} is not allowed; must be one of Faker's locales of names: {', '.join(known)}"
        )
    names: dict[str, None] = {}
    for name_locale in ENGLISH_LOCALES if locale is None else (locale,):
        provider = importlib.import_module(f"{person.__name__}.{name_locale}").Provider(Generator())
        names |= dict.fromkeys(name for name in getattr(provider, kind) if name.isalpha())
    return [name for name in names if name.isascii() or locale is not None]


def _prefix_free(names: Iterable[str]) -> list[str]:
    """The names in order, without those that begin, or are begun by, one that was kept before."""
    kept: dict[str, None] = {}
    beginnings: set[str] = set()
    for name in names:
        own = [name[:end] for end in range(1, len(name) + 1)]
        if name not in beginnings and not any(beginning in kept for beginning in own):
            kept[name] = None
            beginnings.update(own)
    return list(kept)


def _shuffled(kind: str, names: Iterable[str]) -> list[str]:
    """The names in the order of their hashes: fixed, and unrelated to Faker's order (often the alphabet's).

    The kind goes into the hash because some last names are first names too, and would stand at like places.
    """
    return sorted(names, key=lambda name: hashlib.sha256(f"{kind} {name}".encode()).digest())
