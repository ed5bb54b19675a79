"""Reads a question in plain words: the full name in it, and the attribute that it asks for.

In: a question, the pools that names are made from, and phrases that ask for each attribute. Out: what was found.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

_ALSO_ASKED = {
    "birth_date": ("What year was born?",),
    "birth_city": ("Where is from?",),
    "employer": ("What is the company of?",),
}
"""Other words of users for the questions of a bank."""


def phrases(questions: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The phrases that ask for each attribute: its name, other words of users, and a bank's questions without names."""
    return {
        name: [name.replace("_", " "), *_ALSO_ASKED.get(name, ()), *(question.format(name="") for question in asked)]
        for name, asked in questions.items()
    }


def find_name(question: str, pools: Sequence[Sequence[str]]) -> tuple[tuple[int, ...], str] | None:
    """The first full name in a question: the place of each of its parts in its pool, and the question without it.

    A name is one entry of each pool, in order with spaces between, in upper or lower case, and the longest entries that
    fit. None if there is none.
    """
    folded, asked = [[name.casefold() for name in pool] for pool in pools], question.casefold()
    parts = ["(" + "|".join(re.escape(name) for name in sorted(pool, key=len, reverse=True)) + ")" for pool in folded]
    found = re.search(r"(?<!\w)" + r"\s+".join(parts) + r"(?!\w)", asked)
    if found is None:
        return None
    places = tuple(pool.index(part) for pool, part in zip(folded, found.groups(), strict=True))
    return places, f"{asked[: found.start()]} {asked[found.end() :]}"


def find_attribute(question: str, phrases: Mapping[str, Sequence[str]]) -> str | None:
    """The attribute with the phrase most like a question without its name; None if no word tells, or two are equal.

    The likeness is the weight of the words in both over the weight of those in either (Jaccard's index). A word weighs
    the more the fewer attributes have it in their phrases; nothing if all have it, or none. "Who" never tells.
    """
    words = {attribute: [_words(phrase) for phrase in own] for attribute, own in phrases.items()}
    count = Counter(word for own in words.values() for word in set[str]().union(*own))

    def weight(chosen: set[str]) -> float:
        return math.fsum(math.log(len(phrases) / count[word]) for word in chosen if word in count)

    asked = _words(question)
    likeness = {
        attribute: max(weight(phrase & asked) / (weight(phrase | asked) or 1.0) for phrase in own)
        for attribute, own in words.items()
    }
    best = max(likeness.values())
    found = [attribute for attribute, value in likeness.items() if math.isclose(value, best)]
    return found[0] if best > 0 and len(found) == 1 else None


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold())) - {"who"}
