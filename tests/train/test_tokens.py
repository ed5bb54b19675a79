"""Trainings that tokens end, and schedules other than the cosine's, in the loop."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.train.test_loop import SETTINGS, equal, make_trainer, random_batches, run, weights
from train.loop import learning_rate


@pytest.mark.parametrize(("schedule", "expected"), [("constant", [1, 1, 1]), ("wsd", [1, 0.55, 0.1])])
def test_other_schedules_end_at_the_last_share_too_unless_constant(schedule, expected):
    settings = replace(SETTINGS, schedule=schedule, decay_share=0.5)
    found = [learning_rate(settings, 1000, exposures) for exposures in (5.0, 7.5, 10.0)]
    assert found == pytest.approx(expected)


@given(st.integers(1, 150))
def test_tokens_end_a_training_and_are_its_clock(tokens):
    trainer, rates, saved = make_trainer(tokens=tokens, warmup_steps=0), [], []
    batches = random_batches(range(1, 11))

    def log(record):
        rates.append((record["tokens"], record["lr"]))

    assert run(trainer, batches, log=log, log_steps=1, save=saved.append)
    assert trainer.tokens == tokens
    assert trainer.steps == math.ceil(tokens / 24)
    assert trainer.trained
    assert int(saved[-1]["next"]) == trainer.steps
    for seen, rate in rates:
        share = learning_rate(trainer.settings, 0, seen / tokens * trainer.settings.exposures)
        assert rate == pytest.approx(0.01 * share)
    before = weights(trainer)
    assert run(trainer, batches, save=saved.append)  # nothing is left to do
    assert equal(weights(trainer), before)
    assert len(saved) == 1


def test_of_the_last_batch_so_many_tokens_are_predicted_as_are_left():
    whole, cut = make_trainer(tokens=30), make_trainer()
    batches = random_batches([1, 2])
    run(whole, batches)
    targets = batches.batches[1].targets.copy()
    targets[1:] = -1
    for batch in (batches.batches[0], replace(batches.batches[1], targets=targets)):
        cut.settings = replace(cut.settings, exposures=10 * 30 / 24)  # the same clock
        cut.step(batch)
        cut.exposures = 10.0 * cut.tokens / 24
    assert cut.tokens == whole.tokens == 30
    assert equal(weights(whole), weights(cut))
