"""BioS: spans and roles are those of the person; texts change as the variant says."""

import numpy as np
import pytest

from biogen.dataset import EVALUATION, draw_texts
from biogen.datasets.bios import ROLES, BioS
from biogen.people import MOST_KEPT, describe
from biogen.pieces import Role
from biogen.pools import PoolSizes
from biogen.templates import ATTRIBUTES
from tests.biogen.datasets.conftest import BANK, SMALL, small


def texts_of(dataset: BioS, index: np.ndarray, exposure: int) -> list[str]:
    return [dataset.pieces.render(row)[0] for row in dataset.outlines(index, exposure)]


def test_spans_read_what_the_person_is():
    dataset = small()
    people = describe(0, SMALL, dataset.pools, np.arange(200))
    for person, row in zip(people, dataset.outlines(np.arange(200), 1), strict=True):
        text, spans = dataset.pieces.render(row)
        read = {dataset.role_names[role]: text[start:end].strip() for role, start, end in spans}
        assert len(spans) == len(read) == 8
        assert read == {name: getattr(person, name) for name in read}
        assert text.startswith(person.name)


def test_roles_of_tokens_are_those_of_the_characters():
    dataset = small(tokenizer="bpe", vocab=200)
    outlines = dataset.outlines(np.arange(200), 1)
    texts = dataset.pieces.splice(outlines)
    for i, row in enumerate(outlines):
        text, spans = dataset.pieces.render(row)
        part = slice(texts.offsets[i], texts.offsets[i + 1])
        for role, start, end in spans:
            said = dataset.tokenizer.decode(texts.tokens[part][texts.roles[part] == role].tolist())
            assert said == text[start:end].strip()
        assert set(texts.roles[part].tolist()) == {0, *(role for role, _, _ in spans)}


def test_name_and_pronoun_are_due_once():
    dataset = small()
    outlines = dataset.outlines(np.arange(200), 0)
    for person, row in zip(describe(0, SMALL, dataset.pools, np.arange(200)), outlines, strict=True):
        text, spans = dataset.pieces.render(row)
        where = {role: (start, end) for role, start, end in spans}
        assert where[Role.NAME] == (0, len(person.name))
        assert where[ROLES["pronoun"]][0] == text.index(f". {person.pronoun} ") + 1
        assert text.count(f" {person.pronoun} ") == 5
        assert text.count(person.name) == 1


def sentence_starts(text: str, subject: str) -> int:
    return text.startswith(subject) + text.count(f". {subject} ")


def test_fullname_names_the_person_in_every_sentence():
    plain, named = small(), small("fresh+fullname")
    for person, text in zip(
        describe(0, SMALL, named.pools, np.arange(200)), texts_of(named, np.arange(200), 0), strict=True
    ):
        assert sentence_starts(text, person.name) == text.count(person.name) == 6
        assert " He " not in text
        assert " She " not in text
    roles = draw_texts(named, np.arange(200), 0).roles
    assert ROLES["pronoun"] not in roles
    assert "pronoun" not in named.value_roles
    assert list(plain.value_roles) == ["pronoun", *named.value_roles]
    assert plain.log2_values - named.log2_values == pytest.approx(1)
    lengths = draw_texts(named, np.arange(200), 0).lengths - draw_texts(plain, np.arange(200), 0).lengths
    assert (lengths == 5 * 2).all()  # three words for one, five times


def test_only_the_first_name_of_a_text_is_due():
    named = small("single+fullname")
    texts = draw_texts(named, np.arange(100), 0)
    for i in range(100):
        roles = texts.roles[texts.offsets[i] : texts.offsets[i + 1]]
        assert np.flatnonzero(roles == Role.NAME).tolist() == [1, 2, 3]


def test_single_is_one_text_in_a_fixed_order():
    dataset = small("single")
    first = texts_of(dataset, np.arange(200), 0)
    for exposure in (1, 2, 77, EVALUATION):
        assert texts_of(dataset, np.arange(200), exposure) == first
    order = {tuple(s.role for s in dataset.pieces.render(row)[1]) for row in dataset.outlines(np.arange(200), 0)}
    assert order == {(1, 3, 2, 4, 5, 6, 7, 8)}


