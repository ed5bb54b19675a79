"""Batches: every useful person once an exposure, every token a target once, exact continuation."""

import tracemalloc
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from biogen.config import BioDShape, DataConfig
from biogen.dataset import draw_texts, make_dataset
from biogen.datasets.bios import BioS
from biogen.pieces import Role
from biogen.windows import IGNORE, Batches
from tests.biogen.batches import (
    END,
    FIELDS,
    Text,
    cut_texts,
    make_batches,
    rows_of,
    split,
    stream_of,
    targets_of,
    useful,
)
from tests.biogen.windows.conftest import CHUNK, useful_texts


def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Batches, "_shuffle", lambda self, chunk, *counts: [np.arange(count) for count in counts])


@pytest.mark.parametrize("people", [1, 7, CHUNK, CHUNK + 1, 100, 3 * CHUNK])
@pytest.mark.parametrize("exposures", [1, 3])
def test_rows_have_every_person_once_an_exposure(bios: Callable[..., BioS], people: int, exposures: int):
    dataset = bios(people)
    assert Counter(rows_of(list(make_batches(dataset, "rows", exposures=exposures)))) == useful(dataset, exposures)


@pytest.mark.parametrize("people", [1, 7, CHUNK, CHUNK + 1, 100, 3 * CHUNK])
@pytest.mark.parametrize("exposures", [1, 3])
def test_packed_windows_hold_every_person_once_an_exposure(
    bios: Callable[..., BioS], monkeypatch: pytest.MonkeyPatch, people: int, exposures: int
):
    in_order(monkeypatch)
    dataset = bios(people)
    batches = list(make_batches(dataset, "packed", exposures=exposures))
    stream = stream_of(batches)
    assert Counter(cut_texts(stream)) == useful(dataset, exposures)
    assert batches[-1].targets[-1][batches[-1].targets[-1] != IGNORE][-1] == END


@pytest.mark.parametrize("people", [7, 100])
def test_shuffling_packed_windows_changes_their_order_alone(
    bios: Callable[..., BioS], monkeypatch: pytest.MonkeyPatch, people: int
):
    dataset = bios(people)
    shuffle = Batches._shuffle
    rows = []
    for mixed in (True, False):

        def one_shuffle(self: Batches, chunk: int, *counts: int, mixed: bool = mixed) -> list[np.ndarray]:
            first, *rest = shuffle(self, chunk, *counts)
            return [first, *(rest if mixed else [np.arange(count) for count in counts[1:]])]

        monkeypatch.setattr(Batches, "_shuffle", one_shuffle)
        batches = list(make_batches(dataset, "packed", exposures=2))
        rows.append(
            [np.concatenate(r).tolist() for b in batches for r in zip(b.inputs, b.targets, b.roles, strict=True)]
        )
    assert rows[0] != rows[1]
    assert sorted(rows[0]) == sorted(rows[1])


def test_exposures_come_one_after_the_other(bios: Callable[..., BioS]):
    dataset = bios(100)
    batches = list(make_batches(dataset, "rows", exposures=3))
    for exposure in range(3):
        part = [batch for batch in batches if exposure < batch.exposures <= exposure + 1]
        assert Counter(rows_of(part)) == Counter(split(draw_texts(dataset, np.arange(100), exposure)))


@pytest.mark.parametrize("layout", ["rows", "packed"])
def test_every_token_is_a_target_once(bios: Callable[..., BioS], layout: str):
    dataset = bios(100)
    batches = list(make_batches(dataset, layout, exposures=2))
    texts = [draw_texts(dataset, np.arange(100), exposure) for exposure in (0, 1)]
    assert targets_of(batches) == sum(len(text.tokens) for text in texts)
    for role in range(9):
        due = sum(int((text.roles[text.tokens != END] == role).sum()) for text in texts)
        got = sum(int(((b.roles == role) & (b.targets != END) & (b.targets != IGNORE)).sum()) for b in batches)
        assert got == due


