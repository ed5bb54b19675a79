"""What a measurement takes for granted, checked: R of a model that breaks it would be printed and be wrong.

In: a model, its reader, its recall, its record. Out: nothing, or a ValueError that says in one line what is broken.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from biogen.dataset import Dataset
from biogen.pieces import Texts
from eval.recall import LanguageModel, Recall, pad_rows

_TYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_LEAK = 1e-5
"""Nats by which rounding may change a loss where nothing that it depends on has changed."""
_ROUNDING = 1e-3
"""Rounding of the sum of all names' probabilities."""
_ERRORS = 4.0
"""Standard errors by which the mean loss of some people's names may be below the least of all people's."""
_DISAGREEMENT = 0.01
"""Share of values that decoding may complete otherwise, as where two tokens are equally likely."""


def check_model(model: nn.Module) -> None:
    """Raises ValueError for a model whose parameters are not all that it knows, or are no numbers."""
    config: Any = getattr(model, "config", None)
    if getattr(config, "is_encoder_decoder", False):
        raise ValueError(f"model: {type(model).__name__} reads with an encoder; must be a causal language model")
    if hasattr(model, "peft_config") or getattr(model, "_hf_peft_config_loaded", False):
        raise ValueError("model: it has an adapter; merge it into the model, as by merge_and_unload")
    if getattr(config, "quantization_config", None) or any(
        type(module).__module__.startswith("torch.ao.") for module in model.modules()
    ):
        raise ValueError("model: it is quantized; must have its weights as trained: quantize makes copies")
    for name, tensor in model.named_parameters():
        if type(tensor.data) is not Tensor or tensor.dtype not in _TYPES or tensor.is_meta:
            kind = f"{type(tensor.data).__name__} of {tensor.dtype} on {tensor.device.type}"
            raise ValueError(f"model: {name} is a {kind}; must be a tensor of floating-point numbers in memory")
        if not tensor.isfinite().all():
            raise ValueError(f"model: {name} holds {_strange(tensor)}; all weights must be finite numbers")
    if broken := [name for name, buffer in model.named_buffers() if buffer.isnan().any()]:
        raise ValueError(f"model: {broken[0]} holds nan; must be numbers")


def _strange(tensor: Tensor) -> float:
    return float(tensor.detach()[~tensor.isfinite()][0])


def check_causal(model: LanguageModel, texts: Texts) -> None:
    """Raises ValueError if a loss changes with tokens that come after the predicted one.

    All texts are read as they are, with another last token, and with another second half.
    """
    padded = pad_rows(texts, np.arange(len(texts)))
    inputs, targets, places = np.maximum(padded[:, :-1], 0), padded[:, 1:], np.arange(padded.shape[1] - 1)
    nats, _ = model.score(inputs, targets)
    for cut in (texts.lengths - 2, texts.lengths // 2):
        after = places >= cut[:, None]
        other = np.where(inputs == inputs[:, 1:2], inputs[:, :1], inputs[:, 1:2])  # of two tokens, the one that differs
        again, _ = model.score(np.where(after, other, inputs), targets)
        change = np.abs(again - nats) > _LEAK * np.maximum(1, nats)
        if (seen := np.argwhere(change & ~after)).size:
            row, place = seen[0]
            raise ValueError(
                f"model: it is not causal: the loss of token {place + 1} of a text changes with tokens from "
                f"{cut[row]} on; must see the tokens before alone"
            )


def check_recall(recall: Recall, dataset: Dataset) -> None:
    """Raises ValueError for losses that no probabilities have.

    No two names are one, and none begins another, so that their probabilities add up to 1 at most. From this follows
    that the mean loss of N names is at least ln N, and that R is at most R max.
    """
    for losses in (recall.name, recall.value):
        if not np.isfinite(losses).all():
            raise ValueError(
                f"model: a loss is {losses[~np.isfinite(losses)][0]}; must be a finite number for every token"
            )
    if not dataset.known_bits:  # it has no names
        return
    if (total := float(np.exp(-recall.name).sum())) > 1 + _ROUNDING:
        raise ValueError(
            f"model: it gives the names of {len(recall.name)} people a probability of {total:.4g} in all; must be at "
            "most 1: its tokens cannot tell names apart, or it sees them"
        )
    people, measured = dataset.config.people, len(recall.name)
    error = recall.name.std() / math.sqrt(measured)
    if measured < people and (mean := recall.name.mean()) + _ERRORS * error < math.log(people) - _ROUNDING:
        raise ValueError(
            f"model: loss_name of the first {measured} people is {mean:.3f}, below ln {people} = "
            f"{math.log(people):.3f}: it knows them better than the others; all people must be measured"
        )


def check_decoding(record: dict[str, Any]) -> None:
    """Raises ValueError if greedy decoding does not complete the values that the losses say it does."""
    agreement, people = record["qa_greedy_agreement"], record["qa_greedy_people"]
    if 1 - agreement > max(_DISAGREEMENT, 1 / people):
        raise ValueError(
            f"model: decoding token by token agrees with its likeliest tokens in {agreement:.0%} of the values; must "
            "in all: what it computes depends on more than the tokens before"
        )
