"""Worlds without end in batches: the texts that were drawn, none twice, and exact continuation."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from biogen.config import EVALUATION, BioDShape, DataConfig
from biogen.dataset import Dataset, draw_texts, make_dataset, mean_length
from biogen.datasets.bios import BioS
from biogen.population import draw
from tests.biogen.batches import FIELDS, Text, cut_texts, make_batches, rows_of, split, stream_of, targets_of

WORLDS = [
    {"population": "fresh"},
    {"population": "fresh", "domain_token": True, "variant": "single"},
    {"population": "zipf", "zipf": 1.2},
    {"population": "zipf", "zipf": 0.5, "junk": "1/2", "junk_people": 10},
]


def drawn(dataset: Dataset, exposures: int) -> Counter[Text]:
    return Counter(
        text
        for exposure in range(exposures)
        for text in split(draw_texts(dataset, *draw(dataset.config, 0, dataset.config.people, exposure)))
    )


@pytest.mark.parametrize("options", WORLDS)
def test_rows_are_the_texts_that_are_drawn(bios: Callable[..., BioS], options: dict[str, object]):
    dataset = bios(100, **options)
    rows = Counter(rows_of(list(make_batches(dataset, "rows", exposures=3))))
    due = drawn(dataset, 3)
    assert rows == due if not dataset.config.junk else not due - rows
    assert due.total() == 300
    assert max(due.values()) == 1  # each draw is another text, of whomever


def test_packed_windows_hold_the_texts_that_are_drawn(bios: Callable[..., BioS], monkeypatch: pytest.MonkeyPatch):
    for options in WORLDS[1:3]:
        dataset = bios(100, **options)
        running = make_batches(dataset, "packed", exposures=3, batch=1)
        monkeypatch.setattr(type(running), "_shuffle", lambda self, chunk, *counts: [np.arange(n) for n in counts])
        assert Counter(cut_texts(stream_of(list(running)))) == drawn(dataset, 3)


def test_new_people_come_once(bios: Callable[..., BioS]):
    dataset = bios(70, population="fresh")
    names = [text[1:4] for text in rows_of(list(make_batches(dataset, "rows", exposures=10)))]
    held_out = [text[1:4] for text in split(draw_texts(dataset, *draw(dataset.config, 0, 70, EVALUATION)))]
    assert len({*names, *held_out}) == 770


def test_every_text_about_new_people_has_the_domain_token(bios: Callable[..., BioS]):
    rows = rows_of(list(make_batches(bios(70, population="fresh", domain_token=True), "rows", exposures=2)))
    assert {row[1] for row in rows} == {1}


@pytest.mark.parametrize("layout", ["rows", "packed"])
@pytest.mark.parametrize("options", WORLDS)
def test_any_batch_can_be_the_last_before_a_break(bios: Callable[..., BioS], layout: str, options: dict[str, object]):
    dataset = bios(50, **options)
    running = make_batches(dataset, layout, exposures=2, batch=32)
    states, batches = [running.state()], []
    for batch in running:
        batches.append(batch)
        states.append(running.state())
    for at, state in enumerate(states):
        resumed = make_batches(dataset, layout, exposures=2, batch=32)
        resumed.restore({name: array.copy() for name, array in state.items()})
        rest = list(resumed)
        assert len(rest) == len(batches) - at
        for here, there in zip(rest, batches[at:], strict=True):
            assert all(np.array_equal(getattr(here, name), getattr(there, name)) for name in FIELDS)


@pytest.mark.parametrize("options", WORLDS)
def test_steps_and_tokens_are_foreseen(bios: Callable[..., BioS], options: dict[str, object]):
    dataset = bios(400, **options)
    rows = make_batches(dataset, "rows", exposures=3)
    assert len(list(rows)) == make_batches(dataset, "rows", exposures=3).expected_steps()
    tokens = targets_of(list(make_batches(dataset, "packed", exposures=3)))
    assert make_batches(dataset, "packed", exposures=3).expected_tokens() == pytest.approx(tokens, rel=0.02)


def test_the_mean_length_is_that_of_who_comes():
    """One person is in nearly all texts, and in the mean as often."""
    dataset = make_dataset(DataConfig(people=50, population="zipf", zipf=6.0))
    texts = draw_texts(dataset, *draw(dataset.config, 0, 20_000, 0))
    assert mean_length(dataset) == pytest.approx(texts.lengths.mean(), rel=0.005)
    uniform = make_dataset(DataConfig(people=50))
    assert abs(mean_length(uniform) / texts.lengths.mean() - 1) > 0.02


def test_new_people_need_names(bios: Callable[..., BioS]):
    dataset = bios(10_000, population="fresh")  # of 30,000 names
    make_batches(dataset, "rows", exposures=2)
    with pytest.raises(ValueError, match=r"population: fresh for 3 exposures of 10000 people .* at most 28125: of N0"):
        make_batches(dataset, "rows", exposures=3)


def test_biod_has_all_symbols_for_new_people():
    shape = BioDShape(K=2, C=1, D=4, T=60, name_length=3)
    dataset = make_dataset(DataConfig(dataset="biod", biod=shape, people=5, population="fresh"))
    assert dataset.tokenizer.vocab == 1 + 2 + 60
    assert len(rows_of(list(make_batches(dataset, "rows", exposures=20)))) == 100
