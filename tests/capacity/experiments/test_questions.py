"""Questions: each way of learning them is judged by itself, and a way without runs proves nothing."""

import pandas as pd
import pytest

from capacity.experiments.questions import QUESTIONS
from tests.capacity.records import make_row


def runs(way, held_out, seeds=3, **more):
    return [
        make_row(
            f"{way}-{seed}", questions=way, seed=seed,
            question_accuracy_trained=0.9, question_accuracy_held_out=held_out, **more,
        )
        for seed in range(seeds)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        (runs("half", 0.8) + runs("lora", 0.8, lora_rank=8), "reproduced"),
        (runs("half", 0.8) + runs("lora", 0.7, lora_rank=8), "reproduced in part"),
        (runs("half", 0.7) + runs("lora", 0.7, lora_rank=8), "not reproduced"),
        (runs("half", 0.8) + runs("lora", 0.8, 2, lora_rank=8), "reproduced in part"),
        (runs("half", 0.8), "reproduced in part"),
        (runs("none", 0.8), "not enough runs"),
    ],
)
def test_both_ways_must_lose_little(rows, status):
    frame = QUESTIONS.select(pd.DataFrame(rows))
    assert QUESTIONS.verdict(frame).status == status
    table = QUESTIONS.table(frame)
    assert len(table) == len(frame)
    assert ("best rank" in table) == ("lora_rank" in frame)
