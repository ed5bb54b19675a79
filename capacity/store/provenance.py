"""The provenance of a number: its time, commit, kernels and machine."""

import contextlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from train.native.library import instruction_set
from train.settings import Settings


def provenance(device: torch.device, settings: Settings) -> dict[str, Any]:
    """Time, commit, device, processor, threads, kernels and versions of a training or a measurement."""
    record = {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "kernels": f"native {instruction_set(settings.bf16)}" if settings.native else "pytorch",
        "precision": "bf16" if settings.bf16 else "fp32",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    return record


def commit() -> str | None:
    """The commit of this code, with `+` if the working tree has changes; None outside a checkout of this project."""
    project, file = Path(__file__).resolve().parents[2], Path(__file__).resolve()
    try:
        ours = 'name = "knowledge-capacity"' in (project / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):  # installed, perhaps inside a repository of something else
        return None
    if not ours or _git(project, "rev-parse", "--show-toplevel") != str(project) or not _git(project, "ls-files", file):
        return None
    return _git(project, "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*") or None


def _git(folder: Path, *arguments: str | Path) -> str:
    """Git's output in a folder, whatever the environment says of other repositories; empty without git or one."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        asked = subprocess.run(
            ["git", *arguments], cwd=folder, env=own, stdin=subprocess.DEVNULL, capture_output=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return os.fsdecode(asked.stdout).strip()


def processor() -> str:
    """The name of the processor, as the system gives it."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        return next(line for line in lines if line.startswith("model name")).partition(":")[2].strip()
    return platform.processor() or platform.machine()
