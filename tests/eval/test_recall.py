"""Sums by role are those of a plain loop, whoever stands beside whom; and a known model has its closed form."""

import math
from collections import defaultdict

import numpy as np
import pytest
import torch

from biogen.config import DataConfig
from biogen.dataset import EVALUATION, make_dataset
from biogen.pieces import Role
from eval import recall
from eval.recall import IGNORE, pad_rows, recall_people, recall_texts, score_texts
from eval.source import OwnTokens

PEOPLE = np.arange(30)


@pytest.fixture(params=["bios", "biod"])
def dataset(request):
    return request.getfixturevalue(request.param)


def plain_losses(gpt, tokens):
    """−ln Pr(token) of every token but the first, from a forward pass of its own for each."""
    losses, likeliest = [0.0], [int(tokens[0])]
    with torch.no_grad():
        for place in range(1, len(tokens)):
            hidden = gpt(torch.tensor(np.array([tokens[:place]])))[0, -1].double()
            logits = gpt.embedding.weight.double() @ hidden
            losses.append(float(-torch.log_softmax(logits, 0)[tokens[place]]))
            likeliest.append(int(logits.argmax()))
    return losses, likeliest


def test_sums_by_role_are_those_of_a_plain_loop(dataset, read_gpt):
    model = read_gpt(dataset)
    people = np.array([4, 0, 17])
    found = recall_people(model, OwnTokens(dataset), people, EVALUATION)
    texts = dataset.pieces.splice(dataset.outlines(people, EVALUATION))
    for i in range(len(people)):
        part = slice(texts.offsets[i], texts.offsets[i + 1])
        tokens, roles = texts.tokens[part], texts.roles[part]
        losses, likeliest = plain_losses(model.model, tokens)
        sums, right = defaultdict(float), defaultdict(lambda: True)
        for token, role, loss, best in zip(tokens, roles, losses, likeliest, strict=True):
            sums[int(role)] += loss
            right[int(role)] &= token == best
        assert found.name[i] == pytest.approx(sums[Role.NAME], rel=1e-5)
        for name, own in dataset.value_roles.items():
            assert found.values[name][i] == pytest.approx(sum(sums[role] for role in own), rel=1e-5)
            if dataset.first_chunk:
                assert found.first_chunks[name][i] == pytest.approx(sums[own[0]], rel=1e-5)
        for name, own in dataset.qa_roles.items():
            assert found.completed[name][i] == all(right[role] for role in own)


def everything(found):
    columns = [found.name, *found.values.values(), *found.first_chunks.values(), *found.completed.values()]
    return np.array([np.asarray(column, dtype=float) for column in columns])


@pytest.mark.parametrize(("tokens", "block"), [(1, 8192), (1 << 13, 7), (400, 11)])
def test_grouping_changes_nothing(dataset, read_gpt, monkeypatch, tokens, block):
    source, model = OwnTokens(dataset), read_gpt(dataset)
    expected = everything(recall_people(model, source, PEOPLE, EVALUATION))
    monkeypatch.setattr(recall, "_BATCH_TOKENS", tokens)
    monkeypatch.setattr(recall, "_BLOCK", block)
    found = everything(recall_people(model, source, PEOPLE, EVALUATION))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_order_of_people_changes_nothing(dataset, read_gpt):
    source, model = OwnTokens(dataset), read_gpt(dataset)
    expected = everything(recall_people(model, source, PEOPLE, EVALUATION))
    order = np.random.default_rng(0).permutation(PEOPLE)
    found = everything(recall_people(model, source, order, EVALUATION))
    np.testing.assert_allclose(found, expected[:, order], rtol=1e-5)


