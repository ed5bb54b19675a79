"""A corpus as a data set: its pieces, what is held out, and what it refuses."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from biogen.config import DataConfig
from biogen.dataset import EVALUATION, Dataset, draw_texts, fingerprint, make_dataset, mean_length
from biogen.folder import write_dataset
from biogen.population import draw
from biogen.windows import Batches
from eval.heldout import check_heldout, heldout_windows

FILES = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of 40 lines, whose number stands in every line."""
    where = tmp_path_factory.mktemp("corpus")
    for number in range(FILES):
        (where / f"f{number:02}.py").write_text("".join(f"x{number:02} = {line:02}\n" for line in range(40)))
    return where


def make(folder: Path, people: int = 50, **options: object) -> Dataset:
    content = {"tokenizer": "bytes", "dataset_options": {"length": 41}, **options}
    return make_dataset(DataConfig(dataset="corpus", corpus=str(folder), people=people, **content))


def strings(dataset: Dataset, index: np.ndarray, exposure: int = 0) -> list[str]:
    return [dataset.pieces.render(row)[0] for row in dataset.outlines(index, exposure)]


def named(pieces: list[str]) -> set[str]:
    """The files that pieces are of, by the numbers in them."""
    return {name for piece in pieces for name in re.findall(r"x(\d\d)", piece)}


def test_a_tenth_is_held_out_in_whole_files(folder: Path):
    dataset = make(folder)
    assert dataset.names == FILES * 0.9 * 9 == 162  # 40 lines of 9 bytes, in pieces of 40 bytes
    assert dataset.held_out_texts == 18
    assert dataset.held_out_tokens == 18 * 41
    assert len(named(strings(dataset, dataset.draw_held_out(0, 18, 0)[0]))) == 2
    assert not named(strings(dataset, np.arange(162))) & named(strings(dataset, dataset.draw_held_out(0, 18, 0)[0]))


def test_the_seed_chooses_pieces_and_not_what_is_held_out(folder: Path):
    one, other = make(folder), make(folder, seed=1)
    everything = np.arange(one.names)
    assert strings(one, everything[:50]) != strings(other, everything[:50])
    assert sorted(strings(one, everything)) == sorted(strings(other, everything))
    index, number = one.draw_held_out(3, 7, 0)
    assert strings(one, index, number) == strings(other, *other.draw_held_out(3, 7, 0))
    assert len(set(one.draw_held_out(0, 18, 0)[0].tolist())) == 18


def test_a_piece_is_the_same_at_every_exposure_and_for_fewer_people(folder: Path):
    dataset, index = make(folder), np.arange(50)
    assert strings(dataset, index) == strings(dataset, index, 9) == strings(dataset, index, EVALUATION)
    assert strings(make(folder, people=20), index[:20]) == strings(dataset, index[:20])


def test_every_text_is_an_end_token_and_a_piece_of_one_role(folder: Path):
    dataset = make(folder)
    texts = draw_texts(dataset, np.arange(50), 0)
    assert texts.lengths.max() == dataset.longest_text == 41
    assert (texts.tokens[texts.offsets[:-1]] == 0).all()
    assert (np.delete(texts.tokens, texts.offsets[:-1]) > 0).all()
    assert (np.delete(texts.roles, texts.offsets[:-1]) == 2).all()
    assert dataset.role_names[2] == "text"
    assert mean_length(dataset) == 41


def test_no_training_draws_what_is_held_out(folder: Path):
    dataset = make(folder, people=162)
    trained = {tuple(batch.inputs[0]) for batch in Batches(dataset, layout="rows", context=64, batch=1, exposures=2)}
    assert len(trained) == 162
    windows = heldout_windows(dataset, layout="rows", context=64, tokens=18 * 41)
    assert len(windows.inputs) == 18
    assert not trained & {tuple(row) for row in windows.inputs}


@settings(max_examples=20, deadline=None)
@given(tokens=st.integers(1, 800), context=st.integers(8, 300), packed=st.booleans())
def test_held_out_tokens_that_are_not_refused_are_there(folder: Path, tokens: int, context: int, packed: bool):
    dataset, layout = make(folder), "packed" if packed else "rows"
    if (max(tokens, context) + context if packed else tokens) > 738:
        with pytest.raises(ValueError, match=f"^heldout_tokens: {tokens} is not allowed; must be "):
            check_heldout(dataset, layout=layout, context=context, tokens=tokens)
        return
    check_heldout(dataset, layout=layout, context=context, tokens=tokens)
    windows = heldout_windows(dataset, layout=layout, context=context, tokens=tokens)
    assert windows.inputs.size >= (tokens - context if packed else tokens)


