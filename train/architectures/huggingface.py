"""A model as a class of transformers': what its config says, and which of our parameters each of its tensors is.

Pure data about names and rows; train/export.py reads and writes the files.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from train.sizes import Size

LLAMA_MODULES: dict[str, str | tuple[str, str, str]] = {
    "embedding": "model.embed_tokens",
    "attention_norm": "input_layernorm",
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention_out": "self_attn.o_proj",
    "mlp_norm": "post_attention_layernorm",
    "mlp_gate": "mlp.gate_proj",
    "mlp_in": "mlp.up_proj",
    "mlp_out": "mlp.down_proj",
    "norm": "model.norm",
    "head": "lm_head",
}
"""LLaMA's names of a transformer's modules, which many classes of transformers' share."""


class Source(NamedTuple):
    """Where an exported tensor comes from."""

    name: str
    """A parameter of ours."""
    rows: Tensor | None = None
    """Its rows to export, in this order; None: all of them."""


@dataclass(frozen=True)
class HuggingFaceForm:
    """The same model in transformers."""

    config: dict[str, Any]
    """The keys of config.json that decide what the model computes."""
    tensors: dict[str, Source]
    """The tensors that hold our parameters, each number once."""
    inert: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Tensors of zeros, by their shapes, that the class has beyond our model."""


def renamed(
    names: Iterable[str], layer: str, modules: Mapping[str, str | tuple[str, str, str]], size: Size
) -> dict[str, Source]:
    """Exported tensors of our parameters `names`, which are MODULE.KIND, or blocks.NUMBER.MODULE.KIND within `layer`.

    modules: their name of each of our modules; three names for a fused q, k and v that they keep apart.
    """
    tensors = {}
    for name in names:
        *path, module, kind = name.split(".")
        prefix, theirs = f"{layer}.{path[1]}." if path else "", modules[module]
        if isinstance(theirs, str):
            tensors[f"{prefix}{theirs}.{kind}"] = Source(name)
        else:
            rows = torch.arange(3 * size.width).view(size.heads, 3, size.head_width).transpose(0, 1).flatten(1)
            tensors |= {f"{prefix}{part}.{kind}": Source(name, rows[i]) for i, part in enumerate(theirs)}
    return tensors
