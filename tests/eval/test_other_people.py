"""A model that was trained on other people has no bits of these: each term is at most 0 before it is floored."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import eval
from biogen.config import DataConfig
from biogen.dataset import EVALUATION, make_dataset
from biogen.templates import ATTRIBUTES, split_template
from biogen.windows import Batches
from eval.hf import load
from eval.recall import recall_people
from eval.record import measure_copies
from eval.source import OwnTokens
from tests.train.test_loop import SETTINGS
from train.architectures import ARCHITECTURES
from train.architectures.causal_lm import make_model
from train.inference import Inference
from train.loop import Trainer
from train.sizes import parse_size

PEOPLE = np.arange(30)
TOKENIZERS = [{"vocab": 70}, {"vocab": 150}, {"vocab": 420}, {"tokenizer": "word"}]


def terms(dataset, name, value, first):
    """The terms of the bits before they are floored at 0, per person (and attribute, and string of a set)."""
    if not dataset.first_chunk:
        return [math.log(dataset.names) - name, math.log(2) * dataset.log2_values - value]
    shape = dataset.shape
    sets = shape.L * math.log(shape.T) - math.log(shape.D) - first
    return [math.log(dataset.names) - name, shape.C * math.log(shape.D) - value, sets]


WORLDS = {
    "bios": {"tokenizer": "word", "templates": 6},
    "biod": {"biod": {"K": 2, "C": 2, "D": 8, "T": 8, "name_length": 3}},
    "random": {"dataset_options": {"tokens": 16, "length": 40}},
}


def trained(architecture, config):
    """A small model after 60 exposures of the people of a configuration; it knows some of them."""
    dataset = make_dataset(config)
    model = make_model(architecture, parse_size("1x16"), dataset.tokenizer.vocab, {})
    model.initialize("width", 0)
    settings = replace(SETTINGS, lr=0.03, embedding_lr=0.03, exposures=60)
    trainer = Trainer(model, settings, torch.device("cpu"))
    for batch in Batches(dataset, layout="rows", context=512, batch=20, exposures=60):
        trainer.step(batch)
    return model


def read(model):
    return Inference(model, torch.device("cpu"))


@pytest.mark.parametrize(
    ("world", "architecture"),
    [*((world, "gpt2") for world in WORLDS), *(("biod", one) for one in ARCHITECTURES.names if one != "gpt2")],
)
def test_every_data_set_and_architecture_has_none_of_people_it_never_saw(world, architecture):
    config = DataConfig(dataset=world, people=20, **WORLDS[world])
    others = config.model_copy(update={"seed": 1})
    model = trained(architecture, config)
    bits = {}
    for name, people in (("its own", config), ("others", others)):
        source = OwnTokens(make_dataset(people))
        (bits[name],) = measure_copies(model, read, source, 1000, schemes=(), people=20)
    found = bits["others"]
    assert max(terms(make_dataset(others), found["loss_name"], found["loss_value"], found["loss_value1"])) <= 0
    assert found["bits"] == 0 < bits["its own"]["bits"]


@pytest.mark.parametrize("which", ["bios_run", "biod_run"])
def test_a_model_of_other_people_has_no_bits(which, request):
    run = request.getfixturevalue(which)
    data = run.read_config().data
    others = data.model_copy(update={"seed": data.seed + 1})
    (record,) = eval.measure(*load(str(run.model)), others)
    found = terms(make_dataset(others), record["loss_name"], record["loss_value"], record["loss_value1"])
    assert max(found) <= 0
    assert record["bits"] == 0


@pytest.mark.parametrize("options", TOKENIZERS)
def test_whoever_knows_the_world_but_nobody_in_it_has_exactly_none(bios, slot_model, options):
    """The best that can be learned from other people, in tokens of any length."""
    dataset = make_dataset(DataConfig(**bios.config.model_dump() | options))
    model = slot_model(dataset, lambda i, attribute: None, people_known=False)
    found = recall_people(model, OwnTokens(dataset), PEOPLE, EVALUATION)
    assert terms(dataset, found.name.mean(), found.value.mean(), None) == pytest.approx([0, 0], abs=1e-9)


class KnowsCities:
    """Knows of each employer where it sits, and of nobody anything: `slots` of the test model, with the link added."""

    def __init__(self, dataset, slots):
        self.slots = slots
        pools, pieces = dataset.pools, dataset.pieces
        spliced = pieces.splice(np.arange(len(pieces.strings))[:, None])
        tokens = dict(zip(pieces.strings, map(tuple, np.split(spliced.tokens, spliced.offsets[1:-1])), strict=True))
        self.linked = {
            (tokens[f" {employer}"], tokens[f" {city}"])
            for employer, city in zip(pools.employers, pools.company_cities, strict=True)
        }
        self.attributes = {
            tokens[split_template(template)[0]]: attribute
            for attribute in ATTRIBUTES
            for template in dataset.bank.templates[attribute]
        }

    def __call__(self, done):
        options = self.slots(done)
        if len(done) < 3 or len(done) % 4 != 3:  # no value is due
            return options
        said = {self.attributes[before]: value for before, value in zip(done[2::4], [*done[3::4], None], strict=True)}
        due = self.attributes[done[-1]]
        if due == "employer" and "company_city" in said:
            left = [option for option in options if (option, said["company_city"]) in self.linked]
        elif due == "company_city" and "employer" in said:
            left = [option for option in options if (said["employer"], option) in self.linked]
        else:
            return options
        return dict.fromkeys(left, 1 / len(left))


@pytest.mark.parametrize("options", TOKENIZERS[::3])
def test_knowing_where_employers_sit_is_worth_nothing_but_in_the_texts_own_order(bios, slot_model, options):
    """The positive control: in the order of a training, the city before the employer gives it away."""
    dataset = make_dataset(DataConfig(**bios.config.model_dump() | options))
    model = slot_model(dataset, lambda i, attribute: None, people_known=False)
    model.slots = KnowsCities(dataset, model.slots)
    measured, trained = (recall_people(model, OwnTokens(dataset), PEOPLE, exposure) for exposure in (EVALUATION, 0))
    assert terms(dataset, measured.name.mean(), measured.value.mean(), None) == pytest.approx([0, 0], abs=1e-9)
    cities = list(dataset.pools.company_cities)
    expected = []
    for person, row in zip(dataset.describe(PEOPLE), dataset.outlines(PEOPLE, 0), strict=True):
        roles = [dataset.role_names[span.role] for span in dataset.pieces.render(row)[1]]
        first = roles.index("company_city") < roles.index("employer")
        expected.append(math.log(cities.count(person["company_city"]) if first else len(cities)))
    assert trained.values["employer"] == pytest.approx(expected)
    assert terms(dataset, trained.name.mean(), trained.value.mean(), None)[1] > 0.1
