"""The text bank of BioS: sentence templates that state an attribute, and questions that ask for one.

In: how many templates to use. Out: a `Bank` of strings such as "{subject} was born on {value}." and
"What is the birth date of {name}?". The subject is the full name or "He" or "She".

Allen-Zhu and Li, "Physics of Language Models: Part 3.1" (arXiv 2309.14316), use about 50 templates an
attribute. This bank was written for this project. Each sentence keeps these rules, and the tests check
them:

- The subject comes first, and no other word tells the gender, so the first pronoun is where it is due.
- The value is due: where it stands, no other template of any attribute would go on with a word of its own. So
  a model is never charged, in the probability of a value, for not knowing which template it is in.
- Two templates of an attribute differ by two words at least.

A user's own bank (`biogen/bank.py`) has to keep the second rule, and to begin with the subject.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

ATTRIBUTES = ("birth_date", "birth_city", "university", "major", "employer", "company_city")
SUBJECT, VALUE, NAME = "{subject}", "{value}", "{name}"


@dataclass(frozen=True)
class Bank:
    """The templates and the questions of each attribute, in the order of `ATTRIBUTES`."""

    templates: dict[str, tuple[str, ...]]
    questions: dict[str, tuple[str, ...]]


def load_bank(templates: int = 200, own: Mapping[str, tuple[str, ...]] | None = None) -> Bank:
    """The first templates of each attribute, `templates` in all, and all questions.

    They are dealt in turn to the attributes: of 200, two attributes get 34 and four get 33.
    own: the lines of files that take the place of stored ones, as `biogen.bank.read_bank` gives them.

    Raises:
        ValueError: fewer than one template an attribute, or more than are stored.
    """
    stored = _by_attribute("templates", own or {})
    per_attribute = min(len(lines) for lines in stored.values())
    allowed = len(ATTRIBUTES), len(ATTRIBUTES) * per_attribute
    if not allowed[0] <= templates <= allowed[1]:
        raise ValueError(f"templates: {templates} is not allowed; must be {allowed[0]} to {allowed[1]}")
    rounds, rest = divmod(templates, len(ATTRIBUTES))
    return Bank(
        templates={
            attribute: stored[attribute][: rounds + (place < rest)] for place, attribute in enumerate(ATTRIBUTES)
        },
        questions=_by_attribute("questions", own or {}),
    )


def split_template(template: str) -> tuple[str, str]:
    """The text between subject and value, and the text after the value.

    The space before the value goes with it: "{subject} was born on {value}." gives (" was born on", ".").
    """
    before, after = template.removeprefix(SUBJECT).split(f" {VALUE}")
    return before, after


def stored_lines(file: str) -> tuple[str, ...]:
    """The lines of a file of biogen/data."""
    return tuple((resources.files("biogen") / "data" / file).read_text(encoding="utf-8").splitlines())


def _by_attribute(folder: str, own: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    files = {attribute: f"{folder}/{attribute}.txt" for attribute in ATTRIBUTES}
    return {attribute: own.get(file) or stored_lines(file) for attribute, file in files.items()}
