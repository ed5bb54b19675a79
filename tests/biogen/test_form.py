"""Texts with blanks are the texts of the people who fill them, and are made without knowing anybody."""

import numpy as np
import pytest

from biogen.config import EVALUATION, DataConfig
from biogen.dataset import make_dataset
from biogen.datasets import DATASETS
from biogen.rng import Stream, hidden_people, permute, random_words

POOLS = {
    **{"first_names": 6, "middle_names": 7, "last_names": 8, "birth_cities": 9, "universities": 10, "majors": 5},
    **{"employers": 11, "months": 3, "days": 4, "years": 5},
}
BIOS = {"dataset": "bios", "people": 20, "pools": POOLS, "templates": 24, "tokenizer": "word"}
KINDS = [
    BIOS,
    BIOS | {"variant": "single+fullname", "domain_token": True},
    BIOS | {"variant": "multi3+permute", "company_city": "none"},
    BIOS | {"company_city": "before"},
    {"dataset": "biod", "people": 20, "biod": {"K": 3, "C": 2, "D": 6, "L": 2, "T": 8}},
    {"dataset": "random", "people": 20, "dataset_options": {"tokens": 16, "length": 40}},
]


def filled(form, row, person):
    """A text whose blanks are filled with what is known of a person, read from its beginning."""
    left, chosen, last = dict(person), {}, {}
    for slot, number in enumerate(form.outlines[row].tolist()):
        if number >= 0:
            continue
        blank = form.blanks[-1 - number]
        if blank.follows is not None:
            chosen[slot] = last[blank.follows]
            continue
        begun = left[blank.field]
        fitting = [c for c, string in enumerate(blank.strings) if (begun + " ").startswith(f"{string.strip()} ")]
        chosen[slot] = last[-1 - number] = fitting[0]
        left[blank.field] = begun[len(blank.strings[fitting[0]].strip()) :].strip()
    return "".join(string for _, string in form.render(row, chosen))


@pytest.mark.parametrize("options", KINDS)
def test_filled_forms_are_the_texts_that_are_measured(options):
    config, index = DataConfig(**options), np.arange(20)
    with hidden_people():
        form = DATASETS[config.dataset].form(config, index, EVALUATION)
    dataset = make_dataset(config)
    texts = [dataset.pieces.render(row)[0] for row in dataset.outlines(index, EVALUATION)]
    people = dataset.describe(index)
    if config.dataset == "random":
        people = [{"name": person["name"], "rest": person["rest"]} for person in people]
    assert [filled(form, row, person) for row, person in enumerate(people)] == texts


def test_another_seed_has_other_sentences_and_the_same_blanks():
    forms = [DATASETS["bios"].form(DataConfig(**BIOS, seed=seed), np.arange(20), EVALUATION) for seed in (0, 1)]
    assert not np.array_equal(forms[0].outlines, forms[1].outlines)
    assert forms[0].blanks == forms[1].blanks
    assert forms[0].strings == forms[1].strings


def test_hidden_people_cannot_be_drawn():
    index = np.arange(3)
    before = permute(index, 100, 5, Stream.NAMES)
    with hidden_people():
        random_words(5, Stream.ORDER, index, 2)
        for draw in (lambda: random_words(5, Stream.ATTRIBUTES, index, 2), lambda: permute(index, 9, 5, Stream.NAMES)):
            with pytest.raises(RuntimeError, match="hidden"):
                draw()
        with pytest.raises(RuntimeError, match="hidden"):
            make_dataset(DataConfig(**KINDS[4]))
    np.testing.assert_array_equal(permute(index, 100, 5, Stream.NAMES), before)


def test_a_city_before_its_employer_is_refused():
    config = DataConfig(**BIOS, company_city="before", measured_order="as-trained")
    with pytest.raises(ValueError, match=r"company_city: "):
        DATASETS["bios"].form(config, np.arange(20), EVALUATION)
    with pytest.raises(ValueError, match=r"dataset: bioR is not allowed"):
        DATASETS["bior"].form(config, np.arange(20), EVALUATION)


def test_sets_are_shown_by_the_values_that_have_them():
    dataset = make_dataset(DataConfig(**KINDS[4]))
    people = dataset.describe(np.arange(200))
    assert dataset.share_of_sets(people) == 1
    one = dataset.share_of_sets(people[:1])
    assert one in {n / 18 for n in range(3, 7)}
    assert make_dataset(DataConfig(**BIOS)).share_of_sets([]) == 1