def test_a_value_loss_is_a_sum_for_bios_and_a_mean_for_biod(bios, biod, read_gpt):
    found = recall_people(read_gpt(bios), OwnTokens(bios), PEOPLE, EVALUATION)
    assert set(found.values) == {"pronoun", "birth_date", "birth_city", "university", "major", "employer"}
    assert set(found.completed) == {"birth_date", "birth_city", "university", "major", "employer", "company_city"}
    np.testing.assert_allclose(found.value, sum(found.values.values()))
    assert found.value1 is None
    found = recall_people(read_gpt(biod), OwnTokens(biod), PEOPLE, EVALUATION)
    assert set(found.values) == set(found.completed) == set(found.first_chunks) == {"a0", "a1", "a2"}
    np.testing.assert_allclose(found.value, sum(found.values.values()) / 3)
    np.testing.assert_allclose(found.value1, sum(found.first_chunks.values()) / 3)
    assert (found.value >= found.value1).all()


def test_a_value_of_one_chunk_is_its_first_chunk(read_gpt):
    dataset = make_dataset(DataConfig(dataset="biod", people=9, biod={"K": 2, "C": 1, "D": 4, "L": 2, "T": 5}))
    found = recall_people(read_gpt(dataset), OwnTokens(dataset), np.arange(9), EVALUATION)
    np.testing.assert_array_equal(found.value, found.value1)


def test_knowing_the_pools_alone_costs_a_uniform_draw(bios, slot_model):
    model = slot_model(bios, lambda i, attribute: None, people_known=False)
    found = recall_people(model, OwnTokens(bios), PEOPLE, EVALUATION)
    np.testing.assert_allclose(found.name, math.log(bios.names))
    for name, losses in found.values.items():
        np.testing.assert_allclose(losses, math.log(bios.config.pools.values[name]))


def test_every_attribute_is_measured_on_its_own(bios, slot_model):
    chances = dict(zip(bios.value_roles, (0.9, 0.5, 0.25, 0.1, 0.99, 0.3), strict=True))
    model = slot_model(bios, lambda i, attribute: chances.get(attribute, 1.0))
    found = recall_people(model, OwnTokens(bios), PEOPLE, EVALUATION)
    np.testing.assert_allclose(found.name, math.log(30))
    for name, losses in found.values.items():
        np.testing.assert_allclose(losses, -math.log(chances[name]))
    # A value is completed where the truth is the likeliest: from one half on it surely is.
    assert found.completed["birth_date"].all()
    assert found.completed["company_city"].all()


@pytest.mark.parametrize("variant", ["single", "multi2+permute", "fresh+fullname"])
def test_variants_name_their_people_once(variant, bios, slot_model):
    dataset = make_dataset(DataConfig(**bios.config.model_dump() | {"variant": variant, "domain_token": True}))
    model = slot_model(dataset, lambda i, attribute: 0.5)
    found = recall_people(model, OwnTokens(dataset), PEOPLE, EVALUATION)
    np.testing.assert_allclose(found.name, math.log(30))
    assert ("pronoun" in found.values) == ("fullname" not in variant)
    np.testing.assert_allclose(found.value, len(found.values) * math.log(2))


def test_the_first_token_is_given(dataset, read_gpt):
    texts = OwnTokens(dataset).texts(np.arange(5), EVALUATION)
    nats, correct = score_texts(read_gpt(dataset), texts)
    assert (nats[texts.offsets[:-1]] == 0).all()
    assert correct[texts.offsets[:-1]].all()
    assert (np.delete(nats, texts.offsets[:-1]) > 0).all()


def test_rows_are_padded_behind_their_end(bios):
    texts = OwnTokens(bios).texts(np.arange(6), EVALUATION)
    rows = np.array([5, 2])
    padded = pad_rows(texts, rows)
    assert padded.shape == (2, texts.lengths[rows].max())
    for row, line in zip(rows, padded, strict=True):
        own = texts.tokens[texts.offsets[row] : texts.offsets[row + 1]]
        np.testing.assert_array_equal(line[: len(own)], own)
        assert (line[len(own) :] == IGNORE).all()


def test_one_text_is_enough(bios, read_gpt):
    source = OwnTokens(bios)
    alone = recall_texts(read_gpt(bios), source.texts(np.array([7]), EVALUATION), bios)
    among = recall_people(read_gpt(bios), source, PEOPLE, EVALUATION)
    np.testing.assert_allclose(everything(alone)[:, 0], everything(among)[:, 7], rtol=1e-5)
