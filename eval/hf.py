"""Any causal language model that transformers can load, for the evaluation.

In: a folder (or name) in Hugging Face form. Out: a `LanguageModel`, its tokenizer, its number of parameters.
Weights are read from safetensors only, and no code of the folder is run.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from basis.hub import out_of_reach
from biogen.config import at_home
from biogen.saved import load_saved, reason_of
from eval.quiet import quiet

_HUB_NAME = re.compile(r"(\w[\w.-]*/)?\w[\w.-]*")
_LOGITS = 1 << 26
"""Logits held at a time, at most."""


def load(name: str) -> tuple[nn.Module, Any]:
    """A model and its tokenizer. Raises ValueError with the reason in one line."""
    must = "must be a folder with config.json, model.safetensors and a tokenizer"
    name = at_home(name)
    if (Path(name) / "model" / "config.json").exists() and not (Path(name) / "config.json").exists():
        raise ValueError(f"model: {name!r} has no config.json; did you mean {Path(name) / 'model'}?")
    if not Path(name).is_dir() and not _HUB_NAME.fullmatch(name):
        raise ValueError(f"model: {name!r} is not a folder; {must}")
    if out_of_reach(name):
        raise ValueError(f"model: {name!r} is not on this machine, and the Hugging Face hub does not answer; {must}")
    with quiet():  # slow to import
        from transformers import AutoModelForCausalLM

    try:
        with quiet(), _no_progress_bars():
            model, report = AutoModelForCausalLM.from_pretrained(
                name, use_safetensors=True, trust_remote_code=False, output_loading_info=True
            )
    except Exception as error:  # transformers raises many kinds of errors for a bad folder
        raise ValueError(f"model: {name!r} cannot be loaded ({reason_of(error)}); {must}") from None
    if missing := sorted(report["missing_keys"]):  # transformers would draw them at random
        raise ValueError(f"model: {name!r} lacks {missing[0]}; its weights must be all that its config.json asks for")
    try:
        with quiet():
            return model.eval(), load_saved(name)
    except ValueError as error:
        raise ValueError(f"tokenizer: {error}; {must}") from None


@contextlib.contextmanager
def _no_progress_bars() -> Iterator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def count_parameters(model: nn.Module, used: int) -> int:
    """Trainable parameters, tied ones once, without the rows of unused tokens in embedding, head and head bias."""
    total = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    tables = vocabulary_tables(model).values()
    return total - sum((len(table) - used) * (table.numel() // len(table)) for table in tables if table.requires_grad)


def vocabulary_tables(model: nn.Module) -> dict[int, Tensor]:
    """The tensors with a row for each token, a tied one once, by their addresses: embedding, head and its bias."""
    ends = (model.get_input_embeddings(), model.get_output_embeddings())  # type: ignore[operator]
    tables = [table for end in ends for table in (getattr(end, "weight", None), getattr(end, "bias", None))]
    return {table.data_ptr(): table for table in tables if table is not None}


class HuggingFaceModel:
    """Reads a model of transformers' without changing it."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.model, self.device = model.to(device), device

    @torch.no_grad()
    def score(
        self, inputs: Int[np.ndarray, "batch time"], targets: Int[np.ndarray, "batch time"]
    ) -> tuple[Float[np.ndarray, "batch time"], Bool[np.ndarray, "batch time"]]:
        """−ln Pr(target) in nats, and whether the target is the likeliest token; 0 and False where negative."""
        nats = np.zeros(inputs.shape, dtype=np.float32)
        correct = np.zeros(inputs.shape, dtype=bool)
        rows = max(1, _LOGITS // (inputs.shape[1] * self._vocab()))
        for first in range(0, len(inputs), rows):
            part = slice(first, first + rows)
            wanted = torch.from_numpy(targets[part]).to(self.device)
            logits = self._logits(inputs[part]).flatten(0, 1).float()
            loss = F.cross_entropy(logits, wanted.flatten(), ignore_index=-1, reduction="none")
            nats[part] = loss.cpu().numpy().reshape(wanted.shape)
            correct[part] = (logits.argmax(dim=1).view(wanted.shape) == wanted).cpu().numpy()
        return nats, correct

    @torch.no_grad()
    def next_tokens(
        self, inputs: Int[np.ndarray, "batch time"], lengths: Int[np.ndarray, " batch"]
    ) -> Int[np.ndarray, " batch"]:
        """The likeliest token after the first `length` tokens of each row."""
        last = self._logits(inputs)[torch.arange(len(inputs)), torch.from_numpy(lengths - 1)]
        return last.argmax(dim=1).cpu().numpy()

    def _logits(self, inputs: np.ndarray) -> Tensor:
        try:
            logits: Tensor = self.model(input_ids=torch.from_numpy(inputs).to(self.device)).logits
        except IndexError:  # an embedding of tokens or of positions is too short
            config = self.model.config
            places = getattr(config, "max_position_embeddings", None)
            raise ValueError(
                f"model: it cannot read a text of {inputs.shape[1]} tokens, the largest number {inputs.max()}; it has "
                f"a vocabulary of {self._vocab()}" + (f" and {places} positions" if places else "")
            ) from None
        return logits

    def _vocab(self) -> int:
        return int(self.model.config.vocab_size)  # type: ignore[union-attr, arg-type]
