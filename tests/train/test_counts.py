"""Counts of parameters and FLOPs, against numbers that the papers print."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.train.architectures.conftest import EVERY_FORM, new
from train.architectures.causal_lm import make_model
from train.counts import chinchilla_flops, counts_of, kaplan_flops, kaplan_parameters, palm_flops
from train.sizes import parse_size

CHINCHILLA = [  # arXiv 2203.15556, table A4: layers, d_model, ffw_size, heads, key size, ratio to 6·N·D
    (10, 640, 2560, 10, 64, 1.03),
    (20, 1024, 4096, 16, 64, 1.10),
    (24, 1280, 5120, 10, 128, 1.08),
    (26, 1792, 7168, 14, 128, 1.04),
    (28, 2048, 8192, 16, 128, 1.03),
    (40, 3584, 14336, 28, 128, 0.99),
]
CHINCHILLA_SIZES = (73e6, 305e6, 552e6, 1.1e9, 1.6e9, 6.8e9)
VOCAB, CONTEXT = 32_000, 2048  # the paper prints neither; the table comes out with these


@pytest.mark.parametrize("row", CHINCHILLA)
def test_chinchillas_ratios_come_out(row):
    """To the printed digit for all six, without vocabulary, and with N that counts it and the relative positions."""
    layers, width, hidden, heads, key, ratio = row
    weights = layers * (4 * width * heads * key + 2 * width * hidden)
    positions = layers * width * heads * key  # a matrix a layer, as Transformer-XL has (arXiv 1901.02860)
    parameters = weights + VOCAB * width + positions
    flops = chinchilla_flops(weights, layers, heads, key, CONTEXT)
    assert round(flops / (6 * parameters), 2) == ratio


def test_chinchillas_sizes_come_out():
    """N of the same table, to 4 %: 1.1B is 1.14."""
    for (layers, width, hidden, heads, key, _), N in zip(CHINCHILLA, CHINCHILLA_SIZES, strict=True):
        assert width * VOCAB + layers * (5 * width * heads * key + 2 * width * hidden) == pytest.approx(N, 0.04)


def test_chinchillas_terms_are_those_of_appendix_f():
    """Sequence by sequence, as the paper writes them, with a size where no two terms are alike."""
    s, V, d, h, k, L, f = 7, 101, 24, 3, 5, 2, 50
    attention = (
        2 * 3 * s * d * (k * h) + 2 * s * s * (k * h) + 3 * h * s * s + 2 * s * s * (k * h) + 2 * s * (k * h) * d
    )
    forward = 2 * s * V * d + L * (attention + 2 * s * (d * f + d * f)) + 2 * s * d * V
    weights = L * (4 * d * k * h + 2 * d * f)
    assert s * chinchilla_flops(weights, L, h, k, s, width=d, vocab=V) == 3 * forward


@pytest.mark.parametrize(("layers", "width", "billions"), [(48, 1600, "1.5"), (207, 768, "1.5"), (6, 4288, "1.3")])
def test_kaplans_sizes_come_out(layers, width, billions):
    """Its largest shapes, of about 1.5 billion non-embedding parameters (arXiv 2001.08361, section 3)."""
    N = kaplan_parameters(layers, width, width, 4 * width)
    assert 12 * layers * width**2 == N
    assert f"{N / 1e9:.1f}" == billions


@given(st.integers(1, 50), st.integers(1, 4096), st.integers(1, 4096))
def test_kaplans_context_is_small_where_the_paper_says_so(layers, width, context):
    """Its share of 2·N is n_ctx / (12·d): section 2.1 leaves it out for d >> n_ctx / 12."""
    N = kaplan_parameters(layers, width, width, 4 * width)
    share = kaplan_flops(N, layers, width, context) / kaplan_flops(N) - 1
    assert share == pytest.approx(context / (12 * width))


@pytest.mark.parametrize(("attention", "percent"), [(False, 45.7), (True, 46.2)])
def test_palms_utilization_comes_out(attention, percent):
    """Appendix B of arXiv 2204.02311: 238.3 thousand tokens a second on 6144 chips of 275 TFLOP/s."""
    N = 540.35e9 if attention else 540e9
    flops = palm_flops(round(N), layers=118, heads=48, head_width=256, context=2048 * attention)
    assert round(100 * 238.3e3 * flops / (6144 * 275e12), 1) == percent


@pytest.mark.parametrize("form", EVERY_FORM)
def test_a_model_is_counted_by_all_three(form):
    model, context = new(form, "3x48", 97), 33
    counts, size = counts_of(model, context), model.size
    weights = model.non_embedding - (sum(model.parameter_counts().values()) - model.active_parameters)
    shape = (size.layers, size.heads, size.head_width, context)
    assert counts.kaplan_parameters == model.non_embedding
    assert counts.flops == palm_flops(weights + 97 * size.width, *shape)
    assert counts.kaplan_flops == 6 * weights
    assert counts.chinchilla_flops == chinchilla_flops(weights, *shape, width=size.width, vocab=97)


def test_gpt2_has_kaplans_parameters():
    assert new("gpt2", "3x48").non_embedding == kaplan_parameters(3, 48, 48, 192)


def test_what_does_not_look_at_the_context_has_no_softmax(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "docs" / "examples")
    counts = counts_of(make_model("mingru:MinGRU", parse_size("2x32"), 50), 100)
    assert counts.chinchilla_flops - counts.flops == 6 * 50 * 32
