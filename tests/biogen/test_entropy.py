"""The least loss in closed form is that of small worlds in full, token by token."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.special import zeta

from biogen.config import EVALUATION, BioDShape, DataConfig
from biogen.dataset import Dataset, draw_texts, make_dataset, mean_length
from biogen.entropy import OTHER, entropy, fixed_texts_nats, name_nats
from biogen.pieces import Texts
from biogen.pools import PoolSizes
from biogen.population import draw
from tests.biogen.worlds import by_role, costs, everything, probabilities

NONE = dict.fromkeys(("birth_cities", "universities", "majors", "months", "days", "years"), 1)
POOLS = PoolSizes(**NONE | {"first_names": 3, "middle_names": 1, "last_names": 1, "employers": 7})  # 6 cities
BIOS = {"pools": POOLS, "templates": 6, "tokenizer": "word"}
MANY = POOLS.model_copy(update={"last_names": 9})
MORE = {"birth_cities": 2, "universities": 3, "majors": 2, "months": 2, "years": 2}
ALL_VALUES = PoolSizes(**NONE | MORE | {"first_names": 2, "middle_names": 1, "last_names": 1, "employers": 2})
BIOD = {"dataset": "biod", "biod": BioDShape(K=2, C=2, D=2, L=2, T=3, name_length=2)}
WORLDS = {
    "biod": BIOD,
    "biod, three attributes": {"dataset": "biod", "biod": BioDShape(K=3, C=1, D=2, T=3, name_length=1)},
    "bios, any order": BIOS | {"company_city": "any"},
    "bios, city after": BIOS | {"company_city": "after"},
    "bios, city before": BIOS | {"company_city": "before"},
    "bios, no city": BIOS | {"company_city": "none", "templates": 8},
    "bios, name in every sentence": BIOS | {"variant": "fresh+fullname", "company_city": "none"},
    "bios, all values": BIOS | {"pools": ALL_VALUES, "variant": "single", "company_city": "before"},
}


def world(name: str, population: str = "fresh", **options: object) -> Dataset:
    N = 1 if population == "fresh" else 2 if "all values" in name else 3
    return make_dataset(DataConfig(**{"population": population, "people": N, "zipf": 1.35, **WORLDS[name], **options}))


@pytest.mark.parametrize("name", WORLDS)
def test_new_people_cost_what_all_texts_do(name: str):
    dataset = world(name)
    texts, weights = everything(dataset, 0)
    found = by_role(dataset, *costs(texts, weights), weights)
    assert weights.sum() == pytest.approx(1)
    assert entropy(dataset).nats == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in WORLDS if "all values" not in name])
def test_those_who_know_some_people_pay_for_the_others(name: str):
    for population, known in (("zipf", 1), ("fixed", 2), ("zipf", 3)):
        dataset = world(name, population)
        texts, weights = everything(dataset, known)
        found = by_role(dataset, *costs(texts, weights), weights)
        assert entropy(dataset, known).nats == pytest.approx(found, abs=1e-9)
    assert entropy(dataset).nats == pytest.approx(found, abs=1e-9)  # of all people


@pytest.mark.parametrize(
    ("name", "population", "known"),
    [
        *[("biod", "fixed", 3), ("biod", "zipf", 3), ("biod", "zipf", 1), ("biod", "fresh", 0)],
        *[("bios, any order", "zipf", 3), ("bios, no city", "fixed", 3), ("bios, no city", "fresh", 0)],
    ],
)
def test_texts_that_are_drawn_cost_that_much(name: str, population: str, known: int):
    """A model that knows the true probabilities reads texts of training and held-out ones."""
    dataset = world(name, population)
    texts, weights = everything(dataset, known)
    if population == "fresh":  # there are few names: each in many texts
        drawn = [draw_texts(dataset, np.arange(dataset.names), number) for number in range(200)]
    else:
        exposures = [first + number for first in (0, EVALUATION) for number in range(200)]
        drawn = [draw_texts(dataset, *draw(dataset.config, 0, 3, exposure)) for exposure in exposures]
    together = join([texts, *drawn])
    sample = len(together) - len(texts)
    nats, roles = costs(together, np.concatenate([weights, np.zeros(sample)]))
    nats, roles = nats[-sample:], roles[-sample:]
    assert np.isfinite(nats).all()
    found = by_role(dataset, nats, roles, np.full(sample, 1 / sample))
    error = 5 * nats.sum(axis=1).std() / math.sqrt(sample) + 1e-9
    assert entropy(dataset, known).nats == pytest.approx(found, abs=error)


def join(parts: list[Texts]) -> Texts:
    lengths = np.concatenate([part.lengths for part in parts])
    tokens, roles = (np.concatenate([getattr(part, name) for part in parts]) for name in ("tokens", "roles"))
    return Texts(tokens, roles, np.concatenate([[0], np.cumsum(lengths)]))


@pytest.mark.parametrize(("texts", "possible"), [(1, 5), (2, 2), (3, 4), (5, 3)])
def test_one_of_several_fixed_texts(texts: int, possible: int):
    """The mean, over all that a person's texts can be, of the entropy of which one comes."""
    found = []
    for own in product(range(possible), repeat=texts):
        share = np.unique(own, return_counts=True)[1] / texts
        found.append(-float(share @ np.log(share)))
    assert fixed_texts_nats(texts, math.log(possible)) == pytest.approx(np.mean(found))


