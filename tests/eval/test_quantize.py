"""Quantized copies: bounds on the error, counts in closed form, ties, equality with torchao's own modules."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM

from eval.quantize import INTEGER_BITS, SCHEMES, QuantizedSize, Scheme, parse_scheme, quantize

WIDTH, INNER, VOCAB = 32, 96, 40
LINEAR = 2 * WIDTH * INNER  # weights of the two matrices below
TABLE = VOCAB * WIDTH
BIASES = INNER + WIDTH


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


def matrix(rows=24, width=64, dtype=torch.float32):
    torch.manual_seed(1)
    return nn.Linear(width, rows, bias=False, dtype=dtype)


def step(weight, bits, group=None):
    """The scale of each weight: the range of its row or group over the steps between 2^bits integers."""
    groups = weight.view(len(weight), -1, group or weight.shape[1])
    return (groups.abs().amax(-1, keepdim=True) * 2 / (2**bits - 1)).expand_as(groups).reshape(weight.shape)


@pytest.mark.parametrize("group", [None, 16])
@pytest.mark.parametrize("scheme", INTEGER_BITS)
def test_error_is_at_most_half_a_step(scheme, group):
    linear = matrix()
    quantized, _ = quantize(linear, scheme, embedding=False, group=group)
    half = step(linear.weight, INTEGER_BITS[scheme], group) / 2
    assert ((quantized.weight - linear.weight).abs() <= half + 1e-6 * linear.weight.abs()).all()
    assert all(len(row.unique()) <= 2 ** INTEGER_BITS[scheme] * (64 // (group or 64)) for row in quantized.weight)


@pytest.mark.parametrize("group", [None, 16])
@pytest.mark.parametrize("scheme", INTEGER_BITS)
def test_quantizing_again_moves_weights_by_less_than_a_step(scheme, group):
    """The range is symmetric and the integers are not, so the second scale differs, by one in 2^b − 1."""
    once, _ = quantize(matrix(), scheme, embedding=False, group=group)
    twice, _ = quantize(once, scheme, embedding=False, group=group)
    allowed = once.weight.abs() / (2 ** INTEGER_BITS[scheme] - 1)
    assert ((twice.weight - once.weight).abs() <= allowed * (1 + 1e-4)).all()


@pytest.mark.parametrize("scheme", ["none", "bf16", "fp8"])
def test_quantizing_again_changes_nothing_in_floating_point(scheme):
    once, _ = quantize(matrix(), scheme, embedding=False)
    twice, _ = quantize(once, scheme, embedding=False)
    torch.testing.assert_close(twice.weight, once.weight, rtol=1e-6, atol=0)


def test_floating_point_errors():
    linear = matrix()
    cast, _ = quantize(linear, "bf16", embedding=False)
    assert torch.equal(cast.weight, linear.weight.bfloat16().float())
    eight, _ = quantize(linear, "fp8", embedding=False)
    smallest = linear.weight.abs().amax(1, keepdim=True) / 448 * 2**-9  # e4m3: maximum 448, subnormals of 2^-9
    assert ((eight.weight - linear.weight).abs() <= linear.weight.abs() / 16 + smallest).all()


@pytest.mark.parametrize("group", [None, 16])
@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES if scheme not in ("none", "bf16")])
def test_copy_computes_what_torchaos_own_modules_compute(model, tokens, scheme, group):
    import torchao
    from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig, IntxWeightOnlyConfig
    from torchao.quantization.granularity import PerAxis, PerGroup, PerRow

    per_row = PerGroup(group) if group else PerRow()
    if scheme == "fp8":
        config = Float8WeightOnlyConfig(granularity=per_row, set_inductor_config=False)
    elif scheme == "int8":
        config = Int8WeightOnlyConfig(granularity=per_row, set_inductor_config=False)
    else:
        channel = PerGroup(group) if group else PerAxis(0)
        config = IntxWeightOnlyConfig(weight_dtype=getattr(torch, scheme), granularity=channel)
    reference = copy.deepcopy(model)
    torchao.quantize_(reference, config)
    quantized, _ = quantize(model, scheme, embedding=False, group=group)
    assert type(quantized.layers[0].weight) is nn.Parameter
    assert type(reference.layers[0].weight) is not nn.Parameter
    torch.testing.assert_close(quantized(tokens), reference(tokens), rtol=1e-5, atol=1e-5)


def test_int8_changes_outputs_little_and_int2_much(model, tokens):
    exact = model(tokens)

    def relative_error(scheme):
        return ((quantize(model, scheme, embedding=True)[0](tokens) - exact).norm() / exact.norm()).item()

    errors = [relative_error(scheme) for scheme in ("none", *INTEGER_BITS)]
    assert errors[0] == 0
    assert errors[1] < 0.01
    assert errors == sorted(errors)
    assert errors[-1] > 0.3


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_original_and_what_is_not_a_matrix_stay(model, tokens, scheme):
    before = copy.deepcopy(model.state_dict())
    quantized, _ = quantize(model, scheme, embedding=True)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert torch.equal(quantized.layers[0].bias, model.layers[0].bias)
    assert quantized.state_dict().keys() == before.keys()
    assert quantized.embedding.weight.data_ptr() != model.embedding.weight.data_ptr()


@pytest.mark.parametrize("embedding", [False, True])
@pytest.mark.parametrize("group", [None, 16])
@pytest.mark.parametrize(("scheme", "bits"), [*INTEGER_BITS.items(), ("fp8", 8)])
def test_sizes_in_closed_form(model, scheme, bits, group, embedding):
    _, size = quantize(model, scheme, embedding=embedding, group=group)
    weights = LINEAR + TABLE * embedding
    scales = weights // group if group else INNER + WIDTH + VOCAB * embedding
    left = BIASES + TABLE * (not embedding)
    # a scale is a float32; with integers goes a zero point of 8 bits
    expected = QuantizedSize(weights, weights * bits, scales * (32 if scheme == "fp8" else 40), left * 32)
    assert size == expected
    assert size.total_bits == expected.weight_bits + expected.scale_bits + expected.other_bits


def test_sizes_without_integers(model):
    everything = LINEAR + TABLE + BIASES
    assert quantize(model, "none", embedding=True)[1] == QuantizedSize(0, 0, 0, everything * 32)
    matrices = LINEAR + TABLE
    assert quantize(model, "bf16", embedding=True)[1] == QuantizedSize(matrices, matrices * 16, 0, BIASES * 32)


@pytest.mark.parametrize("embedding", [False, True])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("scheme", "group"), [("none", None), ("bf16", None), ("int4", None), ("int8", 8)])
def test_rows_of_tokens_that_are_not_in_use_have_no_size(tied, embedding, scheme, group):
    large, small = neox(tied), neox(tied)
    small.resize_token_embeddings(VOCAB - 5)
    of_large = quantize(large, scheme, embedding=embedding, group=group, tokens_in_use=VOCAB - 5)[1]
    assert of_large == quantize(small, scheme, embedding=embedding, group=group)[1]


@pytest.mark.parametrize("embedding", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_hugging_face_ties(tokens, tied, embedding):
    original = neox(tied)
    quantized, size = quantize(original, "int4", embedding=embedding)
    table, head = quantized.gpt_neox.embed_in.weight, quantized.get_output_embeddings().weight
    assert (table is head) == tied
    assert torch.equal(table, original.gpt_neox.embed_in.weight) != embedding
    assert torch.equal(head, original.get_output_embeddings().weight) == (tied and not embedding)
    inside = 4 * WIDTH**2 + 2 * WIDTH * INNER
    assert size.quantized_weights == inside + TABLE * (embedding + (not tied))
    assert quantized(tokens).logits.shape == (4, 10, VOCAB)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_any_dtype_is_quantized_as_float32(scheme, dtype):
    linear = matrix(dtype=dtype)
    quantized, size = quantize(linear, scheme, embedding=False)
    assert quantized.weight.dtype == dtype
    if scheme != "none":
        reference, reference_size = quantize(copy.deepcopy(linear).float(), scheme, embedding=False)
        assert torch.equal(quantized.weight, reference.weight.to(dtype))
        assert size == reference_size


@pytest.mark.parametrize("scheme", SCHEMES)
def test_rows_of_zeros_stay_zero(scheme):
    linear = matrix()
    with torch.no_grad():
        linear.weight[3] = 0
    quantized, _ = quantize(linear, scheme, embedding=False)
    assert (quantized.weight[3] == 0).all()
    assert quantized.weight.isfinite().all()


def test_parse_scheme():
    assert parse_scheme("int4") == Scheme("int4", None)
    assert parse_scheme("int4-g32") == Scheme("int4", 32)
    assert [parse_scheme(scheme).name for scheme in SCHEMES] == list(SCHEMES)


@pytest.mark.parametrize("text", ["", "int1", "int9", "INT8", "int4-32", "int4-g0", "int4-g", "none-g32", "bf16-g8"])
def test_other_schemes_are_refused(text):
    with pytest.raises(ValueError, match=r"^(scheme|group) = .*: allowed is [^\n]*$"):
        parse_scheme(text)


def test_impossible_quantizations_are_refused(model):
    with pytest.raises(
        ValueError, match=r"quantize: int\d-g64 is not allowed; groups must divide 32, the width of layers\.0\.weight"
    ):
        quantize(model, "int4", embedding=False, group=64)
    with pytest.raises(ValueError, match="scheme = 'int1': allowed is one of none"):
        quantize(model, "int1", embedding=False)
    with pytest.raises(ValueError, match="group = -1: allowed is at least 1"):
        quantize(model, "int8", embedding=False, group=-1)
    with pytest.raises(ValueError, match=r"weight has shape \(4, 2, 3\): allowed"):
        quantize(nn.Conv1d(2, 4, 3), "int8", embedding=False)


def test_what_torchao_cannot_run_is_said_in_one_line(model, monkeypatch):
    import torchao

    def fail(*_):
        raise ImportError("needs a kernel\nthat is not here")

    monkeypatch.setattr(torchao, "quantize_", fail)
    with pytest.raises(ValueError, match=r"^scheme = 'int4': torchao \S+ can't run it on cpu: needs a kernel$"):
        quantize(model, "int4", embedding=False)


def test_first_use_is_silent_and_leaves_loggers_alone():
    program = """
import logging, sys
import torch
from eval.quantize import quantize
assert "torchao" not in sys.modules
quantize(torch.nn.Linear(8, 8), "int8", embedding=False)
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
    quantized, size = quantize(gpt2, "int8", embedding=False, group=group)
    weight = gpt2.transformer.h[0].attn.c_attn.weight
    assert weight.shape == (WIDTH, 3 * WIDTH)
    linear = nn.Linear(WIDTH, 3 * WIDTH)
    linear.weight = nn.Parameter(weight.detach().T.contiguous())
    expected, _ = quantize(linear, "int8", embedding=False, group=group)
    torch.testing.assert_close(quantized.transformer.h[0].attn.c_attn.weight, expected.weight.T, rtol=0, atol=0)
    assert size.quantized_weights == 12 * WIDTH**2