@pytest.mark.parametrize("layout", ["rows", "packed"])
def test_roles_are_those_of_the_targets(bios: Callable[..., BioS], layout: str):
    dataset = bios(60)
    texts = draw_texts(dataset, np.arange(60), 0)
    role_of = {(int(t), int(r)) for t, r in zip(texts.tokens, texts.roles, strict=True)}
    for batch in make_batches(dataset, layout):
        assert batch.inputs.dtype == batch.targets.dtype == np.int32
        assert batch.inputs.shape == batch.targets.shape == batch.roles.shape
        due = batch.targets != IGNORE
        assert set(zip(batch.targets[due].tolist(), batch.roles[due].tolist(), strict=True)) <= role_of
        assert (batch.roles[~due] == Role.OTHER).all()


def test_orders_differ_between_exposures_and_seeds(bios: Callable[..., BioS]):
    def order(seed: int) -> list[Text]:
        return rows_of(list(make_batches(bios(60, variant="single", seed=seed), "rows", exposures=2, batch=1)))

    here = order(0)
    assert here[:60] != here[60:]
    assert sorted(here[:60]) == sorted(here[60:])
    assert here == order(0) != order(1)


def test_batches_have_texts_of_like_length_and_rows_as_asked(bios: Callable[..., BioS]):
    batches = list(make_batches(bios(100), "rows", exposures=2, batch=8))
    sizes = [len(batch.inputs) for batch in batches]
    assert max(sizes) <= 8
    assert min(sizes) >= 6  # 37, 37 and 26 (rounded) texts in chunks of their own
    assert all((batch.targets[:, -1] != IGNORE).any() for batch in batches)


def test_packed_windows_have_the_asked_shape(bios: Callable[..., BioS]):
    batches = list(make_batches(bios(100), "packed", exposures=2, batch=8, context=50))
    assert {batch.inputs.shape for batch in batches[:-1]} == {(8, 50)}
    assert batches[-1].inputs.shape[0] <= 8


@pytest.mark.usefixtures("_whole_chunks")
@pytest.mark.parametrize(("layout", "waste"), [("rows", 0.03), ("packed", 0.002)])
def test_padding_is_small_for_the_papers_people(layout: str, waste: float):
    dataset = make_dataset(DataConfig(people=5000, tokenizer="word"))
    batches = list(make_batches(dataset, layout, batch=32, context={"rows": 300, "packed": 512}[layout]))
    padding = sum(int((batch.targets == IGNORE).sum()) for batch in batches)
    assert padding < waste * sum(batch.targets.size for batch in batches)


@pytest.mark.parametrize("layout", ["rows", "packed"])
def test_questions_are_for_the_first_half_and_no_exposure(bios: Callable[..., BioS], layout: str):
    dataset = bios(90, questions="half")
    batches = list(make_batches(dataset, layout, exposures=2))
    if layout == "rows":
        assert Counter(rows_of(batches)) == useful_texts(dataset, 2)
    assert batches[-1].exposures == 2
    text = "".join(dataset.tokenizer.decode(row.tolist()) for batch in batches for row in batch.inputs)
    assert text.count("?") == 2 * 45


def test_half_of_one_person_is_nobody(bios: Callable[..., BioS]):
    dataset = bios(1, questions="half")
    assert rows_of(list(make_batches(dataset, "rows"))) == list(useful(dataset, 1))


@pytest.mark.parametrize("layout", ["rows", "packed"])
@pytest.mark.parametrize("options", [{}, {"junk": "7/8"}, {"questions": "half", "junk": "1/2"}])
def test_exposures_grow_to_exactly_all(bios: Callable[..., BioS], layout: str, options: dict[str, object]):
    done = [batch.exposures for batch in make_batches(bios(100, **options), layout, exposures=3)]
    assert done[0] > 0 or "junk" in options
    assert done == sorted(done)
    assert done[-1] == 3
    assert max(np.diff([0, *done])) < 0.35


