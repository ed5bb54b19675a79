"""Known models have exactly their bits: none, all, and what lies between."""

import math

import numpy as np
import pytest
import torch

from biogen.config import DataConfig
from biogen.dataset import EVALUATION, make_dataset
from eval.recall import recall_people
from eval.record import make_record, measure_copies
from eval.source import OwnTokens
from train.inference import Inference

PEOPLE = 30
PARAMETERS = 1000


def record_of(model, dataset, people=PEOPLE, interval=False):
    recall = recall_people(model, OwnTokens(dataset), np.arange(people), EVALUATION)
    return make_record(recall, dataset, PARAMETERS, interval=interval)


def name_bits(dataset):
    return PEOPLE * math.log2(dataset.names / PEOPLE)


@pytest.fixture(params=["bios", "biod"])
def dataset(request):
    return request.getfixturevalue(request.param)


def test_the_pools_alone_are_no_bits_of_bios(bios, slot_model):
    record = record_of(slot_model(bios, lambda i, attribute: None, people_known=False), bios, interval=True)
    assert record["loss_name"] == pytest.approx(math.log(bios.names))
    assert record["loss_value"] == pytest.approx(math.log(2) * bios.log2_values)
    assert record["bits"] == pytest.approx(0, abs=1e-8)
    assert record["bits_per_param_high"] == pytest.approx(0, abs=1e-8)
    assert record["qa_accuracy"] < 0.5


def test_the_symbols_alone_are_no_bits_of_biod(slot_model):
    # With D = T^L every string is in the set: knowing the set is knowing the symbols.
    dataset = make_dataset(DataConfig(dataset="biod", people=PEOPLE, biod={"K": 3, "C": 2, "D": 8, "L": 1, "T": 8}))
    record = record_of(slot_model(dataset, lambda i, attribute: None, people_known=False), dataset)
    assert record["loss_value"] == pytest.approx(2 * math.log(8))
    assert record["loss_value1"] == pytest.approx(math.log(8))
    assert record["bits"] == pytest.approx(0, abs=1e-8)


def test_the_sets_alone_are_the_third_term_of_biod(slot_model):
    K, C, D, L, T = 2, 2, 5, 2, 8
    shape = {"K": K, "C": C, "D": D, "L": L, "T": T}
    dataset = make_dataset(DataConfig(dataset="biod", people=PEOPLE, biod=shape))
    record = record_of(slot_model(dataset, lambda i, attribute: None, people_known=False), dataset)
    assert record["loss_value1"] == pytest.approx(math.log(D))
    assert record["bits_name"] == pytest.approx(0, abs=1e-8)
    assert record["bits_value"] == pytest.approx(0, abs=1e-8)
    assert record["bits"] == pytest.approx(K * D * math.log2(T**L / D**2))


def test_perfect_recall_is_all_bits(dataset, slot_model):
    record = record_of(slot_model(dataset, lambda i, attribute: 1.0), dataset)
    most = dataset.max_bits()
    assert record["loss_name"] == pytest.approx(math.log(PEOPLE))
    assert record["loss_value"] == 0
    assert record["bits"] == pytest.approx(most.total, rel=1e-12) == pytest.approx(record["max_bits"], rel=1e-12)
    assert record["bits_name"] == pytest.approx(name_bits(dataset))
    assert record["bits_per_param"] == pytest.approx(most.total / PARAMETERS)
    assert record["bits_lower_bound"] < record["bits"]
    accuracies = {key: value for key, value in record.items() if key.startswith("qa_accuracy")}
    assert len(accuracies) == 1 + len(dataset.qa_roles)
    assert set(accuracies.values()) == {1.0}


def test_a_part_of_the_attributes_of_bios(bios, slot_model):
    known = {"birth_date", "major", "company_city"}
    record = record_of(slot_model(bios, lambda i, attribute: 1.0 if attribute in known else None), bios)
    values = bios.config.pools.values
    expected = PEOPLE * (math.log2(values["birth_date"]) + math.log2(values["major"]))
    assert record["bits_value"] == pytest.approx(expected)
    assert record["bits"] == pytest.approx(name_bits(bios) + expected)
    assert record["loss_value_birth_date"] == 0
    assert record["loss_value_employer"] == pytest.approx(math.log(values["employer"]))
    assert record["qa_accuracy_company_city"] == record["qa_accuracy_major"] == 1
    assert record["qa_accuracy_employer"] < 0.5


def test_the_company_city_is_asked_for_and_adds_no_bits(bios, slot_model):
    record = record_of(slot_model(bios, lambda i, attribute: None if attribute == "company_city" else 1.0), bios)
    assert record["bits"] == pytest.approx(record["max_bits"])
    assert "loss_value_company_city" not in record
    assert record["qa_accuracy_company_city"] < 1
    others = [record[f"qa_accuracy_{name}"] for name in bios.qa_roles if name != "company_city"]
    assert record["qa_accuracy"] == pytest.approx(sum(others) / 5)
    assert set(others) == {1.0}