def test_more_held_out_text_than_there_is_is_refused(folder: Path):
    with pytest.raises(ValueError, match="this corpus has 738 tokens that are held out"):
        heldout_windows(make(folder), layout="rows", context=64, tokens=739)


def test_other_data_sets_draw_held_out_texts_as_before():
    dataset = make_dataset(DataConfig(dataset="random", people=30))
    index, number = dataset.draw_held_out(4, 9, 3)
    other, other_number = draw(dataset.config, 4, 9, EVALUATION + 3)
    assert (index.tolist(), number) == (other.tolist(), other_number)
    assert (dataset.held_out_texts, dataset.held_out_tokens) == (30, None)


def test_no_bits_are_counted(folder: Path):
    dataset = make(folder)
    assert not dataset.known_bits
    assert dataset.max_bits().total == dataset.bits(1.0, 2.0).total == dataset.lower_bound(1.0, 2.0).total == 0
    assert dataset.text_nats(known=True) is None


def test_a_fingerprint_is_of_the_content_and_not_of_the_place(folder: Path, tmp_path: Path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    ours = fingerprint(make(folder))
    assert fingerprint(make(tmp_path)) == ours
    file = tmp_path / "f07.py"
    file.write_text(file.read_text().replace("x07 = 39", "x07 = 38"))
    changed = fingerprint(make(tmp_path))
    assert changed["texts"] != ours["texts"]
    assert changed["tokens"] != ours["tokens"]


def test_a_corpus_names_the_files_that_it_needs(folder: Path):
    files = DataConfig(dataset="corpus", corpus=str(folder), tokenizer="bytes", people=9)
    (names,) = type(make(folder)).carried(files).values()
    assert list(names) == [f"f{number:02}.py" for number in range(FILES)]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"corpus": None}, "corpus: is required with data set corpus; must be a folder, a file, or a pattern"),
        ({"corpus": "/nowhere/at/all"}, "corpus: /nowhere/at/all names no file"),
        ({"people": 163}, "people: 163 is not allowed; must be at most 162, since"),
        ({"tokenizer": "word"}, "tokenizer: word is not allowed with a corpus"),
        ({"population": "zipf"}, "population: zipf is not allowed with a corpus; must be fixed"),
        ({"junk": "1/2"}, "junk: 1/2 is not allowed with a corpus; must be 0"),
        ({"domain_token": True}, "domain_token: True is not allowed with a corpus; must be False"),
        ({"questions": "half"}, "questions: half is not an option of corpus"),
        ({"vocab": 5, "tokenizer": "bpe"}, "vocab: 5 is too small"),
        ({"dataset_options": {"length": 15}}, "dataset_options.length: 15 is not allowed"),
        ({"dataset": "bios", "dataset_options": {}}, "is not an option of bioS; must be left out"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(folder: Path, options: dict[str, object], told: str):
    content = {"dataset": "corpus", "corpus": str(folder), "tokenizer": "bytes", "people": 50}
    with pytest.raises(ValidationError) as error:
        DataConfig(**content | {"dataset_options": {"length": 41}} | options)
    (one,) = error.value.errors()
    assert told in one["msg"]
    assert len(one["msg"].splitlines()) == 1


def test_too_little_text_is_refused(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"\0")
    with pytest.raises(ValidationError, match=r"has too little text \(0 bytes in 0 files\)"):
        make(tmp_path, people=1)
    (tmp_path / "b").write_text("x")
    with pytest.raises(ValidationError, match=r"has too little text \(1 bytes in 1 files\)"):
        make(tmp_path, people=1)


def test_it_is_not_written_to_a_folder(folder: Path, tmp_path: Path):
    config = DataConfig(dataset="corpus", corpus=str(folder), tokenizer="bytes", people=9)
    with pytest.raises(ValueError, match="dataset: corpus is not written to a folder"):
        write_dataset(config, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()
