"""bioD: distinct chunk strings, roles of first and later chunks, a vocabulary of the symbols in use."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biogen.config import BioDShape, DataConfig
from biogen.dataset import EVALUATION, draw_texts
from biogen.datasets.biod import CHUNKS, BioD
from biogen.pieces import Role

SHAPES = {
    "paper-like": BioDShape(K=4, C=4, D=64, L=1, T=64),
    "long chunks": BioDShape(K=3, C=2, D=10, L=5, T=3),
    "one chunk": BioDShape(K=5, C=1, D=30, L=2, T=8),
    "all strings": BioDShape(K=2, C=3, D=27, L=3, T=3, name_length=7),
    "beyond 2^60": BioDShape(K=2, C=2, D=50, L=40, T=8, name_length=4),
    "one string": BioDShape(K=1, C=1, D=1, L=1, T=2, name_length=8),
}


def make(shape: BioDShape, people: int = 100, **options: object) -> BioD:
    return BioD(DataConfig(dataset="biod", biod=shape, people=min(people, shape.names), **options))


@pytest.fixture(scope="module", params=SHAPES)
def dataset(request: pytest.FixtureRequest) -> BioD:
    return make(SHAPES[request.param])


def everybody(dataset: BioD) -> np.ndarray:
    return np.arange(dataset.config.people)


@settings(max_examples=20)
@given(shape=st.builds(BioDShape, K=st.integers(1, 4), D=st.integers(1, 9), L=st.integers(2, 30), T=st.integers(3, 99)))
def test_chunk_strings_are_distinct_and_of_their_length(shape: BioDShape):
    chunks = chunk_strings(make(shape, people=300))
    assert len(chunks) == shape.K
    for strings in chunks.values():
        assert len(strings) <= shape.D
        assert {len(string) for string in strings} == {shape.L}
    drawn = [string for strings in chunks.values() for string in strings]
    assert all(0 <= int(symbol.removeprefix("s")) < shape.T for string in drawn for symbol in string)


def chunk_strings(dataset: BioD) -> dict[str, set[tuple[str, ...]]]:
    """Of each attribute all chunks that people have."""
    L, found = dataset.shape.L, {f"a{k}": set() for k in range(dataset.shape.K)}
    for person in dataset.describe(everybody(dataset)):
        for k, strings in found.items():
            symbols = person[k].split()
            assert len(symbols) == dataset.shape.C * L
            strings |= {tuple(symbols[first : first + L]) for first in range(0, len(symbols), L)}
    return found


@pytest.mark.parametrize("name", ["paper-like", "long chunks", "all strings", "beyond 2^60"])
def test_all_chunks_are_in_use(name: str):
    for strings in chunk_strings(make(SHAPES[name], people=3000)).values():
        assert len(strings) == SHAPES[name].D


def test_attributes_have_strings_of_their_own():
    strings = chunk_strings(make(BioDShape(K=3, C=4, D=20, L=3, T=50), people=3000))
    assert not set.intersection(*strings.values())


def test_chunks_are_uniform():
    dataset = make(BioDShape(K=2, C=2, D=8, L=1, T=64, name_length=4), people=16_000)
    people = dataset.describe(everybody(dataset))
    for k in ("a0", "a1"):
        counts = np.unique([person[k] for person in people], return_counts=True)[1]
        assert len(counts) == 64  # pairs of chunks
        assert abs(((counts - 250) ** 2 / 250).sum() - 63) < 5 * np.sqrt(2 * 63)


def test_the_vocabulary_is_what_occurs(dataset: BioD):
    tokens = draw_texts(dataset, everybody(dataset), 0).tokens
    K, special = dataset.shape.K, 1
    words = {word for text in dataset.covering_texts() for word in text.split()}
    symbols = {word for word in words if word.startswith("s")}
    assert words - symbols == {f"a{k}" for k in range(K)}
    assert dataset.tokenizer.vocab == special + K + len(symbols)
    assert {token for text in words for token in dataset.tokenizer.encode(text)} == set(
        range(special, dataset.tokenizer.vocab)
    )
    assert set(tokens.tolist()) <= set(range(dataset.tokenizer.vocab))


def test_symbols_that_no_name_and_no_chunk_has_are_no_tokens():
    shape = BioDShape(K=2, C=1, D=3, L=1, T=10_000)
    few = make(shape, people=5)
    assert few.tokenizer.vocab <= 1 + 2 + 2 * 3 + 5 * 3
    used = {*draw_texts(few, np.arange(5), 0).tokens.tolist()}
    assert len(used) >= few.tokenizer.vocab - 2 * 3  # chunks that nobody has are in the alphabet
    assert make(shape, people=5, junk="1/2").tokenizer.vocab == 1 + 2 + 10_000


def test_splicing_equals_tokenizing(dataset: BioD):
    outlines = dataset.outlines(everybody(dataset), 2)
    texts = dataset.pieces.splice(outlines)
    for i, row in enumerate(outlines):
        tokens = texts.tokens[texts.offsets[i] : texts.offsets[i + 1]].tolist()
        assert tokens == [0, *dataset.tokenizer.encode(dataset.pieces.render(row)[0])]
    assert (texts.lengths == dataset.longest_text).all()


def test_paragraphs_say_what_the_person_is(dataset: BioD):
    outlines = dataset.outlines(everybody(dataset), 1)
    for person, row in zip(dataset.describe(everybody(dataset)), outlines, strict=True):
        text, spans = dataset.pieces.render(row)
        name, *said = re.split(r" (a\d+) ", text)
        assert name == person["name"]
        assert len(name.split()) == dataset.shape.name_length
        assert dict(zip(said[::2], said[1::2], strict=True)) == {k: v for k, v in person.items() if k != "name"}
        read = {dataset.role_names[role]: text[start:end].strip() for role, start, end in spans}
        assert read["name"] == name
        for k in range(dataset.shape.K):
            rest = read.get(f"a{k}_rest", "")
            assert f"{read[f'a{k}_first']} {rest}".strip() == person[f"a{k}"]
            assert len(read[f"a{k}_first"].split()) == dataset.shape.L
            assert bool(rest) == (dataset.shape.C > 1)


def test_roles_of_tokens(dataset: BioD):
    shape = dataset.shape
    texts = draw_texts(dataset, everybody(dataset), 0)
    rows = texts.roles.reshape(len(texts), -1)
    assert (rows[:, 0] == Role.OTHER).all()
    assert (rows[:, 1 : 1 + shape.name_length] == Role.NAME).all()
    sentences = rows[:, 1 + shape.name_length :].reshape(len(texts), shape.K, -1)
    assert (sentences[:, :, 0] == Role.OTHER).all()
    first, rest = sentences[:, :, 1 : 1 + shape.L], sentences[:, :, 1 + shape.L :]
    assert (np.sort(first[:, :, 0]) == [CHUNKS + 2 * k for k in range(shape.K)]).all()
    assert (first == first[:, :, :1]).all()
    assert (rest == first[:, :, :1] + 1).all()
    assert list(dataset.value_roles.values()) == [(CHUNKS + 2 * k, CHUNKS + 2 * k + 1) for k in range(shape.K)]


def test_names_are_unique():
    shape = BioDShape(T=5, D=5, name_length=4)
    dataset = make(shape, people=625)
    assert dataset.names == 625
    assert len({person["name"] for person in dataset.describe(np.arange(625))}) == 625


def test_people_depend_on_seed_and_index_alone():
    shape = SHAPES["paper-like"]
    many, few, others = make(shape, people=1000), make(shape, people=10, junk="1/2"), make(shape, seed=1)
    assert many.describe(np.array([7, 3])) == [few.describe(np.array([i]))[0] for i in (7, 3)]
    assert many.describe(np.arange(10)) != others.describe(np.arange(10))


def test_the_order_of_sentences_is_new_at_every_exposure():
    dataset = make(BioDShape(K=8, T=64))
    texts = [draw_texts(dataset, np.arange(50), exposure).tokens.reshape(50, -1) for exposure in (0, 1, EVALUATION)]
    assert all((texts[a] != texts[b]).any(axis=1).all() for a, b in ((0, 1), (0, 2), (1, 2)))
    assert (np.sort(texts[0]) == np.sort(texts[1])).all()
    assert (draw_texts(dataset, np.arange(50), 1).tokens.reshape(50, -1) == texts[1]).all()
