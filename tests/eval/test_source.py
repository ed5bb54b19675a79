"""The texts of an evaluation: the same through our tokens and through a folder's tokenizer, with the same roles."""

from itertools import chain

import numpy as np
import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from biogen.config import DataConfig
from biogen.dataset import EVALUATION, make_dataset
from biogen.datasets.bios import ROLES
from biogen.pieces import Role
from biogen.saved import load_saved
from biogen.templates import ATTRIBUTES
from eval import source
from eval.source import OtherTokens, OwnTokens

PEOPLE = np.array([0, 3, 8, 21])


@pytest.fixture(scope="module")
def asking(bios):
    return make_dataset(DataConfig(**bios.config.model_dump() | {"questions": "half", "domain_token": True}))


def texts_of(texts):
    for start, end in zip(texts.offsets, texts.offsets[1:], strict=False):
        yield texts.tokens[start:end], texts.roles[start:end]


@pytest.mark.parametrize("which", ["bios", "biod", "asking"])
def test_the_saved_tokenizer_gives_our_own_tokens_and_roles(which, request, tmp_path):
    dataset = request.getfixturevalue(which)
    dataset.tokenizer.save_pretrained(tmp_path)
    own, other = OwnTokens(dataset), OtherTokens(dataset, AutoTokenizer.from_pretrained(tmp_path))
    assert own.end == other.end == 0
    expected, found = own.texts(PEOPLE, EVALUATION), other.texts(PEOPLE, EVALUATION)
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    np.testing.assert_array_equal(found.offsets, expected.offsets)
    np.testing.assert_array_equal(found.roles, expected.roles)
    assert len(other.tokens_in_use()) == dataset.tokenizer.vocab


def test_questions_are_the_same_through_the_saved_tokenizer(asking, tmp_path):
    asking.tokenizer.save_pretrained(tmp_path)
    own, other = OwnTokens(asking), OtherTokens(asking, AutoTokenizer.from_pretrained(tmp_path))
    for attribute in range(len(ATTRIBUTES)):
        for expected, found in zip(
            own.ask(PEOPLE, EVALUATION, attribute), other.ask(PEOPLE, EVALUATION, attribute), strict=True
        ):
            for a, b in zip(expected, found, strict=True):
                np.testing.assert_array_equal(a, b)


def test_a_question_and_its_answer(asking, bios):
    prompts, answers = OwnTokens(asking).ask(PEOPLE, EVALUATION, ATTRIBUTES.index("university"))
    for person, prompt, answer in zip(PEOPLE, prompts, answers, strict=True):
        text, spans = bios.pieces.render(bios.outlines(np.array([person]), 0)[0])
        said = {span.role: text[span.start : span.end].strip() for span in spans}
        assert prompt[0] == 0
        assert said[Role.NAME] in asking.tokenizer.decode(prompt.tolist())
        assert asking.tokenizer.decode(answer.tolist()) == said[ROLES["university"]] + "."


@pytest.mark.parametrize("which", ["bios", "biod"])
def test_every_role_covers_its_characters_in_foreign_tokens(which, request, foreign_tokenizer):
    dataset = request.getfixturevalue(which)
    read = OtherTokens(dataset, foreign_tokenizer)
    used = read.tokens_in_use()
    rows = dataset.outlines(PEOPLE, EVALUATION)
    for row, (tokens, roles) in zip(rows, texts_of(read.texts(PEOPLE, EVALUATION)), strict=True):
        text, spans = dataset.pieces.render(row)
        assert tokens[0] == foreign_tokenizer.eos_token_id
        assert roles[0] == Role.OTHER
        assert foreign_tokenizer.decode(tokens[1:]) == text
        for role in {span.role for span in spans}:
            said = "".join(text[span.start : span.end] for span in spans if span.role == role)
            assert foreign_tokenizer.decode(tokens[roles == role]).replace(" ", "") == said.replace(" ", "")
        assert set(tokens.tolist()) <= used
    assert len(used) < len(foreign_tokenizer)


