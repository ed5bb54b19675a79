"""GPTQ: closed forms, a bound that holds for every matrix, and models in which it stands beside round to nearest."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from eval.calibration import calibration_texts
from eval.quantize import matrices, quantize
from eval.quantizers.gptq import DAMPING, gptq_values, inverse_factor, least_error_scales, next_hessians
from eval.quantizers.rounding import rounded
from eval.quantizers.schemes import INTEGER_BITS, Scheme, parse_scheme
from eval.source import OwnTokens

GROUPS = (None, 4)
SEEDS = st.integers(0, 2**32)


def draw(seed, rows=12, width=16, samples=40):
    """A random matrix, and a Hessian of inputs that go together."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, width, generator=generator)
    inputs = torch.randn(samples, width, generator=generator) @ torch.randn(width, width, generator=generator)
    return weight, (inputs.T @ inputs).double()


def scales_of(weight, bits, group):
    groups = weight.unflatten(1, (-1, group or weight.shape[1]))
    return (groups.abs().amax(2) / (2 ** (bits - 1) - 0.5)).repeat_interleave(group or weight.shape[1], 1)


def change(weight, values, hessian):
    """The squared change of each output, summed over the calibration."""
    error = (weight - values).double()
    return ((error @ hessian) * error).sum(1)


@given(SEEDS, st.sampled_from(list(INTEGER_BITS)), st.sampled_from(GROUPS), st.floats(1e-6, 1e6))
def test_with_inputs_that_do_not_go_together_it_is_round_to_nearest(seed, format, group, size):
    weight, _ = draw(seed)
    values = gptq_values(weight, size * torch.eye(16, dtype=torch.float64), bits=INTEGER_BITS[format], group=group)
    assert torch.equal(values, rounded(weight, Scheme("rtn", format, group, False)))


@given(SEEDS, st.sampled_from([2, 3, 4, 8]), st.sampled_from(GROUPS))
def test_values_are_integers_of_so_many_bits_times_their_scales(seed, bits, group):
    weight, hessian = draw(seed)
    integers = gptq_values(weight, hessian, bits=bits, group=group) / scales_of(weight, bits, group)
    assert torch.allclose(integers, integers.round(), atol=1e-4)
    assert integers.round().min() >= -(2 ** (bits - 1))
    assert integers.round().max() < 2 ** (bits - 1)


@given(SEEDS, st.sampled_from([3, 4, 8]))
def test_the_change_of_an_output_is_bounded(seed, bits):
    """By (scale/2)² Σ 1/U_ii² where no integer is at the end of its range (Chen et al. 2025, arXiv 2507.18553)."""
    weight, hessian = draw(seed)
    values = gptq_values(weight, hessian, bits=bits)
    scales = scales_of(weight, bits, None)
    integers = (values / scales).round()
    inside = ((integers > -(2 ** (bits - 1))) & (integers < 2 ** (bits - 1) - 1)).all(1)
    order = hessian.diagonal().argsort(descending=True)
    pivots = inverse_factor(hessian[order][:, order]).diagonal() ** -2
    damped = hessian + DAMPING * hessian.diagonal().mean() * torch.eye(16)
    assert (change(weight, values, damped) <= scales[:, 0] ** 2 / 4 * pivots.sum() * (1 + 1e-6))[inside].all()


@given(SEEDS, st.sampled_from(["int3", "int4", "int8"]), st.sampled_from(GROUPS))
def test_outputs_change_less_than_by_round_to_nearest(seed, format, group):
    weight, hessian = draw(seed, rows=64, width=32, samples=200)
    ours = gptq_values(weight, hessian, bits=INTEGER_BITS[format], group=group)
    nearest = rounded(weight, Scheme("rtn", format, group, False))
    assert change(weight, ours, hessian).sum() < change(weight, nearest, hessian).sum()


