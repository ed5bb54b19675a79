"""A model made by hand that knows what a test says, and small data sets, models and runs to measure."""

import json
import math
from collections import defaultdict
from itertools import product

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from biogen.config import DataConfig
from biogen.dataset import make_dataset
from biogen.datasets.bios import BioS
from biogen.people import describe
from biogen.templates import ATTRIBUTES, split_template
from capacity.runner.run_in_folder import Run
from capacity.spec.plan import make_plans
from capacity.spec.preset import Preset
from capacity.store.folders import run_folder
from train.architectures.gpt2 import GPT2
from train.inference import Inference
from train.sizes import parse_size

POOLS = {
    **{"first_names": 6, "middle_names": 7, "last_names": 8, "birth_cities": 9, "universities": 10, "majors": 5},
    **{"employers": 11, "months": 3, "days": 4, "years": 5},
}
BIOS = {"dataset": "bios", "people": 30, "seed": 3, "pools": POOLS, "templates": 24, "vocab": 420}
BIOD = {"dataset": "biod", "people": 30, "seed": 3, "biod": {"K": 3, "C": 2, "D": 6, "L": 1, "T": 8}}


class SlotModel:
    """A language model that only knows how likely whole pieces of text are: the name, a value, a template.

    slots(done): the probabilities of the token sequences that can stand next, given those that stand already. What
    it says about single tokens follows from these by summing over what can still become of a sequence begun.
    """

    def __init__(self, slots):
        self.slots = slots

    def next_token(self, tokens):
        """For every position, the probabilities of the token behind it."""
        done, begun, options, result = [], (), self.slots([]), []
        for token in tokens:
            begun += (int(token),)
            options = {text: p for text, p in options.items() if text[: len(begun)] == begun}
            if begun in options:
                assert len(options) == 1, "one sequence begins another: nobody can tell where it ends"
                done.append(begun)
                begun, options = (), self.slots(done)
            total, chances = sum(options.values()), defaultdict(float)
            for text, p in options.items():
                chances[text[len(begun)]] += p / total
            result.append(dict(sorted(chances.items())))
        return result

    def score(self, inputs, targets):
        nats, correct = np.zeros(inputs.shape), np.zeros(inputs.shape, dtype=bool)
        for i, (row, wanted) in enumerate(zip(inputs, targets, strict=True)):
            length = int((wanted >= 0).sum())
            for j, chances in enumerate(self.next_token(row[:length])):
                chance = chances.get(int(wanted[j]), 0.0)
                nats[i, j] = -math.log(chance) if chance else math.inf
                correct[i, j] = max(chances, key=chances.__getitem__) == wanted[j]
        return nats, correct

    def next_tokens(self, inputs, lengths):
        last = [self.next_token(row[:length])[-1] for row, length in zip(inputs, lengths, strict=True)]
        return np.array([max(chances, key=chances.__getitem__) for chances in last])


def blend(options, truth, q):
    """Probability q for the truth and the rest alike for the others; alike for all where q is None."""
    if q is None:
        return dict.fromkeys(options, 1 / len(options))
    others = {option: (1 - q) / (len(options) - 1) for option in options if option != truth}
    return ({truth: q} | others) if q < 1 else {truth: 1.0}


def bios_slots(dataset, q, *, people_known=True):
    """What a model knows of BioS: of person i's attribute with probability q(i, attribute), None: the pools alone.

    people_known: names are those of the people, else any of the N0.
    """
    pieces, config, pools = dataset.pieces, dataset.config, dataset.pools
    spliced = pieces.splice(np.arange(len(pieces.strings))[:, None])
    tokens = dict(
        zip(pieces.strings, map(tuple, np.split(spliced.tokens.tolist(), spliced.offsets[1:-1])), strict=True)
    )
    head = (0, 1) if config.domain_token else (0,)

    def named(first, middle, last, again=False):
        return tokens[f" {first}" if again else first] + tokens[f" {middle}"] + tokens[f" {last}"]

    def date(text):
        day, year = text.split(",")
        return tokens[f" {day},"] + tokens[year]

    people = describe(config.seed, config.pools, pools, np.arange(config.people))
    number = {named(p.first_name, p.middle_name, p.last_name): i for i, p in enumerate(people)}
    everybody = [named(*words) for words in product(pools.first_names, pools.middle_names, pools.last_names)]
    days = product(pools.months, pools.days, pools.years)
    values = {
        "pronoun": [tokens.get(" He"), tokens.get(" She")],  # none where the full name opens every sentence
        "birth_date": [date(f"{month} {day}, {year}") for month, day, year in days],
        "birth_city": [tokens[f" {value}"] for value in pools.birth_cities],
        "university": [tokens[f" {value}"] for value in pools.universities],
        "major": [tokens[f" {value}"] for value in pools.majors],
        "employer": [tokens[f" {value}"] for value in pools.employers],
        "company_city": [tokens[f" {value}"] for value in dict.fromkeys(pools.company_cities)],
    }

    def truth(i, attribute):
        text = getattr(people[i], attribute)
        return date(text) if attribute == "birth_date" else tokens[f" {text}"]

    attribute_of, afters = {}, defaultdict(set)
    for attribute in ATTRIBUTES:
        for template in dataset.bank.templates[attribute]:
            before, after = split_template(template)
            assert attribute_of.setdefault(tokens[before], attribute) == attribute, "two attributes are due"
            afters[tokens[before]].add(tokens[after])

    def slots(done):
        if not done:
            return {head: 1.0}
        if len(done) == 1:
            names = list(number) if people_known else everybody
            return dict.fromkeys(names, 1 / len(names))
        i = number[done[1]]
        sentence, place = divmod(len(done) - 1, 4)  # the first sentence's subject is the name: one slot a sentence
        if sentence == 6:
            return {(0,): 1.0}
        if place == 0 and dataset.variant.fullname:
            p = people[i]
            return {named(p.first_name, p.middle_name, p.last_name, again=True): 1.0}
        if place == 0 and sentence == 1:
            return blend(values["pronoun"], truth(i, "pronoun"), q(i, "pronoun"))
        if place == 0:
            return {done[5]: 1.0}
        if place == 1:
            said = {attribute_of[before] for before in done[2::4]}
            left = [before for before, attribute in attribute_of.items() if attribute not in said]
            return dict.fromkeys(left, 1 / len(left))
        attribute = attribute_of[done[4 * sentence + 2]]
        if place == 2:
            return blend(values[attribute], truth(i, attribute), q(i, attribute))
        return dict.fromkeys(afters[done[4 * sentence + 2]], 1.0)

    return slots


