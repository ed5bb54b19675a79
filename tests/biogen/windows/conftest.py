"""Batches of a small BioS, drawn in small chunks."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

import biogen.windows
from biogen.config import DataConfig, trained_on_questions
from biogen.datasets.bios import BioS
from biogen.pools import PoolSizes
from tests.biogen.batches import Text, split, useful

POOLS = PoolSizes(first_names=40, middle_names=30, last_names=25, birth_cities=9, universities=8, majors=7, employers=6)
CHUNK, WHOLE_CHUNK = 37, biogen.windows._CHUNK_PEOPLE


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(biogen.windows, "_CHUNK_PEOPLE", CHUNK)


@pytest.fixture
def _whole_chunks(_small_chunks: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(biogen.windows, "_CHUNK_PEOPLE", WHOLE_CHUNK)


@pytest.fixture(scope="module")
def bios() -> Callable[..., BioS]:
    """BioS with small pools, a whole word a token; made once for all people, seeds and shares of junk."""
    made: dict[tuple, BioS] = {}

    def make(people: int = 100, **options: object) -> BioS:
        config = DataConfig(people=people, pools=POOLS, templates=30, tokenizer="word", **options)
        key = config.variant, config.domain_token, config.questions
        if key not in made:
            made[key] = BioS(config)
        made[key].config = config
        return made[key]

    return make


def useful_texts(dataset: BioS, exposures: int) -> Counter[Text]:
    texts = useful(dataset, exposures)
    if dataset.config.questions == "half":
        asked = np.arange(trained_on_questions(dataset.config.people))
        for exposure in range(exposures):
            texts.update(split(dataset.pieces.splice(dataset.question_outlines(asked, exposure))))
    return texts
