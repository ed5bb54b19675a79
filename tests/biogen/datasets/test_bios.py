"""BioS: splicing equals tokenizing, for every template with every value; texts change as the variant says."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from biogen.config import DataConfig
from biogen.dataset import EVALUATION, draw_texts, mean_length
from biogen.datasets.bios import ROLES, BioS
from biogen.people import MOST_KEPT, describe
from biogen.pieces import EMPTY, Role
from biogen.pools import Pools, PoolSizes, load_pools
from biogen.templates import ATTRIBUTES, Bank, load_bank

BANK = 312
TOKENIZERS = {
    "bpe": {"vocab": 1024, "questions": "half"},
    "small bpe": {"vocab": 160},
    "word": {"tokenizer": "word", "questions": "half"},
    "gpt2_like": {"questions": "half"},
    "unigram": {},
}
SMALL = PoolSizes(first_names=20, middle_names=15, last_names=25, birth_cities=9, universities=8, majors=7, employers=6)


def small(variant: str = "fresh", **options: object) -> BioS:
    options = {"people": 200, "pools": SMALL, "templates": 30, "tokenizer": "word", **options}
    return BioS(DataConfig(variant=variant, **options))


def texts_of(dataset: BioS, index: np.ndarray, exposure: int) -> list[str]:
    return [dataset.pieces.render(row)[0] for row in dataset.plan(index, exposure)]


@pytest.fixture(scope="module", params=TOKENIZERS)
def full(request: pytest.FixtureRequest, hugging_face: Callable[[str], Path]) -> BioS:
    """All templates and the paper's pools."""
    options = dict(TOKENIZERS[request.param])
    if "like" in request.param or request.param == "unigram":
        options["tokenizer"] = str(hugging_face(request.param))
    return BioS(DataConfig(templates=BANK, **options))


def every_biography(pools: Pools, bank: Bank) -> Iterator[list[str]]:
    """Biographies as pieces, in which every template stands with every value, and every name and pronoun occurs."""
    days = [f" {month} {day}," for month in pools.months for day in pools.days]
    values = {
        "birth_date": [[day, f" {pools.years[i % 200]}"] for i, day in enumerate(days)],
        "birth_city": [[f" {value}"] for value in pools.birth_cities],
        "university": [[f" {value}"] for value in pools.universities],
        "major": [[f" {value}"] for value in pools.majors],
        "employer": [[f" {value}"] for value in pools.employers],
        "company_city": [[f" {value}"] for value in dict.fromkeys(pools.company_cities)],
    }
    templates = {name: [t.split("{subject}")[1].split(" {value}") for t in bank.templates[name]] for name in ATTRIBUTES}
    each = BANK // len(ATTRIBUTES)
    for row in range(each * len(days)):
        again = row // each  # the next values, and another attribute first
        text = [pools.first_names[row % 400], f" {pools.middle_names[row % 400]}", f" {pools.last_names[row % 1000]}"]
        for place in range(len(ATTRIBUTES)):
            name = ATTRIBUTES[(place + again) % len(ATTRIBUTES)]
            if again < len(values[name]) or not place:
                before, after = templates[name][row % each]
                text += [(" He", " She")[again % 2]] if place else []
                text += [before, *values[name][again % len(values[name])], after]
        yield text


def every_question(pools: Pools, bank: Bank) -> Iterator[list[str]]:
    """Questions as pieces: every form of every question, and every name."""
    for row in range(1000):
        for name in ATTRIBUTES:
            before, after = bank.questions[name][row % 8].split(" {name}")
            later = f" {pools.first_names[row % 400]}", f" {pools.middle_names[row % 400]}"
            yield [before, *later, f" {pools.last_names[row]}", after]


def every_date(pools: Pools) -> Iterator[list[str]]:
    """Every year behind some days of every month."""
    for month in pools.months:
        for day in pools.days[::9]:
            for year in pools.years:
                yield ["She", " was born on", f" {month} {day},", f" {year}", "."]


@pytest.fixture(scope="module")
def biographies() -> list[list[str]]:
    return list(every_biography(load_pools(PoolSizes()), load_bank(BANK)))


