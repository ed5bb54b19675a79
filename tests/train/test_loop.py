"""The training loop: its schedule in closed form, repeatable to the bit, continued to the bit, honest about failure."""

import itertools
import math
import threading
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biogen.config import DataConfig
from biogen.dataset import make_dataset
from biogen.windows import Batches
from train.architectures.gpt2 import GPT2
from train.checkpoint import Checkpoints, restore_training, training_tensors
from train.loop import Diverged, Trainer, _ahead, _in_turn, learning_rate, train
from train.settings import Settings
from train.sizes import parse_size

VOCAB = 20
SETTINGS = Settings(
    exposures=10,
    optimizer="adamw",
    lr=0.01,
    embedding_lr=0.005,
    weight_decay=0.01,
    beta1=0.9,
    beta2=0.98,
    eps=1e-8,
    momentum=0.9,
    warmup_steps=5,
    final_lr=0.1,
    clip=1.0,
    bf16=False,
    compile=False,
    native=False,
)


@dataclass(frozen=True)
class Rows:
    """One batch of made-up windows."""

    inputs: np.ndarray
    targets: np.ndarray
    exposures: float


class Listed:
    """Batches from a list, continued by their number."""

    def __init__(self, batches):
        self.batches, self.next = batches, 0

    def __iter__(self):
        while self.next < len(self.batches):
            self.next += 1
            yield self.batches[self.next - 1]

    def state(self):
        return {"next": np.array(self.next)}

    def restore(self, state):
        self.next = int(state["next"])


def random_batches(exposures, seed=0, rows=4, time=6):
    rng = np.random.default_rng(seed)
    windows = rng.integers(0, VOCAB, (len(exposures), rows, time + 1)).astype(np.int32)
    return Listed(
        [Rows(w[:, :-1].copy(), w[:, 1:].copy(), float(done)) for w, done in zip(windows, exposures, strict=True)]
    )


def make_trainer(seed=0, vocab=VOCAB, **changes):
    torch.set_num_threads(1)
    model = GPT2(parse_size("1x16"), vocab)
    model.initialize("width", seed)
    return Trainer(model, replace(SETTINGS, **changes), torch.device("cpu"))


def run(trainer, batches, **changes):
    """Train with nothing to look at, unless changed."""
    quiet = {"marks": [], "observe": lambda mark: None, "log": lambda record: None, "save": lambda state: None}
    return train(trainer, batches, **quiet | changes)


def weights(trainer):
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters()}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(tensor, b[name]) for name, tensor in a.items())


schedules = st.builds(
    replace,
    st.just(SETTINGS),
    exposures=st.integers(1, 1000),
    warmup_steps=st.integers(0, 1000),
    final_lr=st.floats(0, 1),
)


@given(schedules, st.integers(0, 2000), st.floats(0, 1))
def test_the_schedule_is_warm_up_times_cosine(settings, step, share):
    found = learning_rate(settings, step, share * settings.exposures)
    cosine = math.cos(math.pi / 2 * share) ** 2
    expected = settings.final_lr + (1 - settings.final_lr) * cosine
    if step + 1 < settings.warmup_steps:
        expected *= (step + 1) / settings.warmup_steps
    assert found == pytest.approx(expected, abs=1e-9)
    assert 0 <= found <= 1 + 1e-12


@given(schedules, st.integers(0, 2000), st.floats(0, 1), st.floats(0, 1))
def test_the_schedule_falls_once_it_is_warm(settings, step, share, later):
    step = max(step, settings.warmup_steps)
    early, late = sorted([share * settings.exposures, later * settings.exposures])
    assert learning_rate(settings, step, early) >= learning_rate(settings, step + 1, late) - 1e-12


def test_the_schedule_begins_at_the_bottom_and_ends_at_its_last_share():
    settings = replace(SETTINGS, warmup_steps=100, final_lr=0.25)
    shares = [learning_rate(settings, step, 0.0) for step in range(101)]
    assert shares[:3] == pytest.approx([0.01, 0.02, 0.03])
    assert shares[99:] == [1.0, 1.0]
    assert learning_rate(settings, 1000, 10.0) == pytest.approx(0.25)
    assert learning_rate(settings, 1000, 11.0) == pytest.approx(0.25)
    assert learning_rate(replace(settings, warmup_steps=0), 0, 0.0) == 1


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_every_group_follows_the_schedule(optimizer):
    trainer = make_trainer(optimizer=optimizer)
    for step, batch in enumerate(random_batches([0.5, 1.5, 9.0])):
        done = trainer.exposures
        assert trainer.lr == pytest.approx(0.01 * learning_rate(trainer.settings, step, done))
        trainer.step(batch)
        rates = {group["lr"] for one in trainer.optimizers for group in one.param_groups}
        assert sorted(rates) == pytest.approx([p * learning_rate(SETTINGS, step, done) for p in (0.005, 0.01)])
    assert (trainer.steps, trainer.tokens, trainer.exposures) == (3, 72, 9.0)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_same_seed_gives_the_same_weights(optimizer):
    once, twice, other = (make_trainer(seed, optimizer=optimizer) for seed in (0, 0, 1))
    for trainer in (once, twice, other):
        run(trainer, random_batches(np.linspace(0.5, 10, 20)))
    assert equal(weights(once), weights(twice))
    assert not equal(weights(once), weights(other))


