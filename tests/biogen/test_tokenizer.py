"""Tokenizers are reduced to the tokens in use, and change no text's tokens by that."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from biogen.tokenizer import DOMAIN, END, Tokenizer, make_tokenizer

CITIES = ["Albany, NY", "Salt Lake City, UT", "San José, CA", "Fargo, ND", "Springfield, IL", "Bend, OR"]
COVER = [
    ["Ada", " King", " was born in", f" {city}", ".", " She", " grew up in", f" {city}", ", with friends."]
    for city in CITIES
]
CORPUS = ["".join(text) for text in COVER]
ALPHABET = {letter for text in CORPUS for letter in text if letter != "é"}
HUGGING_FACE = ["gpt2_like", "bert_like", "unigram"]
ENGLISH = [text for text in COVER if "é" not in "".join(text)]


def tokens_in_use(tokenizer: Tokenizer, cover: list[list[str]]) -> set[int]:
    return {token for text in cover for token in tokenizer.encode("".join(text))}


@settings(max_examples=60)
@given(vocab=st.integers(45, 160))
def test_bpe_uses_all_of_its_tokens_and_never_more_than_allowed(vocab: int):
    tokenizer = make_tokenizer("bpe", vocab, CORPUS, COVER)
    assert tokenizer.vocab <= vocab
    assert tokens_in_use(tokenizer, COVER) == set(range(1, tokenizer.vocab))


def test_a_large_vocabulary_makes_whole_words():
    bpe, word = (make_tokenizer(name, 5000, CORPUS, COVER) for name in ("bpe", "word"))
    assert bpe.vocab == word.vocab
    assert len(bpe.encode(CORPUS[0])) == len(word.encode(CORPUS[0])) == len(CORPUS[0].split()) + 5  # , . , , .


def test_bpes_alphabet_is_the_texts_and_it_must_fit():
    smallest = len(ALPHABET) + len({*"é".encode()}) + 1  # bytes, and the end token
    assert make_tokenizer("bpe", smallest, CORPUS, COVER).vocab == smallest
    with pytest.raises(ValueError, match=rf"vocab: {smallest - 1} .* {smallest}$"):
        make_tokenizer("bpe", smallest - 1, CORPUS, COVER)
    with pytest.raises(ValueError, match=rf"vocab: {smallest} .* {smallest + 1}$"):
        make_tokenizer("bpe", smallest, CORPUS, COVER, [DOMAIN])


@pytest.mark.parametrize("vocab", [45, 70, 110])
def test_the_same_texts_make_the_same_bpe(vocab: int):
    first, second = (make_tokenizer("bpe", vocab, CORPUS, COVER).backend.to_str() for _ in range(2))
    assert first == second


@pytest.fixture(scope="module", params=["bpe", "word", *HUGGING_FACE])
def tokenizer(request: pytest.FixtureRequest, hugging_face: Callable[[str], Path]) -> Tokenizer:
    if request.param in HUGGING_FACE:
        return make_tokenizer(str(hugging_face(request.param)), 0, [], ENGLISH, [DOMAIN])
    return make_tokenizer(request.param, 90, ["".join(text) for text in ENGLISH], ENGLISH, [DOMAIN])


def test_special_tokens_come_first(tokenizer: Tokenizer):
    assert tokenizer.special[0] in (END, "</s>")
    assert tokenizer.special[1] == DOMAIN
    assert tokenizer.encode(tokenizer.special[0] + DOMAIN) == [0, 1]


def test_every_other_token_occurs(tokenizer: Tokenizer):
    assert tokens_in_use(tokenizer, ENGLISH) == set(range(2, tokenizer.vocab))


def test_tokens_give_back_the_text(tokenizer: Tokenizer, request: pytest.FixtureRequest):
    for text in map("".join, ENGLISH):
        decoded = tokenizer.decode([0, *tokenizer.encode(text), 0])
        letters = decoded.replace(" ", ""), text.replace(" ", "")
        assert letters[0] == (letters[1].lower() if "bert" in request.node.name else letters[1])


def test_pieces_have_the_tokens_of_their_part_of_the_text(tokenizer: Tokenizer):
    for text, split in zip(ENGLISH, tokenizer.split(ENGLISH), strict=True):
        assert len(split) == len(text)
        assert [token for piece in split for token in piece] == tokenizer.encode("".join(text))
        assert all(split)


def test_the_saved_tokenizer_gives_the_same_tokens(tokenizer: Tokenizer, tmp_path: Path):
    tokenizer.save_pretrained(tmp_path)
    saved = AutoTokenizer.from_pretrained(tmp_path)
    assert saved.eos_token_id == 0
    assert saved.convert_tokens_to_ids(DOMAIN) == 1
    for text in map("".join, ENGLISH):
        assert saved(text).input_ids == tokenizer.encode(text)


def test_the_saved_tokenizer_is_one_of_transformers_4_too(tokenizer: Tokenizer, tmp_path: Path):
    """It has no TokenizersBackend and no list of extra_special_tokens, and takes the space before a text from here."""
    tokenizer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert "extra_special_tokens" not in config
    assert config["additional_special_tokens"] == [DOMAIN]
    splits = json.loads((tmp_path / "tokenizer.json").read_text())["pre_tokenizer"] or {}
    assert config.get("add_prefix_space") == splits.get("add_prefix_space")


def test_the_saved_tokenizer_takes_any_text(tokenizer: Tokenizer, tmp_path: Path):
    tokenizer.save_pretrained(tmp_path)
    saved = AutoTokenizer.from_pretrained(tmp_path)
    assert saved.unk_token_id == saved.eos_token_id == 0
    known = "Ada King was born in Fargo, ND"
    assert saved(known).input_ids == tokenizer.encode(known)
    assert 0 in saved(f"{known} Ωμέγα").input_ids  # no letter of which is in any text


def test_words_that_no_text_has_are_named(tokenizer: Tokenizer):
    assert tokenizer.unknown_words("Ada King was born in Fargo, ND.") == []
    assert tokenizer.unknown_words("Ωμέγα was born in Fargo, Ωμέγα & ΩΩ.") == ["Ωμέγα", "&", "ΩΩ"]
    known = {token for text in ENGLISH for token in tokenizer.encode("".join(text))}
    for word in ("Kingdom", "Adana", "friendship"):  # made of known letters: the tokens in use may do, or not
        assert (tokenizer.unknown_words(f"Ada King {word}") == [word]) == (not _spells(tokenizer, word, known))


def _spells(tokenizer: Tokenizer, word: str, known: set[int]) -> bool:
    """Whether a word has tokens, all of texts."""
    try:
        return set(tokenizer.encode(f"Ada King {word}")) <= known
    except Exception:  # tokenizers has no kind of its own for a word without a token
        return False


@pytest.mark.parametrize("name", ["word", "bert_like"])
def test_building_and_measuring_still_refuse_words_without_tokens(
    name: str, hugging_face: Callable[[str], Path], tmp_path: Path
):
    named = name if name == "word" else str(hugging_face(name))
    tokenizer = make_tokenizer(named, 0, [], ENGLISH)
    with pytest.raises(Exception, match="Missing"):
        tokenizer.encode("Ωμέγα was born in Fargo, ND.")
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="it has no token for a part of 'Ωμέγα was born"):
        make_tokenizer(str(tmp_path), 0, [], [["Ωμέγα", " was born", " in", " Fargo, ND."]])


@pytest.mark.parametrize("name", HUGGING_FACE)
def test_reducing_keeps_the_tokens_strings(name: str, hugging_face: Callable[[str], Path]):
    original = AutoTokenizer.from_pretrained(hugging_face(name))
    reduced = make_tokenizer(str(hugging_face(name)), 0, [], ENGLISH)
    for text in map("".join, ENGLISH):
        before = original(text, add_special_tokens=False).tokens()
        assert reduced.backend.encode(text, add_special_tokens=False).tokens == before
    assert reduced.vocab < len(original)


def test_a_tokenizer_may_not_join_pieces(hugging_face: Callable[[str], Path]):
    with pytest.raises(ValueError, match=r"tokenizer: makes one token of '.* .*' in .*allowed are"):
        make_tokenizer(str(hugging_face("joining")), 0, [], ENGLISH)


def test_a_tokenizer_must_know_the_text(hugging_face: Callable[[str], Path]):
    with pytest.raises(ValueError, match=r"it has no token for a part of 'Born in 1950\.'; must keep"):
        make_tokenizer(str(hugging_face("without_digits")), 0, [], [["Born", " in", " 1950", "."]])


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"cannot be loaded .* allowed are bpe, word, bytes, or"):
        make_tokenizer(str(tmp_path), 0, [], ENGLISH)


def saved_bpe(folder: Path, *, prefix: str = "", added: str | None = None, end: str = "<eos>") -> str:
    """A BPE of `ENGLISH` in a folder."""
    backend = Backend(models.BPE(continuing_subword_prefix=prefix))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(special_tokens=["<eos>"], continuing_subword_prefix=prefix, show_progress=False)
    backend.train_from_iterator(["".join(text) for text in ENGLISH], trainer)
    if added:
        backend.add_tokens([added])
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=end).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("changes", [{"prefix": "##"}, {"added": "Springfield"}])
def test_a_reduced_tokenizer_gives_the_tokens_of_the_whole_one(tmp_path: Path, changes: dict[str, str]):
    name = saved_bpe(tmp_path, **changes)
    whole, reduced = (PreTrainedTokenizerFast.from_pretrained(name), make_tokenizer(name, 0, [], ENGLISH))
    for text in map("".join, ENGLISH):
        encoded = reduced.backend.encode(text, add_special_tokens=False)
        assert encoded.tokens == whole.backend_tokenizer.encode(text, add_special_tokens=False).tokens
        assert max(encoded.ids) < reduced.vocab


def test_an_end_token_that_stands_in_texts_is_refused(tmp_path: Path):
    text = "".join(ENGLISH[0])
    with pytest.raises(ValueError, match="stands before every text and in it; must end texts alone"):
        make_tokenizer(saved_bpe(tmp_path, end=text[-1]), 0, [], ENGLISH)
