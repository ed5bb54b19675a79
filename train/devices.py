"""Where to compute."""

import torch


def pick_device(name: str) -> torch.device:
    """The device of that name; `auto` takes CUDA where there is one, and the CPU elsewhere: MPS was never tried."""
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
