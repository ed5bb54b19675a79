"""Round to nearest: bounds on the error, repetition, zeros, and any dtype."""

import copy

import pytest
import torch
from torch import nn

from eval.quantize import quantize
from eval.quantizers.schemes import FORMAT_BITS, INTEGER_BITS, NONE, Scheme

FORMATS = ("none", *FORMAT_BITS)


def rounded(model, format, *, embedding, group=None, **options):
    """A copy, and its size, by round to nearest."""
    return quantize(model, NONE if format == "none" else Scheme("rtn", format, group, embedding), **options)


def matrix(rows=24, width=64, dtype=torch.float32):
    torch.manual_seed(1)
    return nn.Linear(width, rows, bias=False, dtype=dtype)


def step(weight, bits, group=None):
    """The scale of each weight: the range of its row or group over the steps between 2^bits integers."""
    groups = weight.view(len(weight), -1, group or weight.shape[1])
    return (groups.abs().amax(-1, keepdim=True) * 2 / (2**bits - 1)).expand_as(groups).reshape(weight.shape)


@pytest.mark.parametrize("group", [None, 16])
@pytest.mark.parametrize("format", INTEGER_BITS)
def test_error_is_at_most_half_a_step(format, group):
    linear = matrix()
    quantized, _ = rounded(linear, format, embedding=False, group=group)
    half = step(linear.weight, INTEGER_BITS[format], group) / 2
    assert ((quantized.weight - linear.weight).abs() <= half + 1e-6 * linear.weight.abs()).all()
    assert all(len(row.unique()) <= 2 ** INTEGER_BITS[format] * (64 // (group or 64)) for row in quantized.weight)


@pytest.mark.parametrize("group", [None, 16])
@pytest.mark.parametrize("format", INTEGER_BITS)
def test_quantizing_again_moves_weights_by_less_than_a_step(format, group):
    """The range is symmetric and the integers are not, so the second scale differs, by one in 2^b − 1."""
    once, _ = rounded(matrix(), format, embedding=False, group=group)
    twice, _ = rounded(once, format, embedding=False, group=group)
    allowed = once.weight.abs() / (2 ** INTEGER_BITS[format] - 1)
    assert ((twice.weight - once.weight).abs() <= allowed * (1 + 1e-4)).all()


@pytest.mark.parametrize("format", ["none", "bf16", "fp8"])
def test_quantizing_again_changes_nothing_in_floating_point(format):
    once, _ = rounded(matrix(), format, embedding=False)
    twice, _ = rounded(once, format, embedding=False)
    torch.testing.assert_close(twice.weight, once.weight, rtol=1e-6, atol=0)


def test_floating_point_errors():
    linear = matrix()
    cast, _ = rounded(linear, "bf16", embedding=False)
    assert torch.equal(cast.weight, linear.weight.bfloat16().float())
    eight, _ = rounded(linear, "fp8", embedding=False)
    smallest = linear.weight.abs().amax(1, keepdim=True) / 448 * 2**-9  # e4m3: maximum 448, subnormals of 2^-9
    assert ((eight.weight - linear.weight).abs() <= linear.weight.abs() / 16 + smallest).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("format", FORMATS)
def test_any_dtype_is_quantized_as_float32(format, dtype):
    linear = matrix(dtype=dtype)
    quantized, size = rounded(linear, format, embedding=False)
    reference, reference_size = rounded(copy.deepcopy(linear).float(), format, embedding=False)
    assert quantized.weight.dtype == torch.float32
    assert torch.equal(quantized.weight, reference.weight)
    if format == "none":
        assert size.total_bits == linear.weight.numel() * dtype.itemsize * 8
    else:
        assert size == reference_size


@pytest.mark.parametrize("format", FORMATS)
def test_rows_of_zeros_stay_zero(format):
    linear = matrix()
    with torch.no_grad():
        linear.weight[3] = 0
    quantized, _ = rounded(linear, format, embedding=False)
    assert (quantized.weight[3] == 0).all()
    assert quantized.weight.isfinite().all()
