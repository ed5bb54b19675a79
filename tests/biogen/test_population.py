"""Who is written about: everybody once a round, new people for ever, or draws by a power of the rank."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import chisquare

from biogen.config import EVALUATION, HELD_OUT, BioDShape, DataConfig
from biogen.dataset import draw_texts, make_dataset
from biogen.pools import PoolSizes
from biogen.population import draw, measured_people, tails

POPULATIONS = ["fixed", "fresh", "zipf"]
ROUNDS = [0, 1, 7, EVALUATION, EVALUATION + 1, EVALUATION + 5]
SMALL = {
    "bios": {"pools": PoolSizes(first_names=30, middle_names=20, last_names=10), "templates": 6, "tokenizer": "word"},
    "biod": {"dataset": "biod", "biod": BioDShape(K=2, C=2, D=8, T=8, name_length=5)},
}


def config_of(population: str, people: int = 50, **options: object) -> DataConfig:
    return DataConfig(**{"tokenizer": "word", "people": people, "population": population, **options})


def numbers_of(config: DataConfig, exposure: int, first: int = 0, count: int | None = None) -> list[tuple[int, int]]:
    """The person and the number of each text of a round."""
    count = config.people if count is None else count
    index, number = draw(config, first, count, exposure)
    return list(zip(index.tolist(), np.broadcast_to(number, count).tolist(), strict=True))


def refusal(**options: object) -> str:
    with pytest.raises(ValidationError) as error:
        DataConfig(**options)
    return str(error.value)


@pytest.mark.parametrize("population", POPULATIONS)
@given(exposure=st.sampled_from(ROUNDS), cut=st.integers(0, 50))
def test_a_draw_depends_on_its_place_alone(population: str, exposure: int, cut: int):
    config = config_of(population)
    parts = numbers_of(config, exposure, 0, cut) + numbers_of(config, exposure, cut, 50 - cut)
    assert parts == numbers_of(config, exposure)


@pytest.mark.parametrize("population", POPULATIONS)
def test_no_text_comes_twice_and_held_out_ones_are_apart(population: str):
    config = config_of(population)
    texts = [text for exposure in ROUNDS for text in numbers_of(config, exposure)]
    assert len(set(texts)) == len(texts)
    for exposure in ROUNDS:
        numbers = [number for _, number in numbers_of(config, exposure)]
        low, high = (HELD_OUT, 1 << 32) if exposure >= EVALUATION else (0, EVALUATION)
        assert low <= min(numbers) <= max(numbers) < high


def test_numbers_of_many_draws_stay_in_their_range():
    config = config_of("zipf", people=20_000_000)
    for exposure, low, high in ((EVALUATION - 1, 0, EVALUATION), ((1 << 32) - 1, HELD_OUT, 1 << 32)):
        numbers = [number for _, number in numbers_of(config, exposure, 19_999_000, 1000)]
        assert low <= min(numbers) <= max(numbers) < high
        assert len(set(numbers)) == 1000


@pytest.mark.parametrize("exposure", ROUNDS)
def test_fixed_is_everybody_once_a_round(exposure: int):
    config = config_of("fixed")
    order = [person for person, _ in numbers_of(config, exposure)]
    assert sorted(order) == list(range(50))
    assert all(order != [person for person, _ in numbers_of(config, other)] for other in ROUNDS if other != exposure)


def test_fresh_is_about_new_people_and_held_out_ones_are_the_last_of_all():
    config = config_of("fresh")
    people = [person for exposure in (0, 1, 2) for person, _ in numbers_of(config, exposure)]
    assert people == list(range(150))
    held_out = [person for exposure in (0, 1) for person, _ in numbers_of(config, EVALUATION + exposure)]
    assert held_out == [config.names - 1 - back for back in range(100)]


def test_what_is_trained_on_and_what_is_held_out_do_not_meet():
    config = config_of("fresh", people=100, **SMALL["bios"])
    allowed = (6000 - 6000 // 16) // 100
    config.check_population(allowed)
    with pytest.raises(ValueError, match=r"fresh for 57 exposures of 100 people takes 5700 new people; .* most 5625:"):
        config.check_population(allowed + 1)
    last = [person for person, _ in numbers_of(config, allowed - 1)]
    held_out = [person for exposure in range(3) for person, _ in numbers_of(config, EVALUATION + exposure)]
    assert max(last) < 5625 < min(held_out)
    numbers_of(config, EVALUATION + 3, 0, 75)
    with pytest.raises(ValueError, match="376 new people are too many; allowed are 375, a sixteenth"):
        numbers_of(config, EVALUATION + 3, 0, 76)
    config_of("fixed", people=100, **SMALL["bios"]).check_population(10**6)


@pytest.mark.parametrize("exposure", [0, 3, EVALUATION])
@pytest.mark.parametrize(("s", "people"), [(0.5, 40), (1.0, 300), (1.35, 1000), (3.0, 100)])
def test_frequencies_follow_the_power(exposure: int, s: float, people: int):
    config = config_of("zipf", people=people, zipf=s, seed=4)
    count = 200_000
    index, _ = draw(config, 0, count, exposure)
    expected = np.arange(1, people + 1) ** -s
    expected *= count / expected.sum()
    border = int(np.searchsorted(-expected, -20.0))  # the rare ones count as one
    seen = np.bincount(index, minlength=people).astype(float)
    found, due = ([*counts[:border], counts[border:].sum()] for counts in (seen, expected))
    if due[-1] < 5:
        found, due = [*found[:-2], sum(found[-2:])], [*due[:-2], sum(due[-2:])]
    assert chisquare(found, due).pvalue > 1e-3


def test_draws_are_independent():
    """No correlation between neighbors in a round, nor between rounds and seeds at the same place."""
    config = config_of("zipf", people=1000)
    one, two = (draw(config, 0, 100_000, exposure)[0] == 0 for exposure in (0, 1))
    other = draw(config.model_copy(update={"seed": 1}), 0, 100_000, 0)[0] == 0
    for first, second in ((one[1:], one[:-1]), (one, two), (one, other)):
        assert abs(np.corrcoef(first, second)[0, 1]) < 4 / math.sqrt(100_000)


def test_the_rarest_of_many_are_drawn():
    """One in 1e12 and less still has its share: the tail's sums keep their digits."""
    people, s = 1_000_000, 3.0
    sums = tails(people, s)
    assert sums[0] == pytest.approx(people**-s, rel=1e-12, abs=0)
    assert np.diff(sums)[:1000] == pytest.approx((people - 1.0 - np.arange(1000)) ** -s, rel=1e-9, abs=0)
    assert sums[-1] == pytest.approx(sum(i**-s for i in range(1, 2000)), rel=1e-6)