@pytest.mark.parametrize("q", [0.9, 0.3])
def test_every_value_of_bios_with_some_probability(bios, slot_model, q):
    record = record_of(slot_model(bios, lambda i, attribute: q), bios, interval=True)
    bits = PEOPLE * (bios.log2_values + 6 * math.log2(q))
    assert record["bits"] == pytest.approx(name_bits(bios) + max(0, bits))
    # Every person has the same loss, so there is nothing to be uncertain about.
    assert record["bits_per_param_low"] == pytest.approx(record["bits_per_param"])
    assert record["bits_per_param_high"] == pytest.approx(record["bits_per_param"])


@pytest.mark.parametrize("q", [0.9, 0.3])
def test_every_value_of_biod_with_some_probability(biod, slot_model, q):
    K, C, D, L, T = 3, 2, 6, 1, 8
    record = record_of(slot_model(biod, lambda i, attribute: q), biod)
    first = q + (1 - q) * (D ** (C - 1) - 1) / (D**C - 1)
    assert record["loss_value"] == pytest.approx(-math.log(q))
    assert record["loss_value1"] == pytest.approx(-math.log(first))
    value = PEOPLE * K * math.log2(D**C * q)
    value_set = max(0, K * D * math.log2(T**L / D * first))
    assert record["bits"] == pytest.approx(name_bits(biod) + value + value_set)


def test_half_of_the_people(dataset, slot_model):
    record = record_of(slot_model(dataset, lambda i, attribute: 1.0 if i % 2 else None), dataset, interval=True)
    if dataset.config.dataset == "bios":
        everything = PEOPLE * dataset.log2_values
        assert record["loss_value"] == pytest.approx(math.log(2) * dataset.log2_values / 2)
    else:
        everything = PEOPLE * 3 * 2 * math.log2(6)
        assert record["loss_value1"] == pytest.approx(math.log(6) / 2)
    assert record["bits_value"] == pytest.approx(everything / 2)
    assert 0.5 <= record["qa_accuracy"] < 0.75
    assert record["bits_per_param_low"] < record["bits_per_param"] < record["bits_per_param_high"]


def test_an_attribute_of_biod(biod, slot_model):
    record = record_of(slot_model(biod, lambda i, attribute: 1.0 if attribute == "a1" else None), biod)
    assert record["bits_value"] == pytest.approx(PEOPLE * 2 * math.log2(6))
    assert record["loss_value"] == pytest.approx(2 / 3 * 2 * math.log(6))
    assert record["qa_accuracy_a1"] == 1


def test_worse_than_nothing_is_nothing(dataset, slot_model):
    record = record_of(slot_model(dataset, lambda i, attribute: 1e-6, people_known=False), dataset)
    assert record["bits"] == pytest.approx(0, abs=1e-8)


def test_people_who_are_not_measured_count_by_those_who_are(dataset, slot_model):
    model = slot_model(dataset, lambda i, attribute: 0.7)
    some, everyone = record_of(model, dataset, people=7), record_of(model, dataset)
    assert some["bits"] == pytest.approx(everyone["bits"])
    assert some["people_measured"] == 7


def test_one_person_has_no_interval(slot_model):
    dataset = make_dataset(DataConfig(dataset="biod", people=1, biod={"K": 2, "C": 1, "D": 4, "L": 1, "T": 4}))
    record = record_of(slot_model(dataset, lambda i, attribute: 1.0), dataset, people=1, interval=True)
    assert record["bits"] == pytest.approx(math.log2(64) + 2 * 2)
    assert "bits_per_param_low" not in record


def test_every_copy_is_measured_once(biod, random_gpt):
    model = random_gpt(biod.tokenizer.vocab)
    records = measure_copies(
        model,
        lambda copy: Inference(copy, torch.device("cpu")),
        OwnTokens(biod),
        PARAMETERS,
        schemes=("int4", "none", "rtn-int4-g8", "int4", "gptq-int4", "rtn-int4+embedding"),
        people=20,
    )
    assert [record["quantization"] for record in records] == ["none", "rtn-int4+embedding", "rtn-int4-g8", "gptq-int4"]
    plain, rows, groups, gptq = records
    assert gptq["stored_bits"] < plain["stored_bits"]
    assert plain["stored_bits"] == 32 * sum(p.numel() for p in model.parameters())
    assert plain["quantized_weights"] == 0
    assert rows["stored_bits"] < groups["stored_bits"] < plain["stored_bits"]
    assert rows["loss_value"] != plain["loss_value"]
    assert plain["people_measured"] == 20
    assert plain["qa_greedy_agreement"] == 1
    assert "qa_greedy_agreement" not in rows


def test_of_unequal_people_a_sample_of_all_is_measured(biod, random_gpt):
    """The most frequent ones are known better than the others."""
    asked = {}

    class Spy(OwnTokens):
        def texts(self, index, exposure):
            asked[self.dataset.config.population] = index
            return super().texts(index, exposure)

    config = biod.config.model_copy(update={"population": "zipf"})
    for data in (biod.config, config):
        spied = Spy(make_dataset(data))
        model = random_gpt(spied.dataset.tokenizer.vocab)
        measure_copies(model, lambda copy: Inference(copy, torch.device("cpu")), spied, 1000, schemes=(), people=15)
    assert asked["fixed"].tolist() == list(range(15))
    assert len(set(asked["zipf"].tolist())) == 15
    assert 20 < asked["zipf"].max() < config.people
