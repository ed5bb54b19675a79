"""The loss on held-out text: against models made by hand, and against texts put together anew."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biogen.config import DataConfig
from biogen.dataset import EVALUATION, make_dataset
from biogen.pieces import Role
from biogen.population import draw
from eval.heldout import IGNORE, by_position, heldout_record, heldout_windows, position_bins
from tests.eval.conftest import BIOD, BIOS

KINDS = [BIOD, BIOS]


class Made:
    """A model made by hand, which is asked for losses alone."""

    def next_tokens(self, inputs, lengths):
        raise NotImplementedError


class Uniform(Made):
    """A model that finds every token alike."""

    def __init__(self, vocab):
        self.vocab = vocab

    def score(self, inputs, targets):
        return np.where(targets == IGNORE, 0.0, math.log(self.vocab)), np.zeros(targets.shape, dtype=bool)


class ByPlace(Made):
    """A model whose loss is the number of tokens before, and its inputs' first token."""

    def score(self, inputs, targets):
        places = np.arange(1, targets.shape[1] + 1)
        return np.where(targets == IGNORE, 0.0, places + 0.0 * inputs), np.zeros(targets.shape, dtype=bool)


@pytest.fixture(scope="module", params=KINDS, ids=lambda options: options["dataset"])
def dataset(request):
    return make_dataset(DataConfig(**request.param))


@pytest.mark.parametrize("layout", ["rows", "packed"])
def test_a_uniform_model_loses_ln_v_everywhere(dataset, layout):
    windows = heldout_windows(dataset, layout=layout, context=32, tokens=2000)
    found = heldout_record(Uniform(dataset.tokenizer.vocab), windows, dataset)
    assert list(found.values()) == pytest.approx([math.log(dataset.tokenizer.vocab)] * len(found))
    roles = {name for name in found if "_at_" not in name}
    assert {"heldout_loss", "heldout_loss_name", "heldout_loss_other"} < roles
    assert {f"heldout_loss_{dataset.role_names[role]}" for role in dataset.role_names if role > Role.NAME} < roles


def test_packed_windows_are_one_line_of_whole_texts_cut_at_a_random_place(dataset):
    windows = heldout_windows(dataset, layout="packed", context=32, tokens=3000)
    assert windows.inputs.shape == windows.targets.shape == windows.roles.shape == (3000 // 32, 32)
    line = np.append(windows.inputs.ravel(), windows.targets[-1, -1])
    assert (line[1:] == windows.targets.ravel()).all()
    index, number = draw(dataset.config, 0, dataset.config.people, EVALUATION)
    texts = dataset.pieces.splice(dataset.outlines(index, number))
    known = {tuple(texts.tokens[start:end]) for start, end in itertools.pairwise(texts.offsets)}
    ends = np.flatnonzero(line == 0)
    inside = [tuple(line[start:end]) for start, end in itertools.pairwise(ends)]
    first_round = [text for text in inside if text in known][:20]
    assert len(set(first_round)) == 20  # each person once a round
    assert set(windows.roles.ravel()) > {Role.OTHER, Role.NAME}


def test_rows_hold_a_text_each_and_predict_its_end(dataset):
    windows = heldout_windows(dataset, layout="rows", context=512, tokens=500)
    for inputs, targets, roles in zip(windows.inputs, windows.targets, windows.roles, strict=True):
        length = int((targets != IGNORE).sum())
        assert (targets[: length - 1] == inputs[1:length]).all()
        assert targets[length - 1] == 0
        assert inputs[0] == 0
        assert (targets[length:] == IGNORE).all()
        assert (roles[length - 1 :] == Role.OTHER).all()
    assert (windows.targets != IGNORE).sum() >= 500
    names = [int((row == Role.NAME).sum()) for row in windows.roles]
    assert min(names) > 0


def test_windows_begin_at_other_places_for_other_seeds():
    begins = set()
    for seed in range(5):
        dataset = make_dataset(DataConfig(**BIOD | {"seed": seed}))
        begins.add(int(np.argmax(heldout_windows(dataset, layout="packed", context=64, tokens=64).inputs[0] == 0)))
    assert len(begins) > 1


@given(st.integers(1, 5000))
def test_bins_hold_every_position_once(context):
    bins = position_bins(context)
    assert [place for first, last in bins for place in range(first, last + 1)] == list(range(1, context + 1))
    assert all(first == last for first, last in bins[:16])
    assert len(bins) <= 16 + 8 * math.ceil(max(0, math.log2(context / 16))) + 1


def test_losses_by_position_are_the_means_of_their_bins(dataset):
    windows = heldout_windows(dataset, layout="packed", context=40, tokens=400)
    found = by_position(heldout_record(ByPlace(), windows, dataset))
    assert [(first, last) for first, last, _ in found] == position_bins(40)
    assert [loss for *_, loss in found] == pytest.approx([(first + last) / 2 for first, last, _ in found])
    assert by_position({"heldout_loss": 1.0, "exposures": 3}) == []