def biod_slots(dataset, q, *, people_known=True):
    """What a model knows of BioD; see `bios_slots`."""
    shape, config = dataset.shape, dataset.config
    head = (0, 1) if config.domain_token else (0,)

    def encode(text):
        return tuple(dataset.tokenizer.encode(text))

    people = dataset.describe(np.arange(config.people))
    number = {encode(person["name"]): i for i, person in enumerate(people)}
    symbols = [encode(f"s{symbol}")[0] for symbol in range(shape.T)]
    everybody = list(product(symbols, repeat=shape.name_length))
    markers = {encode(f"a{k}"): f"a{k}" for k in range(shape.K)}
    # So many people use every one of an attribute's D strings.
    crowd = [{k: encode(v) for k, v in p.items()} for p in dataset.describe(np.arange(min(400, dataset.names)))]
    values = {}
    for name in markers.values():
        cuts = {p[name][at : at + shape.L] for p in crowd for at in range(0, shape.C * shape.L, shape.L)}
        assert len(cuts) == shape.D
        values[name] = [sum(chunks, ()) for chunks in product(sorted(cuts), repeat=shape.C)]

    def slots(done):
        if not done:
            return {head: 1.0}
        if len(done) == 1:
            names = list(number) if people_known else everybody
            return dict.fromkeys(names, 1 / len(names))
        if len(done) == 2 + 2 * shape.K:
            return {(0,): 1.0}
        if len(done) % 2 == 0:
            left = [marker for marker in markers if marker not in done[2::2]]
            return dict.fromkeys(left, 1 / len(left))
        name = markers[done[-1]]
        i = number.get(done[1])
        return blend(values[name], encode(people[i][name]), q(i, name))

    return slots


@pytest.fixture(scope="session")
def slot_model():
    """Makes a `SlotModel` for a data set; see `bios_slots`."""

    def make(dataset, q, **options):
        slots = bios_slots if isinstance(dataset, BioS) else biod_slots
        return SlotModel(slots(dataset, q, **options))

    return make


@pytest.fixture(scope="session")
def bios():
    return make_dataset(DataConfig(**BIOS))


@pytest.fixture(scope="session")
def biod():
    return make_dataset(DataConfig(**BIOD))


@pytest.fixture(scope="session")
def random_gpt():
    """A small model that knows nothing, but decidedly: its logits are far apart."""

    def make(vocab):
        torch.manual_seed(0)
        model = GPT2(parse_size("1x16"), vocab)
        model.initialize("width", seed=1)
        model.embedding.weight.data *= 10
        return model

    return make


@pytest.fixture(scope="session")
def read_gpt(random_gpt):
    """Its reader, for a data set."""
    return lambda dataset: Inference(random_gpt(dataset.tokenizer.vocab), torch.device("cpu"))


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """Trains a preset with one run, and returns its folder."""

    def make(**options):
        torch.set_num_threads(1)
        (plan,) = make_plans(Preset(sizes="1x16", device="cpu", **options))
        folder = run_folder(tmp_path_factory.mktemp("runs"), plan.config)
        folder.write_config(plan.config)
        assert Run(folder, torch.device("cpu")).go(lambda: False)
        return folder

    return make


@pytest.fixture(scope="session")
def bios_run(finished_run):
    """Questions, a domain token and a quantized copy: all that an evaluation can meet."""
    options = {**BIOS, "seeds": BIOS["seed"], "questions": "half", "domain_token": True, "quantize": "int4-g16"}
    del options["seed"]
    return finished_run(**options, exposures=10)


@pytest.fixture(scope="session")
def biod_run(finished_run):
    options = {**BIOD, "seeds": BIOD["seed"], "quantize": ("int8", "none")}
    del options["seed"]
    return finished_run(**options, exposures=100, batch=15, optimizer="adamw", lr=0.02)


@pytest.fixture(scope="session")
def rows_of():
    """The rows of a run's result.json."""
    return lambda folder: json.loads(folder.result.read_text())["rows"]


@pytest.fixture(scope="session")
def foreign_tokenizer(bios):
    """A byte-level BPE of somebody else, with words that no biography has."""
    texts = [bios.pieces.render(row)[0] for row in bios.outlines(np.arange(30), 0)]
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = ["<eos>", "<unused>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator([*texts, "zebra zebras quizzes"], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>")


@pytest.fixture(scope="session")
def foreign_model(foreign_tokenizer, tmp_path_factory):
    """Writes a random GPT-2 and its tokenizer to a folder."""

    def make(**changes):
        folder = tmp_path_factory.mktemp("foreign")
        torch.manual_seed(0)
        sizes = {"n_positions": 256, "n_embd": 16, "n_layer": 1, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0}
        config = GPT2Config(vocab_size=len(foreign_tokenizer) + 20, **sizes | changes)
        GPT2LMHeadModel(config).save_pretrained(folder)
        foreign_tokenizer.save_pretrained(folder)
        return folder

    return make
