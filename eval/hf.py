"""Any causal language model that transformers can load, for the evaluation.

In: a folder (or name) in Hugging Face form. Out: a `LanguageModel`, its tokenizer, its number of parameters.
Weights are read from safetensors only, and no code of the folder is run.
"""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from basis.files import named_path
from basis.hub import out_of_reach
from biogen.saved import load_saved, reason_of
from eval.loading import MUST, load_model
from eval.quiet import quiet

_HUB_NAME = re.compile(r"(\w[\w.-]*/)?\w[\w.-]*")
_LOGITS = 1 << 26
"""Logits held at a time, at most."""


def load(name: str) -> tuple[nn.Module, Any]:
    """A model and its tokenizer. Raises ValueError with the reason in one line."""
    name = str(named_path("model", name))
    if (Path(name) / "model" / "config.json").exists() and not (Path(name) / "config.json").exists():
        raise ValueError(f"model: {name!r} has no config.json; did you mean {Path(name) / 'model'}?")
    if not Path(name).is_dir() and not _HUB_NAME.fullmatch(name):
        raise ValueError(f"model: {name!r} is not a folder; {MUST}")
    if out_of_reach(name):
        raise ValueError(f"model: {name!r} is not on this machine, and the Hugging Face hub does not answer; {MUST}")
    try:
        model, folder = load_model(name)
    except ValueError as error:
        raise ValueError(f"model: {name!r} {error}") from None
    try:
        with quiet():
            return model, load_saved(str(folder))
    except ValueError as error:
        raise ValueError(f"tokenizer: {error}; {MUST}") from None


def count_parameters(model: nn.Module, used: int) -> int:
    """Trainable parameters, tied ones once, without the rows of unused tokens in embedding, head and head bias."""
    total = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    tables = vocabulary_tables(model).values()
    unused = [(max(0, len(table) - used), table.numel() // len(table)) for table in tables if table.requires_grad]
    return total - sum(rows * width for rows, width in unused)


def vocabulary_tables(model: nn.Module) -> dict[int, Tensor]:
    """The tensors with a row for each token, a tied one once, by their addresses: embedding, head and its bias.

    A model such as Gemma 3n has another embedding of the tokens for its inner layers.
    """
    inner = [part for name, part in model.named_modules() if name.rpartition(".")[2] == "embed_tokens_per_layer"]
    return _tables(*_ends(model), *inner)


def _ends(model: nn.Module) -> tuple[nn.Module, nn.Module]:
    return model.get_input_embeddings(), model.get_output_embeddings()  # type: ignore[operator]


def _tables(*modules: nn.Module) -> dict[int, Tensor]:
    tables = [table for one in modules for table in (getattr(one, "weight", None), getattr(one, "bias", None))]
    return {table.data_ptr(): table for table in tables if table is not None}


class HuggingFaceModel:
    """Reads a model of transformers' without changing it."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.model, self.device = model.to(device), device
        tables = [len(table) for table in _tables(*_ends(model)).values()]
        self._rows, self._largest = min(tables), max(tables)
        takes = inspect.signature(model.forward).parameters
        self._options = {"use_cache": False} if "use_cache" in takes else {}

    @torch.no_grad()
    def score(
        self, inputs: Int[np.ndarray, "batch time"], targets: Int[np.ndarray, "batch time"]
    ) -> tuple[Float[np.ndarray, "batch time"], Bool[np.ndarray, "batch time"]]:
        """−ln Pr(target) in nats, and whether the target is the likeliest token; 0 and False where negative."""
        self._check_tokens(targets)
        nats = np.zeros(inputs.shape, dtype=np.float32)
        correct = np.zeros(inputs.shape, dtype=bool)
        for part in self._parts(inputs):
            wanted = torch.from_numpy(targets[part]).to(self.device)
            logits = self._logits(inputs[part]).flatten(0, 1)
            loss = F.cross_entropy(logits, wanted.flatten(), ignore_index=-1, reduction="none")
            nats[part] = loss.cpu().numpy().reshape(wanted.shape)
            correct[part] = (logits.argmax(dim=1).view(wanted.shape) == wanted).cpu().numpy()
        return nats, correct

    @torch.no_grad()
    def next_tokens(
        self, inputs: Int[np.ndarray, "batch time"], lengths: Int[np.ndarray, " batch"]
    ) -> Int[np.ndarray, " batch"]:
        """The likeliest token after the first `length` tokens of each row."""
        tokens = np.zeros(len(inputs), dtype=np.int64)
        for part in self._parts(inputs):
            last = torch.from_numpy(lengths[part] - 1).to(self.device)
            logits = self._logits(inputs[part])[torch.arange(len(last), device=self.device), last]
            tokens[part] = logits.argmax(dim=1).cpu().numpy()
        return tokens

    def _parts(self, inputs: np.ndarray) -> Iterator[slice]:
        """Rows to be read together, so few that their logits take bounded memory."""
        rows = max(1, _LOGITS // (inputs.shape[1] * self._largest))
        return (slice(first, first + rows) for first in range(0, len(inputs), rows))

    def _logits(self, inputs: np.ndarray) -> Float[Tensor, "batch time vocab"]:
        self._check_tokens(inputs)
        try:
            logits = self.model(input_ids=torch.from_numpy(inputs).to(self.device), **self._options).logits
        except IndexError:  # an embedding of positions is too short
            config: Any = self.model.config
            places = getattr(config.get_text_config(), "max_position_embeddings", None)
            limit = f"; it has {places} positions" if places else ""
            raise ValueError(f"model: it cannot read a text of {inputs.shape[1]} tokens{limit}") from None
        except Exception as error:  # of a model that is none of texts, or whose config.json contradicts itself
            raise ValueError(f"model: it has no logits for a text ({reason_of(error)})") from None
        return logits.float()

    def _check_tokens(self, tokens: np.ndarray) -> None:
        if (number := int(tokens.max())) >= self._rows:
            raise ValueError(
                f"model: it has no row for token {number} of its tokenizer; its vocabulary is {self._rows}"
            )