@pytest.mark.parametrize("s", [1e-300, 50.0, 1e308])
def test_extreme_exponents_draw_somebody(s: float):
    index, _ = draw(config_of("zipf", people=1000, zipf=s), 0, 1000, 0)
    assert (index >= 0).all()
    assert (index < 1000).all()
    assert (index == 0).all() == (s > 1)


@pytest.mark.parametrize("name", SMALL)
def test_a_person_who_is_drawn_twice_has_two_texts(name: str):
    """Each text is that of the person at the text's number, whatever stands beside it."""
    dataset = make_dataset(config_of("zipf", people=30, **SMALL[name]))
    index, number = draw(dataset.config, 0, 30, 2)
    assert len(set(index.tolist())) < 30
    together = dataset.outlines(index, number)
    for row, person, text in zip(together, index.tolist(), number.tolist(), strict=True):
        assert (row == dataset.outlines(np.array([person]), text)[0]).all()
    first = together[index == 0]
    assert len(np.unique(first, axis=0)) > 1


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("population", POPULATIONS)
def test_held_out_texts_are_in_the_order_of_training(name: str, population: str):
    """Also where texts for measurement name the employer first."""
    dataset = make_dataset(config_of(population, people=300, domain_token=True, **SMALL[name]))
    orders = []
    for exposure in (0, EVALUATION):
        texts = draw_texts(dataset, *draw(dataset.config, 0, 300, exposure))
        assert (texts.tokens[texts.offsets[:-1] + 1] == 1).all()  # all are useful
        values = np.split(np.where(texts.roles > 1, texts.roles, 0), texts.offsets[1:-1])
        orders.append({tuple(dict.fromkeys(roles[roles > 0].tolist())) for roles in values})
    if name == "biod":
        assert orders[0] == orders[1]
    else:
        before = [sum(order.index(8) < order.index(7) for order in found) / len(found) for found in orders]
        assert before == pytest.approx([0.5, 0.5], abs=0.15)


def test_who_is_measured():
    assert measured_people(config_of("fixed"), 20).tolist() == list(range(20))
    assert measured_people(config_of("fresh"), 80).tolist() == list(range(50))
    sample = measured_people(config_of("zipf", people=10_000), 1000)
    assert len(np.unique(sample)) == 1000
    assert sample.mean() == pytest.approx(5000, rel=0.1)
    assert measured_people(config_of("zipf"), 50).tolist() == list(range(50))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population": "fresh", "junk": "1/2"}, "junk: 1/2 is not allowed with population fresh"),
        ({"population": "fresh", "questions": "half"}, "questions: half is not allowed with population fresh"),
        ({"population": "zipf", "questions": "lora"}, "questions: lora is not allowed with population zipf"),
        ({"population": "zipf", "zipf": 0}, "greater than 0"),
        ({"population": "zipf", "zipf": "inf"}, "finite"),
        ({"population": "zipf", "zipf": "nan"}, "finite"),
        ({"population": "new"}, "'fixed', 'fresh' or 'zipf'"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object], message: str):
    assert message in refusal(**options)


def test_junk_stands_beside_unequal_people():
    config = config_of("zipf", junk="1/2", junk_people=5)
    assert config.junk_pool == 5