def test_a_step_returns_the_mean_loss_of_what_is_predicted():
    trainer = make_trainer()
    batch = random_batches([1.0]).batches[0]
    batch.targets[0, 2:] = -1
    batch.targets[3] = -1
    with torch.no_grad():
        hidden = trainer.model(torch.tensor(batch.inputs)).flatten(0, 1)
        logits = hidden @ trainer.model.embedding.weight.T
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(batch.targets).flatten().long(), ignore_index=-1)
    assert float(trainer.step(batch)) == pytest.approx(float(expected), rel=1e-5)
    assert trainer.tokens == 2 + 6 + 6


@pytest.mark.parametrize("clip", [1e-3, 1e3])
def test_gradients_are_no_longer_than_the_clip(clip):
    trainer, norms = make_trainer(clip=clip), []
    parameters = list(trainer.model.parameters())

    def note(*_):
        norms.append(float(torch.stack([p.grad.norm() for p in parameters if p.grad is not None]).norm()))

    trainer.optimizers[0].register_step_pre_hook(note)
    for batch in random_batches([1.0, 2.0]):
        trainer.step(batch)
    assert norms == pytest.approx([clip, clip], rel=1e-3) if clip < 1 else max(norms) < 100


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_loss_falls_when_there_is_something_to_learn(optimizer):
    trainer, records = make_trainer(optimizer=optimizer, lr=0.02, embedding_lr=0.02, exposures=200), []
    batch = random_batches([0.0]).batches[0]
    sequences = Listed([Rows(batch.inputs, batch.targets, float(done)) for done in range(1, 201)])
    run(trainer, sequences, log=records.append, log_steps=1)
    assert records[0]["loss"] > 2
    assert float(trainer.step(batch)) < 0.1


@pytest.fixture(scope="module")
def dataset():
    shape = {"K": 2, "C": 2, "D": 4, "L": 1, "T": 6}
    return make_dataset(DataConfig(dataset="biod", people=40, biod=shape, junk="1/4"))


def batches_of(dataset, layout):
    return Batches(dataset, layout=layout, context=16, batch=7, exposures=3)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("layout", ["rows", "packed"])
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(dataset, tmp_path, optimizer, layout):
    vocab = dataset.tokenizer.vocab
    whole = make_trainer(vocab=vocab, optimizer=optimizer, exposures=3)
    marks: dict[str, list[int]] = {"whole": [], "parts": []}
    records: dict[str, list[dict[str, float]]] = {"whole": [], "parts": []}
    often = {"marks": [1, 2, 3], "log_steps": 3}
    assert run(whole, batches_of(dataset, layout), observe=marks["whole"].append, log=records["whole"].append, **often)

    checkpoints, finished, attempts = Checkpoints(tmp_path / "checkpoints"), False, 0
    while not finished:
        attempts += 1
        # Another seed: whatever is not restored would show.
        trainer = make_trainer(attempts, vocab=vocab, optimizer=optimizer, exposures=3)
        batches = batches_of(dataset, layout)
        if found := checkpoints.load():
            tensors = found.tensors
            restore_training(trainer.model, trainer.optimizers, tensors)
            batches.restore({k.removeprefix("b."): v.numpy() for k, v in tensors.items() if k.startswith("b.")})
            trainer.restore(found.record)
        else:
            trainer.model.initialize("width", 0)

        def save(state, trainer=trainer):
            tensors = training_tensors(trainer.model, trainer.optimizers)
            tensors |= {f"b.{name}": torch.from_numpy(array) for name, array in state.items()}
            checkpoints.save(trainer.steps, tensors, trainer.state())

        last = trainer.steps + 4
        finished = run(
            trainer,
            batches,
            observe=marks["parts"].append,
            log=records["parts"].append,
            save=save,
            stop=lambda trainer=trainer, last=last: trainer.steps >= last,
            **often,
        )
    assert attempts >= 4
    assert equal(weights(trainer), weights(whole))
    assert (trainer.steps, trainer.tokens, trainer.exposures) == (whole.steps, whole.tokens, whole.exposures)
    assert marks["parts"] == marks["whole"] == [1, 2, 3]
    assert records["parts"] == records["whole"]


def test_stopping_saves_the_state_behind_the_last_batch():
    trainer, batches, saved = make_trainer(), random_batches(range(1, 11)), []
    assert not run(trainer, batches, save=saved.append, stop=lambda: trainer.steps == 4)
    assert [int(state["next"]) for state in saved] == [4]
    assert trainer.steps == 4