@pytest.mark.parametrize("layout", ["rows", "packed"])
@pytest.mark.parametrize(
    "options",
    [{}, {"junk": "3/4"}, {"junk": "1/2", "junk_people": 10, "questions": "half", "domain_token": True}],
)
def test_any_batch_can_be_the_last_before_a_break(bios: Callable[..., BioS], layout: str, options: dict[str, object]):
    dataset = bios(50, **options)
    running = make_batches(dataset, layout, exposures=2, batch=32)
    states, batches = [running.state()], []
    for batch in running:
        batches.append(batch)
        states.append(running.state())
    states.append(running.state())  # of the end
    for at, state in enumerate(states):
        done = min(at, len(batches))
        resumed = make_batches(dataset, layout, exposures=2, batch=32)
        reached = resumed.restore({name: array.copy() for name, array in state.items()})
        assert reached == (batches[done - 1].exposures if done else 0)
        rest = list(resumed)
        assert len(rest) == len(batches) - done
        for here, there in zip(rest, batches[done:], strict=True):
            assert all(np.array_equal(getattr(here, name), getattr(there, name)) for name in FIELDS)


@pytest.mark.parametrize("people", [1, 100])
@pytest.mark.parametrize(
    "options", [{}, {"junk": "7/8"}, {"junk": "1/2", "junk_people": 20, "questions": "half"}, {"questions": "half"}]
)
def test_steps_and_tokens_are_foreseen(bios: Callable[..., BioS], people: int, options: dict[str, object]):
    dataset = bios(people, **options)
    rows = make_batches(dataset, "rows", exposures=3)
    assert len(list(rows)) == make_batches(dataset, "rows", exposures=3).expected_steps()
    for layout in ("rows", "packed"):
        tokens = targets_of(list(make_batches(dataset, layout, exposures=3)))
        expected = make_batches(dataset, layout, exposures=3).expected_tokens()
        slack = 0.02 if people > 1 else 0.25  # one person's texts are few
        assert expected == pytest.approx(tokens, rel=slack, abs=100)
    packed = make_batches(dataset, "packed", exposures=3)
    assert packed.expected_steps() == pytest.approx(len(list(packed)), rel=0.03, abs=1)


@pytest.mark.parametrize("layout", ["rows", "packed"])
@pytest.mark.parametrize("junk", ["0", "1/2"])
def test_biod_is_served_too(layout: str, junk: str):
    shape = BioDShape(K=3, C=2, D=8, L=2, T=16)
    dataset = make_dataset(DataConfig(dataset="biod", biod=shape, people=100, junk=junk))
    batches = list(make_batches(dataset, layout, exposures=2))
    share = 1 / (1 - float(dataset.config.junk))
    assert targets_of(batches) == pytest.approx(2 * 100 * dataset.longest_text * share, rel=0.02)
    assert batches[-1].exposures == 2
    if layout == "rows":
        assert not useful(dataset, 2) - Counter(rows_of(batches))
        assert all((batch.targets != IGNORE).all() for batch in batches)


def test_rows_must_hold_every_text(bios: Callable[..., BioS]):
    dataset = bios(50)
    longest = dataset.longest_text
    with pytest.raises(ValueError, match=rf"context: {longest - 1} is too short; a text may have {longest} tokens"):
        make_batches(dataset, "rows", context=longest - 1)
    make_batches(dataset, "rows", context=longest)
    make_batches(dataset, "packed", context=8)


@pytest.mark.usefixtures("_whole_chunks")
@pytest.mark.parametrize(
    ("layout", "options"), [("rows", {"dataset": "biod"}), ("packed", {}), ("rows", {"junk": "1/2"})]
)
def test_memory_does_not_grow_with_people(layout: str, options: dict[str, object]):
    shape = BioDShape(name_length=6)
    tracemalloc.start()
    dataset = make_dataset(DataConfig(people=20_000_000, tokenizer="word", biod=shape, **options))
    batch = next(iter(make_batches(dataset, layout, exposures=1, batch=32, context=512)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(batch.inputs) == 32
    assert peak < 300e6
