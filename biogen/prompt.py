"""The prompt with which a language model is asked to rewrite a biography.

In: a person's facts, and a biography of bioS. Out: a prompt. What comes back is checked by `biogen/facts.py`.
"""

from biogen.facts import facts_of
from biogen.people import Person
from biogen.templates import ATTRIBUTES

_RULES = [
    "Begin with the full name, and do not repeat it or any part of it: write {pronoun} from then on.",
    "Write each of the values above exactly once, letter by letter as it stands there.",
    "Name no other person, place, company, school, subject, date or number.",
    "Do not write about anything else, and do not comment. Answer with the biography alone, in one paragraph.",
]
_ORDER = "Name the city of birth before the employer, and the employer before the city of work."
"""What makes a text fit to measure."""
_CALLED = {"company_city": "city of work", "birth_city": "city of birth"}
"""What attributes are called where it is not their name."""


def make_prompt(person: Person, biography: str, *, fit_to_measure: bool) -> str:
    """What to ask for one text about a person.

    biography: a text of bioS about the person, to be rewritten. fit_to_measure: ask for the order of facts in which
    none gives another away.
    """
    facts = facts_of(person)
    listed = [f"- {_called(attribute)}: {facts[attribute]}" for attribute in ("name", *ATTRIBUTES)]
    rules = _RULES + fit_to_measure * [_ORDER]
    written = [f"{number}. {rule.format(pronoun=person.pronoun)}" for number, rule in enumerate(rules, start=1)]
    return "\n".join(
        [
            "Rewrite this short biography of an invented person in your own words, in other sentences.",
            "",
            f"Biography: {biography}",
            "",
            "Values:",
            *listed,
            "",
            "Rules:",
            *written,
        ]
    )


def _called(attribute: str) -> str:
    return _CALLED.get(attribute, attribute.replace("_", " "))