def test_states_are_saved_now_and_then():
    trainer, saved = make_trainer(), []
    assert run(trainer, random_batches(range(1, 6)), save=saved.append, save_seconds=0.0)
    assert [int(state["next"]) for state in saved] == [1, 2, 3, 4, 5, 5]


def test_not_a_number_ends_the_training_and_is_never_saved():
    trainer, saved, seen, records = make_trainer(), [], [], []

    def poison_after_the_second(state: dict[str, np.ndarray]) -> None:
        saved.append(state)
        if len(saved) == 2:
            trainer.model.embedding.weight.data.fill_(float("nan"))

    batches = random_batches(range(1, 11))
    with pytest.raises(Diverged, match=r"^loss: nan after 3.0 exposures; a smaller lr may help$"):
        run(
            trainer,
            batches,
            marks=[2, 3],
            observe=seen.append,
            log=records.append,
            save=poison_after_the_second,
            save_seconds=0.0,
        )
    assert [int(state["next"]) for state in saved] == [1, 2]
    assert seen == [2]
    assert all(math.isfinite(record["loss"]) for record in records)


def test_a_training_that_ends_without_a_number_says_so():
    trainer = make_trainer()
    with torch.no_grad():
        trainer.model.norm.weight[0] = float("inf")
    with pytest.raises(Diverged):
        run(trainer, random_batches([10.0]))
    with pytest.raises(Diverged):
        run(trainer, random_batches([10.0]), stop=lambda: True)


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([0.5, 1.0, 1.5, 2.0, 2.5], [(1, 2), (2, 4)]),
        ([2.2, 4.9, 5.0], [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)]),
        ([0.3 + 0.3 + 0.3 + 0.1, 1.0, 9.0], [(1, 1), (2, 3), (3, 3), (4, 3), (5, 3)]),  # a rounding error below 1
    ],
)
def test_every_mark_is_observed_once_in_order(ends, expected):
    trainer, seen = make_trainer(), []
    run(
        trainer,
        random_batches(ends),
        marks=[5, 1, 3, 2, 4, 3],
        observe=lambda mark: seen.append((mark, trainer.steps)),
    )
    assert seen == expected


def test_records_tell_the_mean_loss_since_the_last_one(monkeypatch):
    trainer, records, losses = make_trainer(), [], []
    step = trainer.step
    monkeypatch.setattr(trainer, "step", lambda batch: losses.append(step(batch)) or losses[-1])
    shown: list[dict[str, float]] = []
    run(trainer, random_batches(range(1, 8)), log=records.append, log_steps=3, show=shown.append, show_seconds=0.0)
    assert [(record["steps"], record["tokens"], record["exposures"]) for record in records] == [
        (3, 72, 3.0),
        (6, 144, 6.0),
        (7, 168, 7.0),
    ]
    means = [float(torch.stack(losses[a:b]).mean()) for a, b in ((0, 3), (3, 6), (6, 7))]
    assert [record["loss"] for record in records] == pytest.approx(means)
    assert records[-1]["lr"] == pytest.approx(trainer.lr)
    assert [record["steps"] for record in shown] == [1, 2, 3, 4, 5, 6, 7]
    assert all(record["tokens_per_second"] > 0 and record["loss"] > 0 for record in shown)


def test_a_loss_that_explodes_ends_the_training():
    trainer = make_trainer()
    with torch.no_grad():
        trainer.model.embedding.weight.mul_(1e4)
    with pytest.raises(Diverged, match=r"^loss: [0-9.e+]+ nats a token after 10.0 exposures, where a guess costs 3"):
        run(trainer, random_batches([10.0]))


@pytest.mark.parametrize("layout", ["rows", "packed"])
def test_batches_made_ahead_are_the_same_in_the_same_order(dataset, layout):
    expected, found = list(_in_turn(batches_of(dataset, layout))), list(_ahead(batches_of(dataset, layout)))
    assert len(found) == len(expected) > 10
    for (batch, state), (other, other_state) in zip(expected, found, strict=True):
        np.testing.assert_array_equal(batch.inputs, other.inputs)
        np.testing.assert_array_equal(batch.targets, other.targets)
        assert batch.exposures == other.exposures
        assert state.keys() == other_state.keys()
        for name, array in state.items():
            np.testing.assert_array_equal(array, other_state[name])


class Broken(Listed):
    """Runs out of luck behind its third batch."""

    def __iter__(self):
        yield from self.batches[:3]
        raise ValueError("no fourth")


def test_an_error_ahead_arrives_behind_the_batches_before_it():
    ahead = _ahead(Broken(random_batches(range(9)).batches))
    assert [batch.exposures for batch, _ in itertools.islice(ahead, 3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="no fourth"):
        next(ahead)


def test_giving_up_ends_the_thread():
    before = set(threading.enumerate())
    ahead = _ahead(random_batches(range(100)))
    next(ahead)
    (thread,) = set(threading.enumerate()) - before
    ahead.close()
    thread.join(60)
    assert not thread.is_alive()
