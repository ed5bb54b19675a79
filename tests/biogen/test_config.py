"""Options: what they accept, what they refuse and how they say so, and that they survive a round trip."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from biogen.config import BioDShape, DataConfig, Variant, trained_on_questions
from biogen.pools import PoolSizes

SHARES = st.fractions(0, Fraction(9999, 10_000), max_denominator=10_000)


def refusal(**options: object) -> str:
    with pytest.raises(ValidationError) as error:
        DataConfig(**options)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "texts", "permute", "fullname"),
    [
        ("fresh", None, True, False),
        ("fresh+fullname", None, True, True),
        ("single", 1, False, False),
        ("single+permute", 1, True, False),
        ("multi5", 5, False, False),
        ("multi12+permute+fullname", 12, True, True),
        ("multi12+fullname+permute", 12, True, True),
    ],
)
def test_variants(text: str, texts: int | None, permute: bool, fullname: bool):
    assert Variant.parse(text) == Variant(texts=texts, permute=permute, fullname=fullname)


@pytest.mark.parametrize("text", ["", "multi", "multi0", "multi05", "single+", "single+permute+permute", "Fresh", "5"])
def test_other_variants_are_refused(text: str):
    assert "must be fresh, single or multiM" in refusal(variant=text)


@given(share=SHARES)
def test_shares_may_be_written_as_fractions(share: Fraction):
    assert DataConfig(junk=str(share), people=1).junk == share


@pytest.mark.parametrize(("text", "share"), [("7/8", (7, 8)), (0.875, (7, 8)), (" 7 / 8 ", (7, 8)), (0, (0, 1))])
def test_spellings_of_a_share(text: object, share: tuple[int, int]):
    assert DataConfig(junk=text).junk == Fraction(*share)


@pytest.mark.parametrize("share", ["1", "8/7", "-1/8", "1/0", "half", None, "nan", True])
def test_other_shares_are_refused(share: object):
    assert "junk" in refusal(junk=share)


@pytest.mark.parametrize(
    "options",
    [
        {"peple": 3},
        {"people": 0},
        {"people": 20_000_001},
        {"seed": -1},
        {"templates": 5},
        {"pools": {"days": 29}},
        {"pools": {"cities": 3}},
        {"biod": {"T": 1}},
        {"dataset": "biox"},
        {"questions": "all"},
    ],
)
def test_keys_and_ranges_are_checked(options: dict[str, object]):
    assert next(iter(options)) in refusal(**options)


def test_configs_do_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        DataConfig().people = 3  # type: ignore[misc]


def test_people_need_names():
    pools = PoolSizes(first_names=2, middle_names=3, last_names=5)
    assert DataConfig(people=30, pools=pools).names == 30
    assert "at most N0 = 30" in refusal(people=31, pools=pools)
    assert "N0 - people = 10" in refusal(people=20, junk="1/2", junk_people=11, pools=pools)
    DataConfig(people=20, junk="1/2", junk_people=10, pools=pools)
    DataConfig(people=20, junk_people=11, pools=pools)  # a sweep over shares of junk has 0 among them


def test_biod_has_names_chunks_and_no_questions():
    assert DataConfig(dataset="biod", biod=BioDShape(T=10, name_length=2, D=10), people=100).names == 100
    assert "at most N0 = 100" in refusal(dataset="biod", biod={"T": 10, "name_length": 2, "D": 10}, people=101)
    assert "T^L = 9" in refusal(biod={"T": 3, "L": 2, "D": 10})
    assert "2^60" in refusal(biod={"T": 64, "name_length": 11})
    assert "questions" in refusal(dataset="biod", questions="half")


def test_mistakes_of_several_fields_come_together():
    few = {"T": 2, "D": 2, "name_length": 3}
    told = refusal(dataset="biod", biod=few, people=9, questions="half", variant="single")
    assert all(name in told for name in ("people: 9", "questions: half", "variant: single"))


@given(
    junk=SHARES,
    people=st.integers(1, 1000),
    seed=st.integers(0, 2**63 - 1),
    variant=st.sampled_from(["fresh", "multi3+permute", "single+fullname"]),
    locale=st.none() | st.just("de_DE"),
)
def test_configs_survive_a_round_trip(**options: object):
    config = DataConfig(**options)
    assert DataConfig.model_validate(config.model_dump(mode="json")) == config
    assert DataConfig.model_validate_json(config.model_dump_json()) == config


@given(people=st.integers(1, 1000))
def test_half_of_the_people_are_asked(people: int):
    assert 0 <= people - 2 * trained_on_questions(people) <= 1