@pytest.mark.parametrize("options", ["", "+permute", "+permute+fullname"])
def test_multi_is_so_many_texts_in_turn(options: str):
    dataset = small(f"multi5{options}", templates=BANK)
    index = np.arange(200)
    texts = [texts_of(dataset, index, exposure) for exposure in range(12)]
    assert all(texts[exposure] == texts[exposure + 5] for exposure in range(7))
    assert all(len(set(of_one)) == 5 for of_one in zip(*texts, strict=True))


@pytest.mark.parametrize("variant", ["fresh", "single", "multi3", "single+permute"])
def test_orders(variant: str):
    dataset = small(variant)
    orders = [
        {tuple(s.role for s in dataset.pieces.render(row)[1] if s.role > ROLES["pronoun"]) for row in outlines}
        for outlines in (dataset.outlines(np.arange(200), 0), dataset.outlines(np.arange(200), 1))
    ]
    if dataset.variant.permute:
        assert len(orders[0]) > 100
    else:
        assert orders == [{(3, 4, 5, 6, 7, 8)}] * 2
    if variant == "single+permute":
        assert (dataset.outlines(np.arange(200), 0) == dataset.outlines(np.arange(200), 1)).all()


def employer_first(dataset: BioS, exposure: int) -> float:
    """The share of texts that name the employer before the company city."""
    rows = dataset.outlines(np.arange(200), exposure)
    roles = [[span.role for span in dataset.pieces.render(row)[1]] for row in rows]
    return float(np.mean([row.index(ROLES["employer"]) < row.index(ROLES["company_city"]) for row in roles]))


def test_the_employer_is_measured_before_the_city_gives_it_away():
    dataset = small()
    assert 0.25 < employer_first(dataset, 0) < 0.75
    assert employer_first(dataset, EVALUATION) == employer_first(dataset, EVALUATION + 1) == 1


@pytest.mark.parametrize(("place", "share"), [("after", 1), ("before", 0)])
@pytest.mark.parametrize("variant", ["fresh", "multi3+permute", "single"])
def test_the_company_city_stands_where_the_options_say(variant: str, place: str, share: int):
    for order in ("employer-first", "as-trained"):
        dataset = small(variant, company_city=place, measured_order=order)
        assert employer_first(dataset, 0) == share
        swapped = order == "employer-first" and dataset.variant.texts is None  # fixed texts stay as they were learned
        assert employer_first(dataset, EVALUATION) == (1 if swapped else share)


def test_as_trained_no_sentence_is_moved():
    dataset = small(measured_order="as-trained")
    assert 0.25 < employer_first(dataset, EVALUATION) < 0.75
    assert (dataset.outlines(np.arange(200), 7) == small().outlines(np.arange(200), 7)).all()


@pytest.mark.parametrize("variant", ["fresh", "fresh+fullname", "single"])
@pytest.mark.parametrize("order", ["employer-first", "as-trained"])
def test_texts_without_the_company_city_state_the_rest(variant: str, order: str):
    dataset = small(variant, company_city="none", measured_order=order, questions="half")
    whole = small(variant, questions="half")
    assert dataset.log2_values == whole.log2_values
    assert dataset.value_roles == whole.value_roles
    assert [*dataset.qa_roles, "company_city"] == list(whole.qa_roles)
    assert dataset.tokenizer.vocab < whole.tokenizer.vocab
    for exposure in (0, EVALUATION):
        texts = draw_texts(dataset, np.arange(200), exposure)
        assert set(np.unique(texts.roles)) == {0, Role.NAME, *(role for (role,) in dataset.value_roles.values())}
        assert texts.lengths.max() <= dataset.longest_text
    used = {int(token) for text in dataset.covering_texts() for token in dataset.tokenizer.encode(text)}
    assert len(used) + 1 == dataset.tokenizer.vocab  # and the end token


def test_fresh_is_new_at_every_exposure():
    dataset = small(templates=BANK)
    texts = [texts_of(dataset, np.arange(200), exposure) for exposure in (0, 1, 2, 3, EVALUATION)]
    assert all(len(set(of_one)) == 5 for of_one in zip(*texts, strict=True))


def test_every_template_is_equally_likely():
    dataset = small(templates=12)
    texts = "\n".join(texts_of(dataset, np.arange(400), 5))
    for first, second in dataset.bank.templates.values():
        counts = [texts.count(t.split("{subject}")[1].split(" {value}")[0] + " ") for t in (first, second)]
        assert sum(counts) >= 400
        assert abs(counts[0] - 200) < 5 * np.sqrt(100)


