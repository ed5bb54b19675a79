"""Texts for quantizers: biographies of 1,000 people, as in Allen-Zhu and Li (arXiv 2404.05405).

In: the texts' source. Out: batches of token ids. The people are those that the model knows, spread evenly over all;
their texts are of an exposure that is neither trained on nor measured. If a person has only one text (variant
`single`), it is that text.
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
    """One text each of at most `people` people; a batch has texts of one length, so that none is padded."""
    everyone = source.dataset.config.people
    index = np.linspace(0, everyone - 1, min(people, everyone)).astype(np.int64)
    texts = source.texts(index, CALIBRATION)
    batches: list[Tensor] = []
    for length in np.unique(texts.lengths):
        places = texts.offsets[:-1][texts.lengths == length][:, None] + np.arange(length)
        tokens = torch.from_numpy(texts.tokens[places].astype(np.int64))
        batches += tokens.split(max(1, _BATCH_TOKENS // int(length)))
    return batches
