"""Devices by name."""

import torch


def pick_device(name: str) -> torch.device:
    """The device of that name; `auto` is CUDA if there is one, else the CPU (MPS was never tried)."""
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