def piece_numbers(dataset: BioS) -> dict[str, int]:
    """One piece for each string; those of other roles have the same tokens."""
    numbers = {string: number for number, string in enumerate(dataset.pieces.strings)}
    spliced = dataset.pieces.splice(np.array([[i, numbers[s]] for i, s in enumerate(dataset.pieces.strings) if s]))
    for i, length in enumerate(spliced.lengths // 2):
        one, other = spliced.offsets[i], spliced.offsets[i] + length
        assert (spliced.tokens[one:other] == spliced.tokens[other : other + length]).all()
    return numbers


def test_splicing_equals_tokenizing_for_every_template_with_every_value(full: BioS, biographies: list[list[str]]):
    texts = biographies
    if full.config.questions == "half":
        texts = biographies + list(every_question(full.pools, full.bank))
    numbers = piece_numbers(full)
    rows = [[numbers[piece] for piece in text] for text in texts]
    slots = max(map(len, rows))
    plan = np.array([row + [EMPTY] * (slots - len(row)) for row in rows])
    spliced = full.pieces.splice(plan)
    whole = full.tokenizer.backend.encode_batch_fast(["".join(text) for text in texts], add_special_tokens=False)
    lengths = np.array([len(encoding.ids) for encoding in whole])
    assert (spliced.lengths == lengths).all()
    assert (spliced.tokens == np.concatenate([encoding.ids for encoding in whole])).all()


def test_every_year_stands_behind_every_day(full: BioS):
    dates = list(every_date(full.pools))
    tokens = {
        string: ids
        for text, split in zip(dates, full.tokenizer.split(dates), strict=True)
        for string, ids in zip(text, split, strict=True)
    }
    numbers = piece_numbers(full)
    for string in {date[2] for date in dates} | {date[3] for date in dates}:
        assert full.pieces.splice(np.array([[numbers[string]]])).tokens.tolist() == tokens[string]


def test_every_token_occurs(full: BioS):
    used = full.tokenizer.backend.encode_batch_fast(full.covering_texts(), add_special_tokens=False)
    assert {token for text in used for token in text.ids} == set(range(1, full.tokenizer.vocab))


def test_people_use_tokens_of_the_vocabulary_alone(full: BioS):
    tokens = draw_texts(full, np.arange(3000), 0).tokens
    assert tokens.min() == 0
    assert tokens.max() < full.tokenizer.vocab


def test_the_saved_tokenizer_gives_the_spliced_tokens(full: BioS, tmp_path: Path):
    full.tokenizer.save_pretrained(tmp_path)
    saved = AutoTokenizer.from_pretrained(tmp_path)
    index = np.arange(100)
    asks = full.config.questions == "half"
    for plan in [full.plan(index, 3), *([full.question_plan(index, 3)] if asks else [])]:
        texts = full.pieces.splice(plan)
        for i, row in enumerate(plan):
            tokens = texts.tokens[texts.offsets[i] : texts.offsets[i + 1]].tolist()
            assert tokens == [0, *saved(full.pieces.render(row)[0]).input_ids]


@pytest.mark.parametrize("vocab", [70, 2500])
def test_bpe_uses_as_many_tokens_as_it_may(vocab: int):
    assert BioS(DataConfig(vocab=vocab)).tokenizer.vocab in (vocab - 1, vocab)


def test_bpe_uses_as_many_tokens_as_it_may_with_the_whole_bank(full: BioS):
    if full.config.tokenizer == "bpe":
        assert full.tokenizer.vocab in (full.config.vocab - 1, full.config.vocab)


def test_the_vocabulary_depends_on_neither_people_nor_seed():
    options = {"tokenizer": "bpe", "vocab": 150}
    first, second = small(people=5, **options), small(people=2000, seed=7, junk="1/2", **options)
    assert first.tokenizer.backend.to_str() == second.tokenizer.backend.to_str()


def test_a_joining_tokenizer_is_refused(hugging_face: Callable[[str], Path]):
    with pytest.raises(ValueError, match="tokenizer: makes one token of"):
        BioS(DataConfig(tokenizer=str(hugging_face("joining"))))


def test_names_of_other_locales_can_be_tokenized():
    pools = SMALL.model_copy(update={"first_names": 30, "middle_names": 30, "last_names": 30})
    dataset = small(pools=pools, locale="de_DE", tokenizer="bpe", vocab=300)
    assert any(not name.isascii() for name in (*dataset.pools.first_names, *dataset.pools.last_names))
    plan = dataset.plan(np.arange(100), 0)
    texts = dataset.pieces.splice(plan)
    for i, row in enumerate(plan):
        expected = dataset.tokenizer.encode(dataset.pieces.render(row)[0])
        assert texts.tokens[texts.offsets[i] + 1 : texts.offsets[i + 1]].tolist() == expected


def test_gpt2s_lengths_are_the_papers():
    """With GPT-2's tokenizer, which splits few of these words, the paper counts 73 tokens a biography."""
    assert 60 < mean_length(BioS(DataConfig(tokenizer="word"))) < 73


def test_spans_read_what_the_person_is():
    dataset = small()
    people = describe(0, SMALL, dataset.pools, np.arange(200))
    for person, row in zip(people, dataset.plan(np.arange(200), 1), strict=True):
        text, spans = dataset.pieces.render(row)
        read = {dataset.role_names[role]: text[start:end] for role, start, end in spans}
        assert len(spans) == len(read) == 8
        assert read == {name: getattr(person, name) for name in read}
        assert text.startswith(person.name)


def test_roles_of_tokens_are_those_of_the_characters():
    dataset = small(tokenizer="bpe", vocab=200)
    plan = dataset.plan(np.arange(200), 1)
    texts = dataset.pieces.splice(plan)
    for i, row in enumerate(plan):
        text, spans = dataset.pieces.render(row)
        part = slice(texts.offsets[i], texts.offsets[i + 1])
        for role, start, end in spans:
            said = dataset.tokenizer.decode(texts.tokens[part][texts.roles[part] == role].tolist())
            assert said == text[start:end]
        assert set(texts.roles[part].tolist()) == {0, *(role for role, _, _ in spans)}


def test_name_and_pronoun_are_due_once():
    dataset = small()
    plan = dataset.plan(np.arange(200), 0)
    for person, row in zip(describe(0, SMALL, dataset.pools, np.arange(200)), plan, strict=True):
        text, spans = dataset.pieces.render(row)
        where = {role: (start, end) for role, start, end in spans}
        assert where[Role.NAME] == (0, len(person.name))
        assert where[ROLES["pronoun"]][0] == text.index(f". {person.pronoun} ") + 2
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
    order = {tuple(s.role for s in dataset.pieces.render(row)[1]) for row in dataset.plan(np.arange(200), 0)}
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
        {tuple(s.role for s in dataset.pieces.render(row)[1] if s.role > ROLES["pronoun"]) for row in plan}
        for plan in (dataset.plan(np.arange(200), 0), dataset.plan(np.arange(200), 1))
    ]
    if dataset.variant.permute:
        assert len(orders[0]) > 100
    else:
        assert orders == [{(3, 4, 5, 6, 7, 8)}] * 2
    if variant == "single+permute":
        assert (dataset.plan(np.arange(200), 0) == dataset.plan(np.arange(200), 1)).all()


