"""Devices by name."""

import torch

from train.devices import pick_device

CPU = torch.device("cpu")


def test_of_devices_cuda_is_taken_and_apples_only_by_name(monkeypatch):
    assert pick_device("cpu") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("auto").type == "cpu"  # never tried on one: only by its name