def test_foreign_questions_are_the_same_words(bios, foreign_tokenizer):
    dataset = make_dataset(DataConfig(**bios.config.model_dump() | {"questions": "half"}))
    own, other = OwnTokens(dataset), OtherTokens(dataset, foreign_tokenizer)
    for attribute in range(len(ATTRIBUTES)):
        expected, found = (one.ask(PEOPLE, EVALUATION, attribute) for one in (own, other))
        for kind in (0, 1):
            for a, b in zip(expected[kind], found[kind], strict=True):
                ours, theirs = (
                    dataset.tokenizer.decode(a.tolist()),
                    foreign_tokenizer.decode(b, skip_special_tokens=True),
                )
                assert ours == theirs.strip()


def test_a_tokenizer_without_an_end_is_refused(bios, foreign_tokenizer):
    nameless = PreTrainedTokenizerFast(tokenizer_object=foreign_tokenizer.backend_tokenizer)
    with pytest.raises(ValueError, match="tokenizer: it has no eos_token"):
        OtherTokens(bios, nameless)


def test_a_beginning_token_serves_as_the_end(bios, foreign_tokenizer):
    named = PreTrainedTokenizerFast(tokenizer_object=foreign_tokenizer.backend_tokenizer, bos_token="<unused>")
    assert OtherTokens(bios, named).end == 1


def test_a_tokenizer_without_the_domain_token_is_refused(asking, foreign_tokenizer):
    with pytest.raises(ValueError, match=r"tokenizer: it has no token <\|biography\|>"):
        OtherTokens(asking, foreign_tokenizer)


