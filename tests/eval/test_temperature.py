"""A temperature undoes what multiplies all logits, and models without a norm at their end are refused."""

import copy

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from eval.quantize import quantize
from eval.quantizers.schemes import parse_scheme
from eval.temperature import set_temperature
from train.architectures.gpt2 import GPT2
from train.sizes import parse_size

VOCAB = 23


def ours():
    model = GPT2(parse_size("1x16"), VOCAB)
    return model, model.norm, lambda tokens: model(tokens) @ model.head_weight.T


def gpt2():
    config = GPT2Config(vocab_size=VOCAB, n_positions=16, n_embd=16, n_layer=1, n_head=2)
    model = GPT2LMHeadModel(config).eval()
    return model, model.transformer.ln_f, lambda tokens: model(tokens).logits


def llama():
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2
    )
    model = LlamaForCausalLM(config).eval()
    return model, model.model.norm, lambda tokens: model(tokens).logits


def drawn_from(logits, rows=256, time=6):
    """Texts that the model itself writes."""
    texts = torch.randint(VOCAB, (rows, 1))
    while texts.shape[1] < time:
        chances = logits(texts)[:, -1].softmax(dim=1)
        texts = torch.cat([texts, chances.multinomial(1)], dim=1)
    return texts


@pytest.mark.parametrize("make", [ours, gpt2, llama])
def test_what_multiplies_all_logits_is_undone(make):
    torch.manual_seed(0)
    model, norm, logits = make()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
        norm.weight.normal_(mean=2, std=0.5)
        texts = [drawn_from(logits)]
        before = logits(texts[0])
        norm.weight.mul_(3)
        if getattr(norm, "bias", None) is not None:
            norm.bias.mul_(3)
        assert set_temperature(model, texts) == pytest.approx(3, rel=0.1)
        torch.testing.assert_close(logits(texts[0]), before, rtol=0.1, atol=0.1)
        assert set_temperature(model, texts) == pytest.approx(1, abs=0.02)


def test_a_copy_with_a_temperature_takes_no_more_bits_and_has_no_greater_loss():
    torch.manual_seed(0)
    model, _, logits = gpt2()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
        texts = [drawn_from(logits)]

    def loss(one):
        return nn.functional.cross_entropy(one(texts[0]).logits[:, :-1].flatten(0, 1), texts[0][:, 1:].flatten())

    kept = copy.deepcopy(model.state_dict())
    plain, size = quantize(model, parse_scheme("rtn-int2"), lambda: texts)
    cooled, same = quantize(model, parse_scheme("rtn-int2+temperature"), lambda: texts)
    assert size == same
    assert loss(cooled) < loss(plain)
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())


def test_a_model_without_a_norm_at_its_end_is_refused():
    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(VOCAB, 8)
            self.head_weight = self.embedding.weight

        def forward(self, tokens):
            return self.embedding(tokens)

    with pytest.raises(ValueError, match=r"^quantize: a temperature is not possible; the model has no norm"):
        set_temperature(Bare(), [torch.zeros(2, 3, dtype=torch.long)])