def test_the_employer_is_measured_before_the_city_gives_it_away():
    dataset = small()

    def employer_first(exposure: int) -> list[bool]:
        rows = dataset.plan(np.arange(200), exposure)
        roles = [[span.role for span in dataset.pieces.render(row)[1]] for row in rows]
        return [row.index(ROLES["employer"]) < row.index(ROLES["company_city"]) for row in roles]

    assert 50 < sum(employer_first(0)) < 150
    assert all(employer_first(EVALUATION))
    assert all(employer_first(EVALUATION + 1))


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
        rows = dataset.plan(index, 0)
        for person, row in zip(index, rows, strict=True):
            assert dataset.pieces.render(row) == base.pieces.render(base.plan(np.array([person]), 0)[0])


@pytest.mark.parametrize("domain_token", [False, True])
def test_questions_ask_and_answer(domain_token: bool):
    dataset = small(questions="half", domain_token=domain_token)
    index = np.arange(200)
    slots = dataset.question_answer_slots()
    for number, attribute in enumerate(ATTRIBUTES):
        plan = dataset.question_plan(index, 1, number)
        for person, row in zip(describe(0, SMALL, dataset.pools, index), plan, strict=True):
            text, spans = dataset.pieces.render(row)
            answer = getattr(person, attribute)
            assert dataset.pieces.render(row[slots])[0] == f" {answer}"
            assert text.endswith(f"? {answer}.")
            question = text.removesuffix(f" {answer}.")
            assert question.replace(person.name, "{name}") in dataset.bank.questions[attribute]
            assert [(role, text[start:end]) for role, start, end in spans] == [(3 + number, answer)]
    tokens = dataset.pieces.splice(plan)
    heads = tokens.tokens[tokens.offsets[:-1][:, None] + [0, 1]]
    assert (heads[:, 0] == 0).all()
    assert (heads[:, 1] == 1).all() == domain_token


def test_questions_are_drawn_anew_at_every_exposure():
    dataset = small(questions="half")
    asked = [
        [dataset.pieces.render(row)[1][0].role for row in dataset.question_plan(np.arange(200), e)] for e in (0, 1)
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
        (row,) = dataset.question_plan(np.array([0]), exposure)
        text = dataset.pieces.render(row)[0]
        assert dataset.pieces.splice(row[None]).tokens.tolist() == [0, *dataset.tokenizer.encode(text)]


@pytest.mark.parametrize("people", [3, MOST_KEPT, MOST_KEPT + 1])
def test_draws_that_are_kept_are_those_drawn_anew(people: int):
    pools = PoolSizes(first_names=50, middle_names=50, last_names=50)
    dataset = small(people=people, pools=pools, seed=5, questions="half", domain_token=True, junk=0.5)
    index = np.array([people - 1, 0, people - 2])
    beyond = np.append(index, people + 1)  # of whom nothing is kept
    for plan in (dataset.plan, dataset.question_plan):
        assert (plan(index, 1) == plan(beyond, 1)[:3]).all()
    with pytest.raises(ValueError, match="outside"):
        dataset.plan(np.array([-1]), 0)


def test_a_data_set_follows_its_configuration():
    dataset, other = small(seed=0), small(seed=1, people=150)
    dataset.plan(np.arange(200), 0)
    dataset.config = other.config  # as a sweep's plan does
    assert (dataset.plan(np.arange(150), 0) == other.plan(np.arange(150), 0)).all()
