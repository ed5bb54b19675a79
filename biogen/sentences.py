"""The sentences of biographies as random draws: which template each attribute has, and the order of the sentences.

In: the options of bioS and person indices. Out: numbers. They depend on the seed, but on nobody's name or values.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from biogen.config import EVALUATION, HELD_OUT, DataConfig, Variant
from biogen.pieces import Role
from biogen.rng import Stream, below, random_order, random_words
from biogen.templates import ATTRIBUTES

ROLES = {attribute: Role.VALUES + place for place, attribute in enumerate(("pronoun", *ATTRIBUTES))}
"""The role of each attribute's tokens."""


def stated(config: DataConfig) -> tuple[str, ...]:
    """The attributes that texts state, a sentence each."""
    return tuple(name for name in ATTRIBUTES if name != "company_city" or config.company_city != "none")


def draw_sentences(
    config: DataConfig,
    templates: Sequence[int],
    index: Int[np.ndarray, " n"],
    exposure: int | Int[np.ndarray, " n"],
    seed: int,
) -> tuple[Int[np.ndarray, "n k"], Int[np.ndarray, "n k"]]:
    """The template of each attribute and the order of the k sentences, in the text of each person at an exposure.

    templates: how many each attribute has.
    """
    variant, sentences = Variant.parse(config.variant), len(templates)
    text = exposure if variant.texts is None else exposure % variant.texts
    words = random_words(seed, Stream.SENTENCES, index, sentences, text)
    chosen = np.stack([below(words[:, i], count) for i, count in enumerate(templates)], axis=1)
    if variant.permute:
        order = random_order(random_words(seed, Stream.ORDER, index, sentences, text))
    else:
        order = np.broadcast_to(np.arange(sentences), (len(index), sentences))
    return chosen, place_city(order, _city_place(config, variant, exposure))


def _city_place(config: DataConfig, variant: Variant, exposure: int | Int[np.ndarray, " n"]) -> str:
    """Where the company city stands in the texts of an exposure: an option `company_city`."""
    fixed = variant.texts is not None  # and so measured as it was learned
    measured = bool(np.all((np.asarray(exposure) >= EVALUATION) & (np.asarray(exposure) < HELD_OUT)))
    if not measured or fixed or config.measured_order == "as-trained":
        return config.company_city
    return "none" if config.company_city == "none" else "after"


def place_city(order: Int[np.ndarray, "n k"], place: str) -> Int[np.ndarray, "n k"]:
    """The same order of sentences, but the company city stands "after" the employer or "before" it: they change places.

    A city that stands before gives the employer away: a model that knows which employers sit in a city, but not who
    works there, would be credited with bits of every person whose text names the city first.
    """
    if place not in ("after", "before"):
        return order
    pair = ATTRIBUTES.index("employer"), ATTRIBUTES.index("company_city")
    first, second = pair if place == "after" else pair[::-1]
    swap = (np.argmax(order == second, axis=1) < np.argmax(order == first, axis=1))[:, None]
    return np.where(swap & (order == first), second, np.where(swap & (order == second), first, order))
