"""Where a number comes from is recorded with it."""

import torch

from capacity.store import provenance
from tests.train.test_loop import SETTINGS

CPU = torch.device("cpu")


def test_numbers_carry_where_they_come_from(monkeypatch, tmp_path):
    record = provenance.provenance(CPU, SETTINGS)
    assert record["torch"] == torch.__version__
    assert record["device"] == "cpu"
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))  # outside a checkout
    assert provenance.provenance(CPU, SETTINGS)["commit"] is None
