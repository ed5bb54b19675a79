"""Every form of model that comes along, small and with parameters all of which matter."""

import torch

from train.architectures.causal_lm import CausalLM, make_model
from train.sizes import parse_size

FORMS = {
    "gpt2": ("gpt2", {}),
    "gpt2 gated": ("gpt2", {"mlp": "gated"}),
    "gpt2 quarter": ("gpt2", {"mlp": "quarter"}),
    "gpt2 none": ("gpt2", {"mlp": "none"}),
    "llama": ("llama", {}),
    "llama untied": ("llama", {"tied": False}),
}
"""Those that the kernels know."""
EVERY_FORM = FORMS | {"moe": ("moe", {"experts": 3})}


def new(form: str, size: str = "2x48", vocab: int = 29) -> CausalLM:
    """A model as PyTorch begins it."""
    name, options = EVERY_FORM[form]
    return make_model(name, parse_size(size), vocab, options)


def perturbed(form: str, size: str = "2x48", vocab: int = 29) -> CausalLM:
    """A model in which every parameter, biases and norms too, matters."""
    model = new(form, size, vocab)
    model.initialize("width", seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model


def windows(time: int = 12, vocab: int = 29) -> torch.Tensor:
    """Rows of random tokens."""
    return torch.randint(vocab, (3, time), generator=torch.Generator().manual_seed(3))
