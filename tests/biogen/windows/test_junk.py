"""Junk is apart from the useful texts, has the asked share of tokens and needs names."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

import biogen.windows
from biogen.dataset import draw_texts
from biogen.datasets.bios import BioS
from tests.biogen.batches import Text, cut_texts, junk, make_batches, rows_of, useful
from tests.biogen.windows.conftest import useful_texts

DOMAIN = 1


def all_junk_cases() -> list[dict[str, object]]:
    return [
        {"junk": "7/8"},
        {"junk": "1/3", "domain_token": True},
        {"junk": "1/2", "questions": "half"},
        {"junk": "7/8", "junk_people": 10},
        {"junk": "3/4", "junk_people": 10, "domain_token": True, "questions": "half"},
    ]


def junk_people(dataset: BioS, texts: list[Text]) -> list[int]:
    """Which junk person each text is about, by the name; -1 for nobody of the first two thousand."""
    people = np.arange(2000)
    drawn = draw_texts(dataset, dataset.config.people + people, 0)
    names = np.split(drawn.tokens, drawn.offsets[1:-1])
    number = {tuple(name[1:4].tolist()): i for i, name in enumerate(names)}
    return [number.get(text[1:4], -1) for text in texts]


@pytest.mark.parametrize("options", all_junk_cases())
def test_rows_are_useful_texts_and_junk(bios: Callable[..., BioS], options: dict[str, object]):
    dataset = bios(90, **options)
    rows = rows_of(list(make_batches(dataset, "rows", exposures=2)))
    due = useful_texts(dataset, 2)
    wasted = Counter(rows)
    wasted.subtract(due)
    assert min(wasted.values()) >= 0
    texts = list(wasted.elements())
    assert not any(text[1] == DOMAIN for text in texts if dataset.config.domain_token)
    share = sum(map(len, texts)) / sum(map(len, rows))
    assert share == pytest.approx(float(dataset.config.junk), abs=0.01)
    if dataset.config.junk_people is None:
        assert Counter(texts) == Counter(junk(dataset, 0, len(texts)))
        assert sorted(junk_people(dataset, texts)) == list(range(len(texts)))
    else:
        counts = Counter(junk_people(dataset, texts))
        assert set(counts) == set(range(10))
        assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("options", all_junk_cases())
def test_packed_windows_are_all_useful_or_all_junk(
    bios: Callable[..., BioS], monkeypatch: pytest.MonkeyPatch, options: dict[str, object]
):
    cut = biogen.windows._cut
    made: dict[bytes, bool] = {}

    def remember(line: biogen.windows.Line, count: int, context: int, *, useful: bool) -> biogen.windows.Windows:
        windows = cut(line, count, context, useful=useful)
        lines[useful].append(windows.inputs.ravel())
        made.update(dict.fromkeys((row.tobytes() for row in windows.inputs), useful))
        return windows

    lines: dict[bool, list[np.ndarray]] = {True: [], False: []}
    monkeypatch.setattr(biogen.windows, "_cut", remember)
    dataset = bios(90, **options)
    batches = list(make_batches(dataset, "packed", exposures=2))
    windows = [row for batch in batches for row in batch.inputs]
    kinds = [made[window.tobytes()] for window in windows]
    assert kinds.count(False) == round(kinds.count(True) * dataset.config.junk / (1 - dataset.config.junk))
    assert len({i // 8 for i, kind in enumerate(kinds) if kind} & {i // 8 for i, kind in enumerate(kinds) if not kind})

    due = useful_texts(dataset, 2)
    line = np.concatenate(lines[True])
    assert Counter(cut_texts(np.trim_zeros(line, "b"))) == due
    texts = cut_texts(np.concatenate(lines[False]))[:-1]  # the last may be cut short
    assert not any(text[1] == DOMAIN for text in texts if dataset.config.domain_token)
    assert not set(texts) & set(due)
    if dataset.config.junk_people is None:
        assert texts == junk(dataset, 0, len(texts))
    else:
        counts = Counter(junk_people(dataset, texts))
        assert set(counts) == set(range(10))
        assert max(counts.values()) - min(counts.values()) <= 1


def test_repeating_junk_changes_its_texts_and_order(bios: Callable[..., BioS]):
    dataset = bios(90, junk="7/8", junk_people=10)
    due = useful(dataset, 1)
    texts = [text for text in rows_of(list(make_batches(dataset, "rows", batch=1))) if text not in due]
    assert len(set(texts)) == len(texts) > 500
    single = bios(90, junk="7/8", junk_people=10, variant="single")
    assert len({*rows_of(list(make_batches(single, "rows")))} - set(useful(single, 1))) == 10


def test_junk_needs_names(bios: Callable[..., BioS]):
    dataset = bios(20_000, junk="1/2")  # of 30,000 names
    with pytest.raises(ValueError, match=r"junk: 1/2 for 1 exposures of 20000 people .* at most 10000: once"):
        make_batches(dataset, "rows")
    dataset = bios(15_000, junk="1/2")
    make_batches(dataset, "rows")
    with pytest.raises(ValueError, match="junk: 1/2 for 2 exposures"):
        make_batches(dataset, "rows", exposures=2)
    make_batches(bios(15_000, junk="1/2", junk_people=15_000), "packed", exposures=50)
    with pytest.raises(ValueError, match="junk: 1/2 for 199 exposures"):
        make_batches(bios(200, junk="1/2"), "rows", exposures=199)
    make_batches(bios(200, junk="1/2"), "rows", exposures=200)  # everybody else may come twice


def test_foreseen_junk_is_enough(bios: Callable[..., BioS]):
    """What is asked for at the start covers what packed windows take in the end."""
    for people in (20, 100, 300):
        running = make_batches(bios(people, junk="7/8"), "packed", exposures=3)
        list(running)
        assert running._cursor.junk_texts <= running._all_junk()
