"""A trained model for the evaluation: numpy arrays of tokens in, losses (nats) and likeliest tokens out."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from train.architectures.causal_lm import CausalLM
from train.head import chunk_for, token_scores
from train.native.library import library
from train.native.model import NativeModel


class Inference:
    """Reads a model in fp32 and in its evaluation mode, without changing it; `native`: with the compiled kernels."""

    def __init__(self, model: CausalLM, device: torch.device, *, native: bool = False) -> None:
        self.model, self.device = model, device
        self._native = NativeModel(model, library()) if native else None

    @torch.no_grad()
    def score(
        self, inputs: Int[np.ndarray, "batch time"], targets: Int[np.ndarray, "batch time"]
    ) -> tuple[Float[np.ndarray, "batch time"], Bool[np.ndarray, "batch time"]]:
        """−ln Pr(target) in nats, and whether the target is the likeliest token; 0 and False where IGNORE."""
        if self._native:
            return self._native.score(inputs, targets)
        hidden = self._hidden(inputs).flatten(0, 1)
        flat = torch.from_numpy(targets).to(self.device).flatten()
        nats, correct = token_scores(hidden, self.model.head_weight, flat, chunk_for(self.device))
        return nats.float().cpu().numpy().reshape(inputs.shape), correct.cpu().numpy().reshape(inputs.shape)

    @torch.no_grad()
    def next_tokens(
        self, inputs: Int[np.ndarray, "batch time"], lengths: Int[np.ndarray, " batch"]
    ) -> Int[np.ndarray, " batch"]:
        """The likeliest token after the first `length` tokens of each row."""
        hidden = self._hidden(inputs)
        last = hidden[torch.arange(len(inputs)), torch.from_numpy(lengths - 1).to(self.device)]
        logits = last @ self.model.head_weight.T
        return logits.argmax(dim=1).cpu().numpy()

    def _hidden(self, inputs: Int[np.ndarray, "batch time"]) -> Float[torch.Tensor, "batch time width"]:
        training = self.model.training
        self.model.eval()
        try:
            hidden: torch.Tensor = self.model(torch.from_numpy(inputs).to(self.device))
        finally:
            self.model.train(training)
        return hidden