def test_two_weights_by_hand():
    """Scale 1: 7.5 is the largest weight. H = [[1, 2], [2, 5]], so the second column goes first.

    Its damping is d = 0.03. 1.4 becomes 1. Its error of 0.4 is made up for by the first: by 0.4·H12 / (H11 + d).
    """
    hessian = torch.tensor([[1.0, 2.0], [2.0, 5.0]], dtype=torch.float64)
    weight = torch.tensor([[-0.2, 1.4, 7.5]])
    padded = torch.block_diag(hessian, torch.zeros(1, 1, dtype=torch.float64))  # no part in the others
    padded[2, 2] = 3.0  # so that the mean diagonal is 3
    moved = -0.2 + 0.4 * 2 / 1.03
    assert round(moved) == 1  # where round to nearest says 0
    assert gptq_values(weight, padded, bits=4).tolist() == [[1.0, 1.0, 7.0]]


def test_the_order_is_that_of_the_diagonal():
    """Whatever order the columns are in, the values are the same."""
    weight, hessian = draw(3)
    values = gptq_values(weight, hessian, bits=3)
    turned = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(gptq_values(weight[:, turned], hessian[turned][:, turned], bits=3), values[:, turned])


@pytest.mark.parametrize("group", GROUPS)
def test_columns_without_inputs_are_rounded_and_change_no_other(group):
    weight, hessian = draw(5)
    dead, alive = torch.tensor([2, 7]), [i for i in range(16) if i not in (2, 7)]
    weight[:, dead] = 0.02
    hessian[dead] = hessian[:, dead] = 0
    values = gptq_values(weight, hessian, bits=4, group=group)
    scheme = Scheme("rtn", "int4", group, False)
    assert torch.equal(values[:, dead], rounded(weight, scheme)[:, dead])
    other = weight.clone()
    other[:, dead] = -0.01
    assert torch.equal(scales_of(other, 4, group), scales_of(weight, 4, group))
    assert torch.equal(gptq_values(other, hessian, bits=4, group=group)[:, alive], values[:, alive])
    assert torch.equal(gptq_values(weight, torch.zeros_like(hessian), bits=4, group=group), rounded(weight, scheme))


def test_rows_of_zeros_stay_zero():
    weight, hessian = draw(1)
    weight[3] = 0
    values = gptq_values(weight, hessian, bits=4)
    assert (values[3] == 0).all()
    assert values.isfinite().all()


