"""Quantized copies: which matrices, counts in closed form, ties, equality with torchao's own modules."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM

from eval.quantize import QuantizedSize, quantize
from eval.quantizers.schemes import FORMAT_BITS, INTEGER_BITS, NONE, Scheme

FORMATS = ("none", *FORMAT_BITS)

WIDTH, INNER, VOCAB = 32, 96, 40
LINEAR = 2 * WIDTH * INNER  # weights of the two matrices below
TABLE = VOCAB * WIDTH
BIASES = INNER + WIDTH


def rounded(model, format, *, embedding, group=None, **options):
    """A copy, and its size, by round to nearest."""
    return quantize(model, NONE if format == "none" else Scheme("rtn", format, group, embedding), **options)


class Tied(nn.Module):
    """A table that is embedding and head by use, around two layers."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, WIDTH)
        self.layers = nn.Sequential(nn.Linear(WIDTH, INNER), nn.GELU(), nn.Linear(INNER, WIDTH))

    def forward(self, tokens):
        return self.layers(self.embedding(tokens)) @ self.embedding.weight.T


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Tied()


@pytest.fixture
def tokens():
    return torch.arange(VOCAB).view(4, 10)


def neox(tied):
    torch.manual_seed(0)
    sizes = {
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = GPTNeoXConfig(vocab_size=VOCAB, max_position_embeddings=16, tie_word_embeddings=tied, **sizes)
    return GPTNeoXForCausalLM(config).eval()


@pytest.mark.parametrize("group", [None, 16])
@pytest.mark.parametrize("format", [format for format in FORMATS if format not in ("none", "bf16")])
def test_copy_computes_what_torchaos_own_modules_compute(model, tokens, format, group):
    import torchao
    from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig, IntxWeightOnlyConfig
    from torchao.quantization.granularity import PerAxis, PerGroup, PerRow

    per_row = PerGroup(group) if group else PerRow()
    if format == "fp8":
        config = Float8WeightOnlyConfig(granularity=per_row, set_inductor_config=False)
    elif format == "int8":
        config = Int8WeightOnlyConfig(granularity=per_row, set_inductor_config=False)
    else:
        channel = PerGroup(group) if group else PerAxis(0)
        config = IntxWeightOnlyConfig(weight_dtype=getattr(torch, format), granularity=channel)
    reference = copy.deepcopy(model)
    torchao.quantize_(reference, config)
    quantized, _ = rounded(model, format, embedding=False, group=group)
    assert type(quantized.layers[0].weight) is nn.Parameter
    assert type(reference.layers[0].weight) is not nn.Parameter
    torch.testing.assert_close(quantized(tokens), reference(tokens), rtol=1e-5, atol=1e-5)


def test_int8_changes_outputs_little_and_int2_much(model, tokens):
    exact = model(tokens)

    def relative_error(format):
        return ((rounded(model, format, embedding=True)[0](tokens) - exact).norm() / exact.norm()).item()

    errors = [relative_error(format) for format in ("none", *INTEGER_BITS)]
    assert errors[0] == 0
    assert errors[1] < 0.01
    assert errors == sorted(errors)
    assert errors[-1] > 0.3


@pytest.mark.parametrize("format", FORMATS)
def test_the_original_and_what_is_not_a_matrix_stay(model, tokens, format):
    before = copy.deepcopy(model.state_dict())
    quantized, _ = rounded(model, format, embedding=True)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert torch.equal(quantized.layers[0].bias, model.layers[0].bias)
    assert quantized.state_dict().keys() == before.keys()
    assert quantized.embedding.weight.data_ptr() != model.embedding.weight.data_ptr()


@pytest.mark.parametrize("embedding", [False, True])
@pytest.mark.parametrize("group", [None, 16])
@pytest.mark.parametrize(("format", "bits"), [*INTEGER_BITS.items(), ("fp8", 8)])
def test_sizes_in_closed_form(model, format, bits, group, embedding):
    _, size = rounded(model, format, embedding=embedding, group=group)
    weights = LINEAR + TABLE * embedding
    scales = weights // group if group else INNER + WIDTH + VOCAB * embedding
    left = BIASES + TABLE * (not embedding)
    # a scale is a float32; with integers goes a zero point of 8 bits
    expected = QuantizedSize(weights, weights * bits, scales * (32 if format == "fp8" else 40), left * 32)
    assert size == expected
    assert size.total_bits == expected.weight_bits + expected.scale_bits + expected.other_bits


def test_sizes_without_integers(model):
    everything = LINEAR + TABLE + BIASES
    assert rounded(model, "none", embedding=True)[1] == QuantizedSize(0, 0, 0, everything * 32)
    matrices = LINEAR + TABLE
    assert rounded(model, "bf16", embedding=True)[1] == QuantizedSize(matrices, matrices * 16, 0, BIASES * 32)


@pytest.mark.parametrize("embedding", [False, True])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("format", "group"), [("none", None), ("bf16", None), ("int4", None), ("int8", 8)])
def test_rows_of_tokens_that_are_not_in_use_have_no_size(tied, embedding, format, group):
    large, small = neox(tied), neox(tied)
    small.resize_token_embeddings(VOCAB - 5)
    of_large = rounded(large, format, embedding=embedding, group=group, tokens_in_use=VOCAB - 5)[1]
    assert of_large == rounded(small, format, embedding=embedding, group=group)[1]


