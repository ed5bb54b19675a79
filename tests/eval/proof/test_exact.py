"""Models in float64: the same logits whatever the batch, and nothing in between in single precision."""

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM

from eval.proof.exact import Exact

SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
MODELS = {
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=40, n_positions=64, n_embd=16, n_layer=2, n_head=2)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(vocab_size=40, **SIZES)),
    "gpt_neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=40, **SIZES)),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    torch.manual_seed(0)
    made = MODELS[request.param]().eval()
    for parameter in made.parameters():
        parameter.data *= 4  # so that logits are far apart
    return made


def read(exact, tokens):
    reading = exact.begin(len(tokens))
    return np.stack([reading.next(column) for column in tokens.T], axis=1)


def test_logits_depend_on_no_batch(model):
    tokens = np.random.default_rng(0).integers(0, 40, (9, 20))
    cpu = torch.device("cpu")
    whole = read(Exact(model, cpu, 9), tokens)
    assert whole.dtype == np.float64
    with torch.no_grad():
        single = model(torch.from_numpy(tokens)).logits.numpy()
    np.testing.assert_allclose(whole, single, rtol=0, atol=1e-4 * np.abs(single).max())
    for batch in (1, 4):
        np.testing.assert_allclose(read(Exact(model, cpu, batch), tokens), whole, rtol=0, atol=1e-11)
    without = Exact(model, cpu, 9)
    without.cache = None  # reads all tokens again each time
    np.testing.assert_allclose(read(without, tokens), whole, rtol=0, atol=1e-11)
    assert next(model.parameters()).dtype == torch.float32
    assert torch.get_default_dtype() == torch.float32
