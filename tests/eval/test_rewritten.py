"""Bits of rewritten biographies: none for a model that knows texts and pools but nobody, all for one that knows all."""

import math

import numpy as np
import pytest

from biogen.config import DataConfig
from biogen.dataset import EVALUATION, make_dataset
from biogen.pieces import Role
from eval.recall import recall_people
from eval.source import OwnTokens
from tests.biogen.datasets.test_bior import fill
from tests.eval.conftest import SlotModel

PEOPLE = np.arange(4)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    options = {"texts": str(fill(tmp_path_factory.mktemp("rewritten")))}
    return make_dataset(DataConfig(dataset="bior", dataset_options=options, people=4, tokenizer="word"))


def options_of(dataset, column, known):
    """The token sequences that a slot of the measured texts can hold, with their probabilities."""
    spliced = dataset.pieces.splice(column[:, None])
    texts = [tuple(text.tolist()) for text in np.split(spliced.tokens, spliced.offsets[1:-1])]
    (role,) = {dataset.pieces.roles[piece] for piece in column}
    attribute = dataset.role_names.get(role)
    if role == Role.OTHER or known or attribute == "company_city":
        return dict.fromkeys(texts, 1 / len(set(texts)))
    count = dataset.names if attribute == "name" else dataset.people.config.pools.values[attribute]
    nobodys = [(10_000 + number,) for number in range(count - len(set(texts)))]
    return dict.fromkeys([*texts, *nobodys], 1 / count)


def bits_of(dataset, known):
    """The bits of a model that knows the measured texts, and each person's facts or the pools alone."""
    outlines = dataset.outlines(PEOPLE, EVALUATION)
    columns = [options_of(dataset, column, known) for column in outlines.T]
    spliced = [dataset.pieces.splice(column[:, None]) for column in outlines.T]
    rows = [[tuple(t.tokens[t.offsets[p] : t.offsets[p + 1]].tolist()) for t in spliced] for p in PEOPLE]

    def slots(done):
        told = next((row for row in rows if len(done) > 1 and row[1] == done[1]), None)
        if known and told is not None and len(done) < len(told):
            return {told[len(done)]: 1.0}
        return columns[len(done)] if len(done) < len(columns) else {(0,): 1.0}

    found = recall_people(SlotModel(slots), OwnTokens(dataset), PEOPLE, EVALUATION)
    return found, dataset.bits(found.name.mean(), found.value.mean())


def test_a_model_of_the_pools_alone_has_exactly_no_bits(dataset):
    found, bits = bits_of(dataset, known=False)
    assert found.name.mean() == pytest.approx(math.log(dataset.names))
    assert found.value.mean() == pytest.approx(math.log(2) * dataset.log2_values)
    assert bits.total == pytest.approx(0, abs=1e-6)


def test_a_model_that_knows_everybody_has_all(dataset):
    found, bits = bits_of(dataset, known=True)
    assert found.value.mean() == pytest.approx(0, abs=1e-9)
    assert bits.total == pytest.approx(dataset.max_bits().total)
