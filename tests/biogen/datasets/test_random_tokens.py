"""Random tokens: uniform, distinct, and the estimator's closed forms on them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from biogen.config import DataConfig
from biogen.dataset import EVALUATION, Dataset, draw_texts, make_dataset


def make(people: int = 200, seed: int = 0, **options: int) -> Dataset:
    return make_dataset(DataConfig(dataset="random", dataset_options=options, people=people, seed=seed))


def rows(dataset: Dataset, exposure: int = 0) -> np.ndarray:
    texts = draw_texts(dataset, np.arange(dataset.config.people), exposure)
    return texts.tokens.reshape(len(texts), -1)


@settings(max_examples=20, deadline=None)
@given(tokens=st.integers(2, 3000), length=st.integers(40, 90))
def test_every_text_is_told_apart_by_its_name_and_holds_all_its_bits(tokens: int, length: int):
    dataset = make(people=50, tokens=tokens, length=length)
    assert 2**32 <= dataset.names < 2**32 * tokens
    assert math.log2(dataset.names) + dataset.log2_values == pytest.approx(length * math.log2(tokens))
    name_length = round(math.log(dataset.names, tokens))
    names = {tuple(row[1 : 1 + name_length]) for row in rows(dataset).tolist()}
    assert len(names) == 50
    assert rows(dataset).shape == (50, 1 + length) == (50, dataset.longest_text)


def test_the_most_bits_are_those_of_a_set_of_texts():
    dataset = make(people=300, tokens=16, length=40)
    assert dataset.max_bits().total == pytest.approx(300 * (40 * 4 - math.log2(300)))
    ignorant = dataset.bits(math.log(dataset.names), dataset.log2_values * math.log(2))
    assert ignorant.total == pytest.approx(0, abs=1e-6)


def test_tokens_are_uniform_at_every_place():
    drawn = rows(make(people=8000, tokens=8))[:, 1:]
    for place in range(drawn.shape[1]):
        counts = np.bincount(drawn[:, place] - 1, minlength=8)
        assert ((counts - 1000) ** 2 / 1000).sum() < 7 + 6 * math.sqrt(14)
    both = np.bincount((drawn[:, 7] - 1) * 8 + drawn[:, 8] - 1, minlength=64)
    assert ((both - 125) ** 2 / 125).sum() < 63 + 6 * math.sqrt(126)


def test_a_person_has_one_text_whatever_the_exposure_and_the_others():
    dataset = make()
    assert (rows(dataset) == rows(dataset, 7)).all()
    assert (rows(dataset) == rows(dataset, EVALUATION)).all()
    assert (rows(dataset)[:20] == rows(make(people=20))).all()
    assert (rows(dataset) != rows(make(seed=1))).any(axis=1).all()


def test_splicing_equals_tokenizing():
    dataset = make(people=30, tokens=11)
    for row, outline in zip(rows(dataset), dataset.outlines(np.arange(30), 0), strict=True):
        text, spans = dataset.pieces.render(outline)
        assert row.tolist() == [0, *dataset.tokenizer.encode(text)]
        assert spans[0].start == 0
        assert spans[-1].end == len(text)


def test_the_vocabulary_is_what_can_occur():
    dataset = make(people=500, tokens=40)
    assert dataset.tokenizer.vocab == 41
    assert set(np.unique(rows(dataset))) == set(range(41))
    covered = {token for text in dataset.covering_texts() for token in dataset.tokenizer.encode(text)}
    assert covered == set(range(1, 41))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": 1}, "dataset_options.tokens: 1 "),
        ({"length": 39}, "dataset_options.length: 39 "),
        ({"width": 3}, "dataset_options.width: "),
    ],
)
def test_impossible_options_are_refused(options: dict[str, int], message: str):
    with pytest.raises(ValidationError, match=message):
        make(**options)