@pytest.mark.parametrize("embedding", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_hugging_face_ties(tokens, tied, embedding):
    original = neox(tied)
    quantized, size = rounded(original, "int4", embedding=embedding)
    table, head = quantized.gpt_neox.embed_in.weight, quantized.get_output_embeddings().weight
    assert (table is head) == tied
    assert torch.equal(table, original.gpt_neox.embed_in.weight) != embedding
    assert torch.equal(head, original.get_output_embeddings().weight) != embedding
    inside = 4 * WIDTH**2 + 2 * WIDTH * INNER
    assert size.quantized_weights == inside + TABLE * embedding * (2 - tied)
    assert quantized(tokens).logits.shape == (4, 10, VOCAB)


def test_an_untied_head_of_ours_goes_with_the_embedding(model):
    model.head = nn.Linear(WIDTH, VOCAB, bias=False)
    model.head_weight = model.head.weight
    kept, size = rounded(model, "int4", embedding=False)
    assert torch.equal(kept.head.weight, model.head.weight)
    assert size.quantized_weights == LINEAR
    assert rounded(model, "int4", embedding=True)[1].quantized_weights == LINEAR + 2 * TABLE


def test_what_cannot_be_quantized_can_be_measured(model):
    assert rounded(nn.Conv1d(2, 4, 3), "none", embedding=False)[1].total_bits == (24 + 4) * 32


def test_impossible_quantizations_are_refused(model):
    with pytest.raises(
        ValueError,
        match=r"quantize: rtn-int4-g64 is not allowed; groups must divide 32, the width of layers\.0\.weight",
    ):
        rounded(model, "int4", embedding=False, group=64)
    with pytest.raises(ValueError, match=r"weight has shape \(4, 2, 3\): allowed"):
        rounded(nn.Conv1d(2, 4, 3), "int8", embedding=False)


def test_what_torchao_cannot_run_is_said_in_one_line(model, monkeypatch):
    import torchao

    def fail(*_):
        raise ImportError("needs a kernel\nthat is not here")

    monkeypatch.setattr(torchao, "quantize_", fail)
    with pytest.raises(ValueError, match=r"^quantize: torchao \S+ can't run rtn-int4 on cpu: needs a kernel$"):
        rounded(model, "int4", embedding=False)


def test_first_use_is_silent_and_leaves_loggers_alone():
    program = """
import logging, sys
import torch
from eval.quantize import quantize
from eval.quantizers.schemes import parse_scheme
assert "torchao" not in sys.modules
quantize(torch.nn.Linear(8, 8), parse_scheme("int8"))
assert "torchao" in sys.modules
assert logging.getLogger("torchao").level == logging.NOTSET
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("group", [None, 8])
def test_gpt2_stores_its_matrices_the_other_way_round(group):
    """Its Conv1D weights are [in, out]: a scale still belongs to an output channel."""
    config = GPT2Config(vocab_size=VOCAB, n_positions=16, n_embd=WIDTH, n_layer=1, n_head=2)
    gpt2 = GPT2LMHeadModel(config).eval()
    quantized, size = rounded(gpt2, "int8", embedding=False, group=group)
    weight = gpt2.transformer.h[0].attn.c_attn.weight
    assert weight.shape == (WIDTH, 3 * WIDTH)
    linear = nn.Linear(WIDTH, 3 * WIDTH)
    linear.weight = nn.Parameter(weight.detach().T.contiguous())
    expected, _ = rounded(linear, "int8", embedding=False, group=group)
    torch.testing.assert_close(quantized.transformer.h[0].attn.c_attn.weight, expected.weight.T, rtol=0, atol=0)
    assert size.quantized_weights == 12 * WIDTH**2
