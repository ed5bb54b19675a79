"""Pieces of a corpus: side by side they are the text and its tokens, and none is too long or cuts a character."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from biogen import corpus_tokens
from biogen.corpus_tokens import TextPieces, cut_texts
from biogen.tokenizer import END, Tokenizer

TEXTS = ["def f(x):\n    return 'é' * x\n\n\n" * 3, f"no end {END} here\n", "\t\n  tabs — and 日本語\n" * 4, " x"]
HELD_OUT = ["held out: ß\n" * 3]


def pieces_of(found: TextPieces) -> list[list[int]]:
    return [part.tolist() for part in np.split(found.tokens, np.cumsum(found.lengths)[:-1])]


def whole(tokenizer: Tokenizer, text: str) -> list[int]:
    tokenizer.backend.encode_special_tokens = True
    return tokenizer.encode(text)


@pytest.mark.parametrize("name", ["bytes", "bpe"])
@pytest.mark.parametrize("most", [15, 16, 1000])
def test_pieces_side_by_side_are_the_texts_and_their_tokens(name: str, most: int):
    found = cut_texts(TEXTS, HELD_OUT, name=name, vocab=120, most=most)
    assert "".join(found.strings) == "".join([*TEXTS, *HELD_OUT])
    assert "".join(found.strings[found.training :]) == "".join(HELD_OUT)
    assert found.tokens.tolist() == [token for text in [*TEXTS, *HELD_OUT] for token in whole(found.tokenizer, text)]
    assert found.lengths.max() <= most
    assert found.tokens.min() > 0  # what looks like an end token is none
    for string, tokens in zip(found.strings, pieces_of(found), strict=True):
        assert found.tokenizer.backend.decode(tokens) == string
    assert set(found.tokens.tolist()) <= set(range(1, found.tokenizer.vocab))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=5), st.integers(4, 40))
def test_bytes_are_those_of_the_text(texts: list[str], most: int):
    found = cut_texts(texts, [], name="bytes", vocab=1, most=most)
    assert found.lengths.tolist() == [len(string.encode()) for string in found.strings]
    assert found.tokens.tolist() == [token for text in texts for token in whole(found.tokenizer, text)]
    assert found.tokenizer.vocab == 1 + len(set("".join(texts).encode()))
    full = [length for length, string in zip(found.lengths, found.strings, strict=True) if length > most - 4]
    assert len(found.strings) - len(full) <= len(texts)  # all but the last of each text are as long as can be


def test_no_piece_has_parts_of_two_texts():
    found = cut_texts(["a" * 25, "b" * 5], ["c" * 12], name="bytes", vocab=1, most=10)
    assert found.strings == ["a" * 10, "a" * 10, "a" * 5, "b" * 5, "c" * 10, "cc"]
    assert found.training == 4


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch):
    one = cut_texts(TEXTS, HELD_OUT, name="bpe", vocab=120, most=20)
    monkeypatch.setattr(corpus_tokens, "_BLOCK", 1)
    assert cut_texts(TEXTS, HELD_OUT, name="bpe", vocab=120, most=20).strings == one.strings


def test_a_bpe_is_trained_on_texts_for_training_alone():
    """What is frequent in held-out text alone gets no token of its own, but it has tokens."""
    found = cut_texts(["the cat and the dog\n" * 20], ["quux " * 200], name="bpe", vocab=60, most=50)
    vocabulary = found.tokenizer.backend.get_vocab()
    assert "Ġthe" in vocabulary
    assert not any("uu" in token or "ux" in token for token in vocabulary)


def test_a_tokenizer_of_hugging_face_gives_the_tokens_in_use(tmp_path: Path):
    made = cut_texts(TEXTS, HELD_OUT, name="bpe", vocab=120, most=20)
    made.tokenizer.save_pretrained(tmp_path)
    found = cut_texts(TEXTS[:1], [], name=str(tmp_path), vocab=1, most=20)
    assert "".join(found.strings) == TEXTS[0]
    assert found.tokenizer.vocab < made.tokenizer.vocab
    assert found.tokenizer.vocab == 1 + len(set(found.tokens.tolist()))
    ids = AutoTokenizer.from_pretrained(tmp_path)(TEXTS[0])["input_ids"]
    assert found.lengths.sum() == len(ids)


def test_a_tokenizer_that_loses_characters_is_refused(tmp_path: Path):
    words = {END: 0, "a": 1, "b": 2}
    backend = Backend(models.WordLevel(words, unk_token=END))
    backend.normalizer, backend.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=END, unk_token=END).save_pretrained(tmp_path)
    for text in ("a B b", "a c"):
        with pytest.raises(ValueError, match=r"tokenizer: it has .* token for .*must keep every character of a text"):
            cut_texts([text], [], name=str(tmp_path), vocab=1, most=20)


def test_a_vocabulary_smaller_than_the_alphabet_is_refused():
    with pytest.raises(ValueError, match="vocab: 3 is too small"):
        cut_texts(TEXTS, [], name="bpe", vocab=3, most=20)
