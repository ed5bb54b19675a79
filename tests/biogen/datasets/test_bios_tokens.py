"""BioS: splicing equals tokenizing, for every template with every value."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from biogen.config import DataConfig
from biogen.dataset import draw_texts, mean_length
from biogen.datasets.bios import BioS
from biogen.pieces import EMPTY
from biogen.pools import Pools, PoolSizes, load_pools
from biogen.templates import ATTRIBUTES, Bank, load_bank
from tests.biogen.datasets.conftest import BANK, SMALL, small

TOKENIZERS = {
    "bpe": {"vocab": 1024, "questions": "half"},
    "small bpe": {"vocab": 160},
    "word": {"tokenizer": "word", "questions": "half"},
    "gpt2_like": {"questions": "half"},
    "unigram": {},
}


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
    outlines = np.array([row + [EMPTY] * (slots - len(row)) for row in rows])
    spliced = full.pieces.splice(outlines)
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
    for outlines in [full.outlines(index, 3), *([full.question_outlines(index, 3)] if asks else [])]:
        texts = full.pieces.splice(outlines)
        for i, row in enumerate(outlines):
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
    outlines = dataset.outlines(np.arange(100), 0)
    texts = dataset.pieces.splice(outlines)
    for i, row in enumerate(outlines):
        expected = dataset.tokenizer.encode(dataset.pieces.render(row)[0])
        assert texts.tokens[texts.offsets[i] + 1 : texts.offsets[i + 1]].tolist() == expected


def test_gpt2s_lengths_are_the_papers():
    """With GPT-2's tokenizer, which splits few of these words, the paper counts 73 tokens a biography."""
    assert 60 < mean_length(BioS(DataConfig(tokenizer="word"))) < 73
