"""Does a text about a person state every fact once, and nothing of anybody else? And where do its facts stand?

In: the pools of a data set, a person and a text that anyone may have written. Out: the places of the facts, or the
reason why the text is no good. Values are found as they are written, in whole words, the longest first.
"""

import re
from collections import defaultdict
from dataclasses import asdict, dataclass

from biogen.people import Person
from biogen.pools import Pools
from biogen.templates import ATTRIBUTES

MOST_CHARACTERS = 2000
"""Characters of a text, at most."""
_MARKUP = re.compile(r"[<>{}|`*#\\]")
"""Characters of markup, and of the special tokens of tokenizers."""
_WORD = re.compile(r"\w+")
_FORMS = {"He": ("he", "him", "his", "himself"), "She": ("she", "her", "hers", "herself")}
"""The words of English that tell what a pronoun tells."""


class Rejected(ValueError):
    """A text that is no good; its message is the reason, in words of which there are few."""


@dataclass(frozen=True)
class Marked:
    """A text that states every fact of a person once."""

    text: str
    places: dict[str, tuple[int, int]]
    """The characters [start, end) of the name and of each attribute's value, in the order of the text."""
    fit_to_measure: bool
    """Whether nothing before a value gives it away."""


class FactChecker:
    """Checks texts about people whose facts come from some pools."""

    def __init__(self, pools: Pools) -> None:
        self._pronouns = pools.pronouns
        self._entries: dict[str, dict[str, str]] = defaultdict(dict)
        """What kind an entry is of, by its first word and by the entry."""
        cities = (*pools.birth_cities, *pools.company_cities)
        kinds = {"year": pools.years, "day": pools.days, "month": pools.months, "major": pools.majors}
        kinds |= {"last name": pools.last_names, "middle name": pools.middle_names, "first name": pools.first_names}
        kinds |= {"city": cities, "university": pools.universities, "employer": pools.employers}
        for kind, entries in kinds.items():
            for entry in entries:
                self._entries[_first_word(entry)][entry] = kind

    def check(self, person: Person, text: str) -> Marked:
        """The places of the facts in a text. Raises Rejected."""
        _check_form(text)
        facts = facts_of(person)
        found = self._find(person, facts, text)
        if facts["birth_city"] == facts["company_city"]:  # nothing but their order tells them apart
            found["company_city"], found["birth_city"] = found["birth_city"][1:], found["birth_city"][:1]
        places = {}
        for attribute in facts:
            if not found[attribute]:
                raise Rejected(f"lacks the {_words(attribute)}")
            if len(found[attribute]) > 1:
                raise Rejected(f"repeats the {_words(attribute)}")
            (places[attribute],) = found[attribute]
        places = dict(sorted(places.items(), key=lambda one: one[1]))
        if next(iter(places)) != "name":
            raise Rejected("states a value before the name")
        _check_repeats(facts, places, text)
        self._check_pronoun(person, places, text)
        return Marked(text, places, _fit_to_measure(facts, places, text))

    def _find(self, person: Person, facts: dict[str, str], text: str) -> dict[str, list[tuple[int, int]]]:
        """Every place of every fact. Raises Rejected for what is in the pools and no fact."""
        attribute_of = {value: attribute for attribute, value in reversed(facts.items())}  # the first of equal ones
        own: dict[str, list[str]] = defaultdict(list)
        for value in attribute_of:
            own[_first_word(value)].append(value)
        found: dict[str, list[tuple[int, int]]] = {attribute: [] for attribute in facts}
        done = 0
        for word in _WORD.finditer(text):
            start = word.start()
            entries = self._entries.get(word[0], {})
            here = [one for one in (*own.get(word[0], ()), *entries) if start >= done and _stands(one, text, start)]
            if not here:
                continue
            longest = max(here, key=len)
            done = start + len(longest)
            if longest in attribute_of:
                found[attribute_of[longest]].append((start, done))
            elif longest in (person.first_name, person.middle_name, person.last_name):
                raise Rejected("repeats the name")
            else:
                raise Rejected(f"has another {entries[longest]}")
        return found

    def _check_pronoun(self, person: Person, places: dict[str, tuple[int, int]], text: str) -> None:
        """Raises Rejected for a word that tells the other pronoun."""
        (other,) = [pronoun for pronoun in self._pronouns if pronoun != person.pronoun]
        forms = _FORMS.get(other, (other.casefold(),))
        if any(word[0].casefold() in forms for word in _WORD.finditer(text) if not _inside(word.start(), places)):
            raise Rejected("has the other pronoun")


def _check_form(text: str) -> None:
    if not text:
        raise Rejected("is empty")
    if len(text) > MOST_CHARACTERS:
        raise Rejected(f"has more than {MOST_CHARACTERS:,} characters")
    if not text.isprintable() or " ".join(text.split()) != text:
        raise Rejected("is not printable text with single spaces")
    if _MARKUP.search(text):
        raise Rejected("has markup")


def _check_repeats(facts: dict[str, str], places: dict[str, tuple[int, int]], text: str) -> None:
    """Raises Rejected for a value that stands elsewhere in other letters, small or large."""
    folded = text.casefold()
    for attribute, value in facts.items():
        if folded.count(value.casefold()) == text.count(value):
            continue
        for match in re.finditer(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE):
            if not _inside(match.start(), places):
                raise Rejected(f"repeats the {_words(attribute)}")


def _fit_to_measure(facts: dict[str, str], places: dict[str, tuple[int, int]], text: str) -> bool:
    """Whether nothing gives a value away before its place.

    The company city gives the employer away, so it stands behind it; of two equal cities the first one must stand
    before the employer, so that it is the birth city. No telling word of a value stands before it, except in another
    fact, which is drawn independently.
    """
    if places["company_city"] < places["employer"]:
        return False
    if facts["birth_city"] == facts["company_city"] and places["employer"] < places["birth_city"]:
        return False
    words = [(word.start(), word[0]) for word in _WORD.finditer(text) if not _inside(word.start(), places)]
    for attribute in ATTRIBUTES:
        before = {_key(word) for start, word in words if start < places[attribute][0]}
        if before & {_key(word) for word in _WORD.findall(facts[attribute]) if _tells(word)}:
            return False
    return True


def _tells(word: str) -> bool:
    """Whether a word of a value could tell it: one of four letters and more, an abbreviation or a number."""
    return len(word) >= 4 or word.isdigit() or _is_abbreviation(word)


def _key(word: str) -> str:
    """A word in small letters; an abbreviation as it is, so that the state IN is not `in`."""
    return word if _is_abbreviation(word) else word.casefold()


def _is_abbreviation(word: str) -> bool:
    return len(word) > 1 and word.isupper()


def _inside(start: int, places: dict[str, tuple[int, int]]) -> bool:
    return any(first <= start < end for first, end in places.values())


def _first_word(value: str) -> str:
    found = _WORD.match(value)
    assert found is not None, "values begin with a letter or a digit"
    return found[0]


def _stands(value: str, text: str, start: int) -> bool:
    """Whether a value stands at a place, and no letter behind it."""
    end = start + len(value)
    return text.startswith(value, start) and not (end < len(text) and _WORD.match(text[end]))


def _words(attribute: str) -> str:
    return attribute.replace("_", " ")


def facts_of(person: Person) -> dict[str, str]:
    """The name and the six values of a person as they are written, by attribute."""
    return {"name": person.name} | {name: value for name, value in asdict(person).items() if name in ATTRIBUTES}
