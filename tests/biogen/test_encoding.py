"""Tokens keep every character, and have the owner of their letters; a space alone belongs to what follows it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from biogen.encoding import Encoder
from biogen.tokenizer import split_tokens

BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
WORDS = st.lists(st.text("abé日", min_size=1, max_size=3), min_size=1, max_size=5)


def of_bytes(merges: tuple[tuple[str, str], ...] = (), *, without: str = "", prefix: bool = False) -> Tokenizer:
    """A byte-level BPE with these merges, that lacks the bytes `without`."""
    names = [byte for byte in BYTES if byte not in without] + ["".join(merge) for merge in merges]
    tokenizer = Tokenizer(models.BPE({name: number for number, name in enumerate(names)}, list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    return tokenizer


def of_words(*words: str) -> Tokenizer:
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=words[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def trimming() -> Tokenizer:
    """Its offsets leave the spaces out, so that a space alone has no characters."""
    tokenizer = of_bytes(prefix=True)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


def with_a_sign_for_spaces() -> Tokenizer:
    """As SentencePiece writes them."""
    names = [*"▁abé日"]
    tokenizer = Tokenizer(models.BPE({name: number for number, name in enumerate(names)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


MAKERS = {"bytes": of_bytes, "trimming": trimming, "metaspace": with_a_sign_for_spaces}


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
@given(texts=st.lists(WORDS, min_size=1, max_size=3))
def test_a_space_alone_belongs_to_the_word_behind_it(maker, texts: list[list[str]]):
    """Whether the space is written with the word before, with the word behind, or between them."""
    tokenizer = maker()
    behind = [[f" {word}" if place else word for place, word in enumerate(words)] for words in texts]
    before = [[f"{word} " if place < len(words) - 1 else word for place, word in enumerate(words)] for words in texts]
    expected = split_tokens(tokenizer, behind)
    assert split_tokens(tokenizer, before) == expected
    spelled = [[len(word.encode()) if maker is not with_a_sign_for_spaces else len(word) for word in w] for w in texts]
    signs = 0 if maker is of_bytes else 1  # whether the first word has one, too
    assert [[len(tokens) for tokens in text] for text in expected] == [
        [length + (1 if place else signs) for place, length in enumerate(lengths)] for lengths in spelled
    ]


def test_a_token_over_two_owners_is_refused():
    tokenizer = Tokenizer(models.BPE({"a": 0, " ": 1, "a ": 2, "b": 3}, [("a", " ")]))
    encoded = Encoder(tokenizer).encode(["aa bb"])
    assert encoded.owners(np.array([0, 1, 1, 2, 2])).tolist() == [0, 1, 2, 2]
    with pytest.raises(ValueError, match="tokenizer: makes one token of 'a ' in 'aa bb'; allowed are"):
        encoded.owners(np.array([0, 1, 2, 2, 2]))  # what is said before a value would depend on the value


def replacing(pattern: str, content: str) -> Tokenizer:
    tokenizer = of_bytes()
    tokenizer.normalizer = normalizers.Sequence([normalizers.Replace(digit, content) for digit in pattern])
    return tokenizer


def lower() -> Tokenizer:
    tokenizer = of_bytes()
    tokenizer.normalizer = normalizers.Lowercase()
    return tokenizer


@pytest.mark.parametrize(
    ("tokenizer", "texts", "reason"),
    [
        (of_bytes(without="2"), ["in 1952"], "no token for a part of 'in 1952'"),
        (replacing("12", ""), ["in 1952"], "no token for a part of 'in 1952'"),
        (replacing("12", "0"), ["in 1952"], "the same token for '1' and '2'"),
        (replacing("12", "0"), ["in 1", "in 2"], "the same token for '1' and '2'"),
        (lower(), ["She said she did"], "the same token for 'S' and 's'"),
        (of_words("<unk>", "in"), ["in 1952 in 1953"], "the same token for '1952' and '1953'"),
        (Tokenizer(models.BPE({"a": 0}, [])), ["b a"], "no token for a part of 'b a'"),
        (of_words("<unk>"), ["a b"], "the same token for 'a' and 'b'"),
    ],
)
def test_lost_characters_are_refused(tokenizer: Tokenizer, texts: list[str], reason: str):
    with pytest.raises(ValueError, match=f"^tokenizer: it has {reason}; must keep every character of a text$"):
        Encoder(tokenizer).encode(texts)


def test_what_a_token_stands_for_is_remembered():
    encoder = Encoder(of_words("<unk>", "in"))
    encoder.encode(["in 1952", "1952 in"])
    with pytest.raises(ValueError, match="the same token for '1952' and '1953'"):
        encoder.encode(["in 1953"])
    with pytest.raises(ValueError, match="no token for a part of 'in 1952'"):
        Encoder(of_words("<unk>", "in"), unknown=0).encode(["in 1952"])


def test_a_text_without_a_token_of_the_strict_kind_is_refused():
    tokenizer = Tokenizer(models.WordLevel({"in": 0}, unk_token="<unk>"))
    with pytest.raises(ValueError, match=r"tokenizer: it cannot read these texts \(.*\); is it of another data set"):
        Encoder(tokenizer).encode(["born"])


def decomposing() -> Tokenizer:
    tokenizer = of_bytes()
    tokenizer.normalizer = normalizers.NFD()
    return tokenizer


@pytest.mark.parametrize("tokenizer", [of_bytes((("s", "Ã"),)), decomposing(), with_a_sign_for_spaces()])
@given(words=WORDS)
def test_letters_of_several_tokens_are_kept(tokenizer: Tokenizer, words: list[str]):
    """é and 日 begin with bytes that other letters have, too; they count as one."""
    encoder = Encoder(tokenizer)
    if tokenizer.pre_tokenizer.__class__ is pre_tokenizers.ByteLevel:
        encoder.encode(["Ünì Sé sé 月 日 e é"])
    encoded = encoder.encode([" ".join(words)])
    assert encoded.offsets.tolist() == [0, len(encoded.tokens)]
