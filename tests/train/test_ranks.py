"""Shares of a batch: together they are the batch, and they are equally large."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from train.ranks import ALONE, Ranks, join, leave


@given(rows=st.integers(1, 40), size=st.integers(1, 9))
def test_shares_are_equal_and_together_the_batch(rows, size):
    batch = np.arange(rows * 3).reshape(rows, 3)
    shares = [Ranks(rank, size).share(batch, -1) for rank in range(size)]
    assert len({share.shape for share in shares}) == 1
    together = np.concatenate(shares)
    np.testing.assert_array_equal(together[:rows], batch)
    assert (together[rows:] == -1).all()


def test_alone_a_process_agrees_with_itself(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")  # of another program around this one
    assert ALONE.first
    assert ALONE.agree(7) == 7
    assert float(ALONE.total(torch.tensor(2.5))) == 2.5
    module = torch.nn.Linear(2, 2)
    assert ALONE.wrap(module, torch.device("cpu")) is module
    assert join(torch.device("cpu"), 1) == (ALONE, torch.device("cpu"))
    with pytest.raises(SystemExit) as ended:
        leave(3)
    assert ended.value.code == 3