class Branches(nn.Module):
    """Two maps of one input, and one of what comes out."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.left, self.right, self.out = nn.Linear(8, 6), nn.Linear(8, 6), nn.Linear(6, 8)

    def forward(self, tokens):
        x = self.embedding(tokens)
        return self.out(self.left(x) * self.right(x)) @ self.embedding.weight.T


TEXTS = [torch.arange(10).view(2, 5), torch.tensor([[3, 3, 7]])]


def test_hessians_are_those_of_the_inputs_in_the_order_of_the_model():
    torch.manual_seed(0)
    model = Branches()
    waiting, _ = matrices(model)
    x = model.embedding(torch.cat([text.flatten() for text in TEXTS])).detach().double()
    found = next_hessians(model, waiting, TEXTS)
    assert list(found) == ["left.weight", "right.weight"]
    torch.testing.assert_close(found["left.weight"], x.T @ x)
    assert torch.equal(found["left.weight"], found["right.weight"])
    left = {"out.weight": waiting["out.weight"]}
    model.left.weight.data.zero_()
    model.left.bias.data.fill_(1)  # what was quantized before is what runs
    y = model.right(x.float()).double()
    torch.testing.assert_close(next_hessians(model, left, TEXTS)["out.weight"], y.T @ y, rtol=1e-5, atol=1e-5)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_layers_are_quantized_one_behind_the_other():
    torch.manual_seed(0)
    model = Branches()
    copy, size = quantize(model, parse_scheme("gptq-int4"), lambda: TEXTS)
    x = model.embedding(torch.cat([text.flatten() for text in TEXTS])).detach()
    for name in ("left", "right"):
        weight = getattr(model, name).weight.detach()
        expected = gptq_values(weight, (x.T @ x).double(), bits=4)
        assert torch.equal(getattr(copy, name).weight, expected)
    y = copy.left(x) * copy.right(x)
    expected = gptq_values(model.out.weight.detach(), (y.T @ y).double(), bits=4)
    assert torch.equal(copy.out.weight, expected)
    assert torch.equal(copy.embedding.weight, model.embedding.weight)
    assert size == quantize(model, parse_scheme("rtn-int4"))[1]


def test_a_matrix_that_no_text_reaches_is_named():
    model = Branches()
    model.spare = nn.Linear(3, 3)
    with pytest.raises(ValueError, match=r"^quantize: gptq-int4 is not possible; no text runs through spare\.weight$"):
        quantize(model, parse_scheme("gptq-int4"), lambda: TEXTS)


@pytest.mark.parametrize("scheme", ["gptq-int4", "gptq-int4-g8", "gptq-int4+embedding"])
def test_a_model_of_ours(biod, random_gpt, scheme):
    """Its final states change less than by round to nearest, in as many bits; the embedding goes the same way."""
    model = random_gpt(biod.tokenizer.vocab)
    texts = calibration_texts(OwnTokens(biod))
    ours, size = quantize(model, parse_scheme(scheme), lambda: texts)
    nearest, nearest_size = quantize(model, parse_scheme(scheme.replace("gptq", "rtn")))
    assert size == nearest_size
    assert torch.equal(ours.embedding.weight, nearest.embedding.weight)

    def far(copy):
        return sum(float((copy(text) - model(text)).detach().square().sum()) for text in texts)

    if "embedding" not in scheme:
        assert far(ours) < far(nearest)
    again, _ = quantize(model, parse_scheme(scheme), lambda: texts)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), again.parameters(), strict=True))


def test_gpt2_stores_its_matrices_the_other_way_round():
    torch.manual_seed(0)
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=40, n_positions=16, n_embd=32, n_layer=1, n_head=2)).eval()
    seen = []
    hook = gpt2.transformer.h[0].attn.c_attn.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    texts = [torch.arange(40).view(4, 10)]
    gpt2(texts[0])
    hook.remove()
    copy, size = quantize(gpt2, parse_scheme("gptq-int4-g8"), lambda: texts)
    x = seen[0].detach().flatten(0, 1).double()
    weight = gpt2.transformer.h[0].attn.c_attn.weight.detach()
    expected = gptq_values(weight.T.contiguous(), x.T @ x, bits=4, group=8).T
    assert torch.equal(copy.transformer.h[0].attn.c_attn.weight, expected)
    assert size.quantized_weights == 12 * 32**2
    assert torch.equal(copy.lm_head.weight, gpt2.lm_head.weight)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes_come_back_as_they_were(dtype):
    weight, hessian = draw(2)
    values = gptq_values(weight.to(dtype), hessian, bits=4)
    assert values.dtype == dtype
    torch.testing.assert_close(values, gptq_values(weight.to(dtype).float(), hessian, bits=4).to(dtype))


@given(SEEDS, st.sampled_from([2, 3, 4]), st.sampled_from(GROUPS))
def test_scales_by_least_error_round_with_no_more_error_than_those_of_the_largest_weight(seed, bits, group):
    weight, _ = draw(seed)
    uncorrelated = torch.eye(16, dtype=torch.float64)
    error = {
        least: (weight - gptq_values(weight, uncorrelated, bits=bits, group=group, least_error=least)).square().sum()
        for least in (True, False)
    }
    assert error[True] <= error[False] * (1 + 1e-6)


@given(SEEDS, st.sampled_from([3, 4]))
def test_scales_by_least_error_cut_off_an_outlier_of_equal_weights(seed, bits):
    """15 weights ±1 and a slightly larger one: the best scale gives the many exactly, if the largest is cut off."""
    signs = torch.randn(1, 1, 16, generator=torch.Generator().manual_seed(seed)).sign()
    groups = signs.clone()
    groups[..., 0] *= 1.3
    steps = 2 ** (bits - 1)
    scale = least_error_scales(groups, steps)
    rounded_to = (groups / scale[..., None]).round().clamp(-steps, steps - 1) * scale[..., None]
    largest = groups.abs().amax() / (steps - 0.5)
    plain = (groups / largest).round().clamp(-steps, steps - 1) * largest
    assert (rounded_to - groups).square().sum() < (plain - groups).square().sum()


def test_weights_of_zero_have_a_scale_of_zero():
    assert torch.equal(least_error_scales(torch.zeros(2, 1, 4), 8), torch.zeros(2, 1))
    values = gptq_values(torch.zeros(2, 4), torch.eye(4, dtype=torch.float64), bits=4, least_error=True)
    assert torch.equal(values, torch.zeros(2, 4))
