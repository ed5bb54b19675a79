"""Texts that a quantizer may look at: biographies of 1,000 people, as in Allen-Zhu and Li (arXiv 2404.05405).

In: the texts' source. Out: batches of token ids. The people are those that the model knows, spread evenly over all;
their texts are drawn at an exposure that is neither trained on nor measured. Where a person has one text for good
(variant `single`), it is that one.
"""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from biogen.dataset import EVALUATION
from eval.source import Source

CALIBRATION = EVALUATION + 1
PEOPLE = 1000
_BATCH_TOKENS = 2048
"""Tokens in a batch, at most, which bounds the logits that a model makes of it."""


def calibration_texts(source: Source, people: int = PEOPLE) -> list[Int[Tensor, "batch time"]]:
    """One text each of at most so many people, texts of equal length together, so that nothing is padded."""
    everyone = source.dataset.config.people
    index = np.linspace(0, everyone - 1, min(people, everyone)).astype(np.int64)
    texts = source.draw(index, CALIBRATION)
    batches: list[Tensor] = []
    for length in np.unique(texts.lengths):
        places = texts.offsets[:-1][texts.lengths == length][:, None] + np.arange(length)
        tokens = torch.from_numpy(texts.tokens[places].astype(np.int64))
        batches += tokens.split(max(1, _BATCH_TOKENS // int(length)))
    return batches