def test_a_tokenizer_that_does_not_know_a_word_is_refused(bios):
    backend = Backend(models.WordLevel({"<eos>": 0, "<unk>": 1, "was": 2, "born": 3}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", unk_token="<unk>")
    with pytest.raises(ValueError, match="tokenizer: it has no token for a part of"):
        OtherTokens(bios, tokenizer).texts(PEOPLE, EVALUATION)


def test_an_exported_tokenizer_of_other_data_is_refused(bios, tmp_path):
    """It takes any word, as its end token; but not for a text that is measured."""
    other = make_dataset(DataConfig(**bios.config.model_dump() | {"tokenizer": "word", "templates": 6, "seed": 4}))
    other.tokenizer.save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer("Zebra was born").input_ids[0] == 0
    OtherTokens(other, tokenizer).texts(PEOPLE, EVALUATION)
    with pytest.raises(ValueError, match="tokenizer: it has no token for a part of"):
        OtherTokens(bios, tokenizer).texts(PEOPLE, EVALUATION)


def test_a_token_over_two_roles_is_refused(bios):
    texts = [bios.pieces.render(row)[0] for row in bios.outlines(np.arange(30), 0)]
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Metaspace(split=False)  # so that a token may hold spaces
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<eos>"], show_progress=False)
    backend.train_from_iterator(texts, trainer)
    read = OtherTokens(bios, PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>"))
    with pytest.raises(ValueError, match="tokenizer: makes one token of") as caught:
        read.texts(np.arange(30), EVALUATION)
    assert "\n" not in str(caught.value)


def small_bpe(bios, vocab, tmp_path):
    """The data set in few tokens, so that many a space stands alone; and its tokenizer from its folder."""
    dataset = make_dataset(DataConfig(**bios.config.model_dump() | {"vocab": vocab, "questions": "half"}))
    dataset.tokenizer.save_pretrained(tmp_path)
    return dataset, load_saved(str(tmp_path))


@pytest.mark.parametrize("vocab", [70, 100, 150])
def test_a_space_alone_counts_as_in_our_own_tokens(bios, vocab, tmp_path):
    dataset, tokenizer = small_bpe(bios, vocab, tmp_path)
    space = tokenizer.convert_tokens_to_ids("Ġ")
    own, other = OwnTokens(dataset), OtherTokens(dataset, tokenizer)
    expected, found = own.texts(PEOPLE, EVALUATION), other.texts(PEOPLE, EVALUATION)
    assert (expected.tokens == space).any()
    counted = set(expected.roles[expected.tokens == space].tolist())
    assert Role.NAME in counted
    assert max(counted) > Role.VALUES
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    np.testing.assert_array_equal(found.roles, expected.roles)
    for a, b in zip(chain(*own.ask(PEOPLE, 0, 0)), chain(*other.ask(PEOPLE, 0, 0)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(other.tokens_in_use()) == dataset.tokenizer.vocab


@pytest.mark.parametrize("vocab", [70, 150])
def test_exported_spans_give_the_roles_of_tokens(bios, vocab, tmp_path):
    """By the plainest of rules: a token has the role of the span that it lies in."""
    dataset, tokenizer = small_bpe(bios, vocab, tmp_path)
    for row in dataset.outlines(PEOPLE, EVALUATION):
        text, spans = dataset.pieces.render(row)
        encoding = tokenizer.backend_tokenizer.encode(text)
        roles = [next((s.role for s in spans if s.start <= a and b <= s.end), 0) for a, b in encoding.offsets]
        assert roles == dataset.pieces.splice(row[None]).roles[1:].tolist()


@pytest.mark.parametrize(
    ("template", "beginning"), [("<s> $A", "<s>"), ("<s> $A </s>", "<s>"), ("$A </s>", "</s>"), (None, "</s>")]
)
def test_a_text_begins_with_what_the_tokenizer_puts_there(bios, foreign_tokenizer, template, beginning):
    backend = Backend.from_str(foreign_tokenizer.backend_tokenizer.to_str())
    backend.add_special_tokens(["<s>", "</s>"])
    ids = {token: backend.token_to_id(token) for token in ("<s>", "</s>")}
    if template:
        backend.post_processor = processors.TemplateProcessing(template, special_tokens=list(ids.items()))
    read = OtherTokens(bios, PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>"))
    texts = read.texts(PEOPLE, EVALUATION)
    assert read.beginning == beginning
    assert read.end == ids["</s>"]
    assert set(texts.tokens[texts.offsets[:-1]].tolist()) == {ids[beginning]}
    assert set(texts.roles[texts.offsets[:-1]].tolist()) == {Role.OTHER}


def test_tokens_that_hold_a_whole_name_are_in_use(bios, foreign_tokenizer):
    """Rows for them can be set by hand; the texts that hold every word hold none of them."""
    rows = bios.outlines(np.arange(bios.config.people), EVALUATION)
    texts = [bios.pieces.render(row) for row in rows]
    names = [text[: spans[0].end] for text, spans in texts]
    backend = Backend.from_str(foreign_tokenizer.backend_tokenizer.to_str())
    backend.add_tokens([*names, "Nobody At All"])
    named = OtherTokens(bios, PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>")).tokens_in_use()
    assert named >= {backend.token_to_id(name) for name in names}
    assert backend.token_to_id("Nobody At All") not in named


def test_everybody_is_read_though_few_are_measured(bios, foreign_tokenizer, monkeypatch):
    before = OtherTokens(bios, foreign_tokenizer).tokens_in_use()
    monkeypatch.setattr(source, "_BLOCK", 7)
    assert OtherTokens(bios, foreign_tokenizer).tokens_in_use() == before


def test_a_word_that_nobody_has_may_be_unknown(bios, foreign_tokenizer):
    """A user makes a tokenizer of texts that stand in data.parquet, not of the pools."""
    everyone = bios.outlines(np.arange(bios.config.people), EVALUATION)
    split = pre_tokenizers.Whitespace()
    words = {word for row in everyone for word, _ in split.pre_tokenize_str(bios.pieces.render(row)[0])}
    backend = Backend(models.WordLevel({w: i for i, w in enumerate(["<eos>", "<unk>", *sorted(words)])}, "<unk>"))
    backend.pre_tokenizer = split
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", unk_token="<unk>")
    assert len(OtherTokens(bios, fast).tokens_in_use()) == 1 + len(words)
    with pytest.raises(ValueError, match="tokenizer: it has no token for a part of"):
        OtherTokens(make_dataset(bios.config.model_copy(update={"seed": 99})), fast).tokens_in_use()
