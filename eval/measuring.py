"""Measure any causal language model of transformers, from Python: `eval.measure`.

In: a model, its tokenizer, and the people whose knowledge is to be measured. Out: records, as `python -m eval` prints
them and as a run's result.json holds them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import nn

from basis.files import named_path
from basis.flags import UserError, explain, read_yaml
from basis.text import shown
from biogen.config import DataConfig
from biogen.dataset import EVALUATION, make_dataset
from biogen.folder import check_unchanged, read_carried
from biogen.population import MOST_MEASURED
from eval.checks import check_causal, check_decoding, check_model
from eval.hf import HuggingFaceModel, count_parameters
from eval.quantizers import QUANTIZERS
from eval.quantizers.schemes import parse_scheme
from eval.record import measure_copies
from eval.source import OtherTokens

_CAUSAL_TEXTS = 8
"""Texts in which the last tokens are changed, to see whether the model is causal."""


def measure(
    model: nn.Module,
    tokenizer: Any,
    data: DataConfig | Path | str,
    *,
    quantize: Sequence[str] = (),
    people: int = MOST_MEASURED,
) -> list[dict[str, Any]]:
    """How many bits of knowledge about synthetic people a model stores per parameter.

        model = AutoModelForCausalLM.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        pandas.DataFrame(eval.measure(model, tokenizer, "people", quantize=["int8", "gptq-int4"]))

    Args:
        model: a causal language model of transformers. It is left as it is, and measured on the device where it is.
        tokenizer: its fast tokenizer, which is used as it is, but without truncation and padding. It must keep every
            character of a text, and split at spaces and before punctuation.
        data: the people: their options, or a folder with a config.yaml, such as a data set of `python -m biogen` or
            a run of `capacity.run`.
        quantize: names of quantized copies to measure, too, such as gptq-int4 (`eval/quantizers/schemes.py`).
        people: how many people are measured at most, the first ones, over texts that are drawn for measuring.

    Returns:
        A record of the model, then one of each quantized copy. The guide's table of columns explains the keys, among
        them `quantization` ("none" for the model), `bits_per_param` (R), `params` (P), and losses in nats.
        `text_begins_with` says which tokens stand before every text.

    Raises:
        ValueError: what cannot be measured, with one line for each reason.
    """
    if not isinstance(people, Integral) or people < 2:
        raise ValueError(f"people: {shown(people)} is not allowed; must be a whole number of at least 2")
    schemes = _read_schemes(quantize)
    config, folder = (data, None) if isinstance(data, DataConfig) else _read_folder(data)
    readable = make_readable(model, tokenizer, config, folder)
    source, parameters = readable.source, readable.parameters
    records = measure_copies(
        model,
        readable.read,
        source,
        parameters,
        schemes=schemes,
        people=int(people),
        tokens_in_use=readable.tokens_in_use,
    )
    check_decoding(records[0])
    return [{"params": parameters, "text_begins_with": source.beginning, **record} for record in records]


@dataclass(frozen=True)
class Readable:
    """A model that can be measured."""

    source: OtherTokens
    parameters: int
    """P."""
    tokens_in_use: int
    """Rows of the vocabulary that P counts."""
    device: torch.device

    def read(self, model: nn.Module) -> HuggingFaceModel:
        """A reader of the model or of a copy. Raises ValueError for one that is not causal."""
        for part in model.modules():
            settings: Any = getattr(part, "config", None)
            if hasattr(settings, "return_dict"):
                settings.return_dict = True  # a config.json may ask for tuples
        reader = HuggingFaceModel(model, self.device)
        some = np.arange(min(self.source.dataset.config.people, _CAUSAL_TEXTS))
        check_causal(reader, self.source.texts(some, EVALUATION))
        return reader


def make_readable(model: Any, tokenizer: Any, config: DataConfig, folder: Path | None) -> Readable:
    """See that a model can be measured on people. Raises ValueError with one line for each reason.

    folder: where the configuration stands, whose fingerprint is compared.
    """
    if not isinstance(model, nn.Module) or not hasattr(model, "get_input_embeddings"):
        raise ValueError(
            f"model: {type(model).__name__} is not allowed; must be a causal language model of transformers"
        )
    check_model(model)
    dataset = make_dataset(config)
    if not dataset.known_bits:
        raise ValueError(f"data: a {dataset.title} is not allowed; how many bits are in its texts is not known")
    if folder is not None:
        check_unchanged(folder, dataset)
    source = OtherTokens(dataset, tokenizer)
    used = len(source.tokens_in_use())
    parameters = count_parameters(model, used)
    if parameters == 0:
        raise ValueError("model: none of its parameters is trainable; R is bits per trainable parameter")
    return Readable(source, parameters, used, next(model.parameters()).device)


def _read_schemes(quantize: object) -> list[str]:
    """The names of quantized copies. Raises ValueError."""
    if isinstance(quantize, str | bytes) or not isinstance(quantize, Iterable):
        raise ValueError(f"quantize: {shown(quantize)} is not allowed; must be a list of names, such as ['int8']")
    schemes = list(quantize)
    for name in schemes:
        try:
            method = parse_scheme(str(name)).method
        except ValueError as error:
            raise ValueError(f"quantize: {shown(name)} is not allowed; {error}") from None
        QUANTIZERS[method]  # a user's own that cannot be imported is told before anything is measured
    return [str(name) for name in schemes]


def _read_folder(data: object) -> tuple[DataConfig, Path]:
    """The configuration in a folder, and the folder. Raises ValueError."""
    folder = named_path("data", data)
    return read_data(folder), folder


def read_data(folder: Path) -> DataConfig:
    """The data of a folder's config.yaml. Raises ValueError."""
    file = folder / "config.yaml"
    if not file.is_file():
        there = "has no config.yaml" if folder.is_dir() else "is not a folder"
        raise ValueError(f"data: {folder} {there}; must be a data set of biogen or a run of capacity.run")
    try:
        content = read_yaml(file)
    except UserError as error:
        raise ValueError(str(error)) from None
    if not isinstance(content.get("data"), dict):
        raise ValueError(f"data: {file} has no key data; must describe the people under it")
    try:
        return DataConfig.model_validate(read_carried(folder, content))
    except ValidationError as error:
        raise ValueError("\n".join(f"{file}: {line}" for line in explain(error, DataConfig))) from None
