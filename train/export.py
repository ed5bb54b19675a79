"""A trained model as a Hugging Face folder and back: a `CausalLM` comes in, config.json and safetensors go out.

The model says which class of transformers' it is (`CausalLM.huggingface`). Reading and writing need neither
transformers nor pickle; a user of the folder needs `AutoModelForCausalLM.from_pretrained(folder)` and nothing of this
project. A model that no class of transformers' computes is written under its own names, for this project alone.
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from basis.reading import read_json
from train.architectures.causal_lm import CausalLM
from train.architectures.huggingface import HuggingFaceForm, Source

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def _form(model: CausalLM) -> HuggingFaceForm:
    if (form := model.huggingface()) is not None:
        return form
    kind = type(model)
    config = {"architectures": [f"{kind.__module__}:{kind.__qualname__}"], "size": str(model.size)}
    tensors = {name: Source(name) for name, _ in model.named_parameters()}
    return HuggingFaceForm(config | {"vocab_size": model.vocab}, tensors)


def save_pretrained(model: CausalLM, folder: Path, *, context: int, end_id: int) -> None:
    """Write `model` to `folder`, made if need be.

    `context` is the number of tokens in a window, `end_id` the token between people (bos and eos).
    A tied head is stored once, as the embedding.

    Raises:
        ValueError: `context` is below 1, or `end_id` is not a token of the vocabulary.

    """
    if context < 1:
        raise ValueError(f"context: {context} is not allowed; allowed: at least 1")
    if not 0 <= end_id < model.vocab:
        raise ValueError(f"end_id: {end_id} is not allowed; allowed: 0 to {model.vocab - 1}")
    form = _form(model)
    config = form.config | {
        "bos_token_id": end_id,
        "dtype": str(model.head_weight.dtype).removeprefix("torch."),
        "eos_token_id": end_id,
        "max_position_embeddings": context,
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_exported(model, form), folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _exported(model: CausalLM, form: HuggingFaceForm) -> dict[str, Tensor]:
    """The tensors of the folder, by name."""
    parameters = {name: p.detach().cpu() for name, p in model.named_parameters()}
    tensors = {
        name: (parameters[ours] if rows is None else parameters[ours][rows]).contiguous()
        for name, (ours, rows) in form.tensors.items()
    }
    assert sum(tensor.numel() for tensor in tensors.values()) == sum(p.numel() for p in parameters.values())
    zeros = {name: torch.zeros(shape, dtype=model.head_weight.dtype) for name, shape in form.inert.items()}
    return tensors | zeros


def load_weights(model: CausalLM, folder: Path) -> None:
    """Read a folder that `save_pretrained` wrote of a model like `model` into it, to the bit.

    Raises:
        ValueError: a file is missing or damaged, or the folder holds another model; `model` is then as it was.

    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ValueError(f"folder: {folder} is not an exported model; it must hold {CONFIG} and {WEIGHTS}")
    form = _form(model)
    try:
        config = read_json(folder / CONFIG)
        tensors = load_file(folder / WEIGHTS)
    except ValueError as error:
        raise ValueError(f"{CONFIG} of {folder}: is damaged ({error})") from None
    except SafetensorError as error:
        raise ValueError(f"{WEIGHTS} of {folder}: is damaged ({error})") from None
    if not isinstance(config, dict):
        raise ValueError(f"{CONFIG} of {folder}: holds {type(config).__name__}; allowed is a mapping")
    for key, allowed in form.config.items():
        if config.get(key) != allowed:
            raise ValueError(f"{key}: {config.get(key)!r} in {folder / CONFIG}; allowed: {allowed!r}")
    expected = _exported(model, form)
    if wrong := sorted(expected.keys() ^ tensors.keys()):
        raise ValueError(f"{wrong[0]}: missing or not allowed in {folder / WEIGHTS}; the config decides the names")
    for name, ours in expected.items():
        if tensors[name].shape != ours.shape or tensors[name].dtype != ours.dtype:
            found, wanted = (f"{t.dtype} {list(t.shape)}" for t in (tensors[name], ours))
            raise ValueError(f"{name}: {found} in {folder / WEIGHTS}; allowed: {wanted}")
    if wrong := [name for name in form.inert if tensors[name].any()]:
        raise ValueError(f"{wrong[0]}: is not zero in {folder / WEIGHTS}; the model has nothing there")
    for name, (own, rows) in form.tensors.items():
        parameter = model.get_parameter(own).data
        parameter[slice(None) if rows is None else rows] = tensors[name].to(parameter.device)