def test_many_fixed_texts():
    assert fixed_texts_nats(40, 50.0) == pytest.approx(math.log(40))
    assert fixed_texts_nats(900_000, math.log(2)) == pytest.approx(math.log(2), rel=1e-5)
    assert fixed_texts_nats(7, 0.0) == 0


def test_who_knows_a_person_knows_the_fixed_texts():
    dataset = world("bios, no city", "fixed", variant="multi3+permute", people=20, pools=MANY)
    found = []
    for person in range(20):
        rows = [tuple(dataset.outlines(np.array([person]), number)[0]) for number in range(3)]
        share = np.unique(rows, axis=0, return_counts=True)[1] / 3
        found.append(-float(share @ np.log(share)))
    assert entropy(dataset).nats[OTHER] == pytest.approx(np.mean(found), abs=0.05)
    assert entropy(dataset, 0).nats[OTHER] == pytest.approx(math.log(120 * 2**2))
    assert entropy(world("bios, no city", "fixed", variant="single")).text == pytest.approx(math.log(3))


def test_names_of_many_people():
    """In the limit of many people H(p) is ln ζ(s) − s·ζ'(s)/ζ(s), and the tail's share K^(1−s)/((s−1)·ζ(s))."""
    s, N, step = 2.5, 1_000_000, 1e-4
    slope = (zeta(s + step) - zeta(s - step)) / (2 * step)
    assert name_nats(N, N, s, N) == pytest.approx(math.log(zeta(s)) - s * slope / zeta(s), rel=1e-6)
    gained = [name_nats(N, 10**12, s, K) - name_nats(N, 10**12, s, N) for K in (1000, 8000)]
    assert math.log(gained[0] / gained[1]) / math.log(8) == pytest.approx(s - 1, abs=0.12)  # and a logarithm
    assert name_nats(N, 10**12, 0.0, N) == pytest.approx(math.log(N))
    assert name_nats(N, 10**12, s, 0) == pytest.approx(math.log(10**12))


def test_the_tails_share_of_the_values_falls_with_the_power():
    dataset = make_dataset(DataConfig(population="zipf", zipf=1.5, people=20_000, dataset="biod"))
    values = [entropy(dataset, K).nats["a0_first"] / math.log(64) for K in (0, 10, 20_000)]
    share = probabilities(dataset.config)[10:].sum()
    assert values == pytest.approx([1, share, 0])


@pytest.mark.parametrize("s", [1e-300, 60.0, 1e308])
def test_extreme_exponents(s: float):
    uniform = s < 1
    assert name_nats(1000, 2000, s, 1000) == pytest.approx(math.log(1000) if uniform else 0, abs=1e-9)
    assert name_nats(1000, 2000, s, 1) == pytest.approx(math.log(1000 * 1999 / 999) * 0.999 + math.log(1000) * 0.001 if
                                                        uniform else 0, abs=1e-9)  # fmt: skip


def test_nats_a_token_are_of_all_tokens_and_of_those_of_a_role():
    dataset = world("bios, any order", "zipf", people=6, pools=MANY)
    found = entropy(dataset)
    assert sum(found.tokens.values()) == pytest.approx(mean_length(dataset))
    assert found.token == pytest.approx(found.text / mean_length(dataset))
    assert found.tokens["name"] == 3
    assert found.of_role("name") == pytest.approx(found.nats["name"] / 3)
    assert found.of_role("employer") == 0
    one_chunk = entropy(world("biod, three attributes"))
    assert one_chunk.tokens["a0_rest"] == one_chunk.of_role("a0_rest") == 0


def test_random_tokens():
    dataset = make_dataset(DataConfig(dataset="random", people=100, population="fresh"))
    assert entropy(dataset).text == pytest.approx(64 * math.log(64))


def test_only_people_who_come_can_be_known():
    for name, known in (("zipf", 4), ("fixed", -1), ("fresh", 1)):
        with pytest.raises(ValueError, match=f"known: {known} is not allowed; must be 0 to"):
            entropy(world("biod", name), known)
