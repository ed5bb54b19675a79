"""Biographies with blanks in place of names and values.

In: the options of bioS and person indices. Out: a `Form`, made from pools, templates, and the draws of sentences alone.
"""

import numpy as np
from jaxtyping import Int

from biogen.bank import read_bank
from biogen.config import DataConfig, Variant
from biogen.dataset import special_tokens
from biogen.form import Blank, Form
from biogen.pieces import Role, in_order
from biogen.pools import Pools, load_pools
from biogen.sentences import ROLES, draw_sentences, stated
from biogen.templates import load_bank, split_template

_NAMES = ("first_name", "middle_name", "last_name")
_AGAIN = " again"


def biography_form(config: DataConfig, index: Int[np.ndarray, " n"], exposure: int) -> Form:
    """The texts of people at an exposure. Raises ValueError if one names the company city before the employer."""
    own, attributes, fullname = read_bank(config.bank), stated(config), Variant.parse(config.variant).fullname
    blanks = _blanks(load_pools(config.pools, config.locale, own))
    number = {name: -1 - place for place, name in enumerate(blanks)}
    bank = load_bank(config.templates, own)
    strings, n, k = [""], len(index), len(attributes)
    counts = [len(bank.templates[name]) for name in attributes]
    templates, order = draw_sentences(config, counts, index, exposure, config.seed)
    if "company_city" in attributes:
        city, employer = (np.argmax(order == attributes.index(name), axis=1) for name in ("company_city", "employer"))
        if (city < employer).any():
            raise ValueError(
                "company_city: its texts for measuring name the city before the employer, and so tell a part of it; "
                "must stand after it, or be none"
            )
    sentences = np.zeros((n, k, 4), dtype=np.int64)  # before, value, value, after
    for i, name in enumerate(attributes):
        for side, column in enumerate((0, 3)):
            sentences[:, i, column] = len(strings) + templates[:, i]
            strings += [split_template(template)[side] for template in bank.templates[name]]
        sentences[:, i, 1] = number["day" if name == "birth_date" else name]
        sentences[:, i, 2] = number["year"] if name == "birth_date" else 0
    subjects = np.zeros((n, k, 3 if fullname else 1), dtype=np.int64)
    if fullname:
        subjects[:, 1:] = [number[name + _AGAIN] for name in _NAMES]
    else:
        subjects[:, 1] = number["pronoun"]
        subjects[:, 2:] = number["pronoun" + _AGAIN]
    names = np.tile([number[name] for name in _NAMES], (n, 1))
    body = np.concatenate([subjects, in_order(sentences, order)], axis=2).reshape(n, -1)
    head = tuple(special_tokens(config)[1:])
    return Form(head, strings, list(blanks.values()), np.concatenate([names, body], axis=1))


def _blanks(pools: Pools) -> dict[str, Blank]:
    """The blanks by name: what is drawn, then what follows from it."""

    def spaced(values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f" {value}" for value in values)

    dates = tuple(f" {month} {day}," for month in pools.months for day in pools.days)
    found = {
        "first_name": Blank("first_name", Role.NAME, pools.first_names),
        "middle_name": Blank("middle_name", Role.NAME, spaced(pools.middle_names)),
        "last_name": Blank("last_name", Role.NAME, spaced(pools.last_names)),
        "pronoun": Blank("pronoun", ROLES["pronoun"], spaced(pools.pronouns)),
        "day": Blank("birth_date", ROLES["birth_date"], dates),
        "year": Blank("birth_date", ROLES["birth_date"], spaced(pools.years)),
        "birth_city": Blank("birth_city", ROLES["birth_city"], spaced(pools.birth_cities)),
        "university": Blank("university", ROLES["university"], spaced(pools.universities)),
        "major": Blank("major", ROLES["major"], spaced(pools.majors)),
        "employer": Blank("employer", ROLES["employer"], spaced(pools.employers)),
    }
    place = {name: number for number, name in enumerate(found)}
    city = spaced(pools.company_cities)
    found["company_city"] = Blank("company_city", ROLES["company_city"], city, follows=place["employer"])
    for name in ("pronoun", *_NAMES):
        strings = spaced(pools.first_names) if name == "first_name" else found[name].strings
        found[name + _AGAIN] = Blank(name, Role.OTHER, strings, follows=place[name])
    return found