def test_people_are_the_same_in_every_variant_and_alone():
    base = small("single", seed=3)
    index = np.array([5, 17, 111])
    for dataset in (small("single", seed=3, people=500, junk="1/2"), base):
        rows = dataset.outlines(index, 0)
        for person, row in zip(index, rows, strict=True):
            assert dataset.pieces.render(row) == base.pieces.render(base.outlines(np.array([person]), 0)[0])


@pytest.mark.parametrize("domain_token", [False, True])
def test_questions_ask_and_answer(domain_token: bool):
    dataset = small(questions="half", domain_token=domain_token)
    index = np.arange(200)
    slots = dataset.question_answer_slots()
    for number, attribute in enumerate(ATTRIBUTES):
        outlines = dataset.question_outlines(index, 1, number)
        for person, row in zip(describe(0, SMALL, dataset.pools, index), outlines, strict=True):
            text, spans = dataset.pieces.render(row)
            answer = getattr(person, attribute)
            assert dataset.pieces.render(row[slots])[0] == f" {answer}"
            assert text.endswith(f"? {answer}.")
            question = text.removesuffix(f" {answer}.")
            assert question.replace(person.name, "{name}") in dataset.bank.questions[attribute]
            assert [(role, text[start:end].strip()) for role, start, end in spans] == [(3 + number, answer)]
    tokens = dataset.pieces.splice(outlines)
    heads = tokens.tokens[tokens.offsets[:-1][:, None] + [0, 1]]
    assert (heads[:, 0] == 0).all()
    assert (heads[:, 1] == 1).all() == domain_token


def test_questions_are_drawn_anew_at_every_exposure():
    dataset = small(questions="half")
    asked = [
        [dataset.pieces.render(row)[1][0].role for row in dataset.question_outlines(np.arange(200), e)] for e in (0, 1)
    ]
    assert asked[0] != asked[1]
    assert set(asked[0]) == {3, 4, 5, 6, 7, 8}


@pytest.mark.parametrize("options", [{}, {"variant": "fresh+fullname"}, {"domain_token": True}, {"tokenizer": "bpe"}])
def test_no_text_is_longer_than_the_longest(options: dict[str, object]):
    dataset = small(**options)
    lengths = draw_texts(dataset, np.arange(200), 0).lengths
    assert lengths.max() <= dataset.longest_text <= 2 * lengths.max()


def test_the_longest_text_can_be():
    sizes = dict.fromkeys(PoolSizes.model_fields, 1)
    dataset = small(pools=PoolSizes(**sizes), templates=6, people=1)
    assert draw_texts(dataset, np.array([0]), 0).lengths.tolist() == [dataset.longest_text]


@pytest.mark.parametrize("variant", ["fresh", "single+fullname"])
def test_the_smallest_pools_work(variant: str):
    sizes = PoolSizes(**dict.fromkeys(PoolSizes.model_fields, 1))
    dataset = small(variant, pools=sizes, templates=6, people=1, questions="half", tokenizer="bpe", vocab=300)
    for exposure in range(20):
        (row,) = dataset.question_outlines(np.array([0]), exposure)
        text = dataset.pieces.render(row)[0]
        assert dataset.pieces.splice(row[None]).tokens.tolist() == [0, *dataset.tokenizer.encode(text)]


@pytest.mark.parametrize("people", [3, MOST_KEPT, MOST_KEPT + 1])
def test_draws_that_are_kept_are_those_drawn_anew(people: int):
    pools = PoolSizes(first_names=50, middle_names=50, last_names=50)
    dataset = small(people=people, pools=pools, seed=5, questions="half", domain_token=True, junk=0.5)
    index = np.array([people - 1, 0, people - 2])
    beyond = np.append(index, people + 1)  # of whom nothing is kept
    for outlines in (dataset.outlines, dataset.question_outlines):
        assert (outlines(index, 1) == outlines(beyond, 1)[:3]).all()
    with pytest.raises(ValueError, match="outside"):
        dataset.outlines(np.array([-1]), 0)


def test_a_data_set_follows_its_configuration():
    dataset, other = small(seed=0), small(seed=1, people=150)
    dataset.outlines(np.arange(200), 0)
    dataset.config = other.config  # as a sweep's plan does
    assert (dataset.outlines(np.arange(150), 0) == other.outlines(np.arange(150), 0)).all()
