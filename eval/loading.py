"""A model of transformers' from a folder in Hugging Face form: all the weights that are stored, and nothing else.

In: a folder, or a name on the hub. Out: the model, each parameter in the type in which it is stored. Weights are read
from safetensors only, and no code of the folder or the hub is run.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from basis.reading import open_file, read_json
from biogen.saved import check_files, reason_of
from eval.quiet import no_progress_bars, quiet

MUST = "must be a folder with config.json, model.safetensors and a tokenizer"
_FILES = ("*.json", "*.txt", "*.model", "model*.safetensors")
"""What is downloaded of a name on the hub: no code, no pickle, no weights in other forms."""
_WEIGHTS = "model.safetensors"
_TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""Types of weights, the widest first."""
_CONSTANTS = {"BOOL", "U8", "I32", "I64"}
"""Types of masks and positions that old files hold beside the weights."""
_MOST_INDEX = 1 << 26
"""Bytes of an index of weights, at most."""
_COUNT = re.compile("layer|^num_labels$|^(num|n)_.*expert")
"""Keys of a configuration for whose values transformers makes as many things: modules, or names."""
_LAYERS = 1000
"""Layers, or the like, that a configuration may ask for with few tensors: those of images have defaults."""


def load_model(name: str) -> tuple[nn.Module, Path]:
    """The model of a folder or name, in evaluation mode, and its folder.

    Raises:
        ValueError: it cannot be loaded, is an adapter or quantized, or has other weights than its config.json asks for.
            The message goes on from the name.

    """
    with _one_line():
        folder = _folder(name)
    if (folder / "adapter_config.json").exists():
        raise ValueError("holds an adapter (adapter_config.json); merge it into its model, as by merge_and_unload")
    with _one_line():
        check_files(folder)
        stored = _stored_types(folder)
        config = read_json(folder / "config.json")
    if wrong := next((name for name, kind in stored.items() if kind not in _CONSTANTS | _TYPES.keys()), None):
        raise ValueError(f"stores {wrong} as {stored[wrong]}; must be {', '.join(_TYPES)}: --quantize makes copies")
    try:
        _check_config(config, len(stored))
    except RecursionError:
        raise ValueError("has a config.json that is nested too deeply") from None
    widest = next((kind for name, kind in _TYPES.items() if name in stored.values()), torch.float32)
    with quiet():  # slow to import, which sets its loggers as they were
        from transformers import AutoConfig, AutoModelForCausalLM
    with _one_line(), quiet(), no_progress_bars():
        made = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        made._attn_implementation = made._experts_implementation = (
            None  # it may name a kernel on the hub, which is code
        )
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            config=made,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.promote_types(widest, torch.float32),  # holds every stored number
            output_loading_info=True,
        )
    if missing := sorted(report["missing_keys"]):  # transformers draws them at random
        raise ValueError(f"lacks {missing[0]}; its weights must be all that its config.json asks for")
    if strange := sorted(report["unexpected_keys"]):  # transformers leaves them out
        raise ValueError(f"holds {strange[0]}, for which its config.json has no place; must hold one model")
    for key, parameter in model.named_parameters():
        parameter.data = parameter.data.to(_TYPES.get(stored.get(key, ""), widest))
    return model.eval(), folder


def _folder(name: str) -> Path:
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download  # slow to import

    return Path(snapshot_download(name, allow_patterns=[*_FILES]))


def _stored_types(folder: Path) -> dict[str, str]:
    """The type of every stored tensor, such as BF16."""
    stored: dict[str, str] = {}
    for file in _weight_files(folder):
        with safe_open(file, "pt") as opened:
            names = opened.keys()
            stored |= {name: opened.get_slice(name).get_dtype() for name in names}
    return stored


def _weight_files(folder: Path) -> list[Path]:
    """The files that transformers reads: one, or those of an index. Others may hold anything, as an optimizer's do."""
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    index = folder / f"{_WEIGHTS}.index.json"
    if not index.is_file():
        return []
    named = [folder / name for name in sorted(set(read_json(index, _MOST_INDEX)["weight_map"].values()))]
    for file in named:
        open_file(file).close()  # no pipe, which would be waited for
    return named


def _check_config(config: Any, tensors: int) -> None:
    """Raises ValueError for a quantized model, and for one of so many layers that making it would never end."""
    if not isinstance(config, dict):
        raise ValueError(f"has a config.json with {type(config).__name__}; must be a mapping")
    for key, value in config.items():
        if key in ("quantization_config", "compression_config") and value:
            method = value.get("quant_method", key) if isinstance(value, dict) else key
            raise ValueError(f"is stored quantized ({method}); must be as trained: --quantize makes copies")
        if _COUNT.search(key) and isinstance(value, int) and value > max(tensors, _LAYERS):
            raise ValueError(f"has {key}: {value} in its config.json; its weights are {tensors} tensors")
        if isinstance(value, dict):
            _check_config(value, tensors)


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """Turn what other libraries raise for a damaged folder, which is of many kinds, into a ValueError."""
    try:
        yield
    except Exception as error:
        reason = reason_of(error)
        if "ignore_mismatched_sizes" in reason:
            reason = "its config.json asks for other shapes than its weights have"
        raise ValueError(f"cannot be loaded ({reason}); {MUST}") from None
