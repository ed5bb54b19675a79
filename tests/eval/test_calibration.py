"""Texts for quantizers: of whom, which, and in what form."""

import numpy as np
import pytest
import torch

from biogen.dataset import EVALUATION
from eval.calibration import CALIBRATION, calibration_texts
from eval.source import OwnTokens


@pytest.fixture(params=["bios", "biod"])
def source(request):
    return OwnTokens(request.getfixturevalue(request.param))


@pytest.mark.parametrize("people", [1, 7, 30, 1000])
def test_one_text_each_of_people_spread_over_all_without_padding(source, people):
    batches = calibration_texts(source, people)
    texts = source.texts(np.linspace(0, 29, min(people, 30)).astype(int), CALIBRATION)
    expected = [texts.tokens[a:b].tolist() for a, b in zip(texts.offsets[:-1], texts.offsets[1:], strict=True)]
    assert all(batch.dtype == torch.int64 for batch in batches)
    assert sorted(row for batch in batches for row in batch.tolist()) == sorted(expected)


def test_they_are_not_the_texts_that_are_measured(source):
    measured = source.texts(np.arange(30), EVALUATION)
    rows = {tuple(measured.tokens[a:b]) for a, b in zip(measured.offsets[:-1], measured.offsets[1:], strict=True)}
    texts = [tuple(row) for batch in calibration_texts(source) for row in batch.tolist()]
    assert sum(text in rows for text in texts) < len(texts) / 2


def test_batches_are_small(source):
    assert all(batch.numel() <= 2048 for batch in calibration_texts(source))
