"""Closed forms of the bits."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biogen.information import (
    biod_bits,
    biod_lower_bound,
    bios_bits,
    bios_lower_bound,
)

N0_PAPER = 400 * 400 * 1000
S0_PAPER = math.log2(2 * (12 * 28 * 200) * 200 * 300 * 100 * 263)
losses = st.floats(0, 100)


@st.composite
def bios_sizes(draw):
    N = draw(st.integers(1, 20_000_000))
    return {"N": N, "N0": draw(st.integers(N, 10**12)), "S0_log2": draw(st.floats(0, 200))}


@st.composite
def biod_sizes(draw):
    N, T, L = draw(st.integers(1, 20_000_000)), draw(st.integers(1, 200)), draw(st.integers(1, 1000))
    sizes = {"N": N, "N0": draw(st.integers(N, 10**12)), "K": draw(st.integers(1, 50)), "T": T, "L": L}
    return sizes | {"C": draw(st.integers(1, 50)), "D": draw(st.integers(1, min(T**L, 10**6)))}


def terms(found):
    return [found.name, found.value, found.value_set]


def test_a_person_of_the_paper_has_47_59_bits():
    most = bios_bits(10_000, N0_PAPER, S0_PAPER, p1=math.log(10_000), p2=0.0)
    assert most.value / 10_000 == pytest.approx(47.59, abs=0.005)
    assert most.name / 10_000 == pytest.approx(math.log2(16_000))


def test_bits_a_parameter_of_a_small_biod():
    most = biod_bits(N=1000, N0=64**3, K=4, C=4, D=64, L=1, T=64, p1=math.log(1000), p2=0.0, p3=0.0)
    assert most.value_set == 0  # all 64 strings are in the set
    assert most.total / 59_952 == pytest.approx(1.735, abs=0.0005)


@given(bios_sizes())
def test_bios_without_knowledge_is_zero(sizes):
    found = bios_bits(**sizes, p1=math.log(sizes["N0"]), p2=sizes["S0_log2"] * math.log(2))
    assert terms(found) == pytest.approx([0, 0, 0], abs=1e-13 * sizes["N"] * 200)


@given(biod_sizes())
def test_biod_without_knowledge_is_zero(sizes):
    unknown = {
        "p1": math.log(sizes["N0"]),
        "p2": sizes["C"] * math.log(sizes["D"]),
        "p3": sizes["L"] * math.log(sizes["T"]),
    }
    found = biod_bits(**sizes, **unknown)
    assert terms(found) == pytest.approx([0, 0, 0], abs=1e-13 * sizes["N"] * sizes["K"] * 1000)


@given(bios_sizes())
def test_bios_perfect_recall_is_the_largest(sizes):
    N, N0 = sizes["N"], sizes["N0"]
    found = bios_bits(**sizes, p1=math.log(N), p2=0.0)
    assert terms(found) == pytest.approx([N * math.log2(N0 / N), N * sizes["S0_log2"], 0], abs=1e-4)


@given(biod_sizes())
def test_biod_perfect_recall_is_the_largest(sizes):
    N, N0, K, C, D, L, T = (sizes[key] for key in ("N", "N0", "K", "C", "D", "L", "T"))
    found = biod_bits(**sizes, p1=math.log(N), p2=0.0, p3=0.0)
    expected = [N * math.log2(N0 / N), N * K * C * math.log2(D), K * D * (L * math.log2(T) - math.log2(D))]
    assert terms(found) == pytest.approx(expected, rel=1e-9, abs=1e-4)


@given(bios_sizes(), losses, losses, losses)
def test_bios_falls_with_each_loss(sizes, p1, p2, lost):
    found = bios_bits(**sizes, p1=p1, p2=p2)
    assert bios_bits(**sizes, p1=p1 + lost, p2=p2).total <= found.total
    assert bios_bits(**sizes, p1=p1, p2=p2 + lost).total <= found.total
    assert min(terms(found)) >= 0


@given(biod_sizes(), st.tuples(losses, losses, losses), st.integers(0, 2), losses)
def test_biod_falls_with_each_loss(sizes, p, which, lost):
    higher = [loss + lost * (which == i) for i, loss in enumerate(p)]
    found = biod_bits(**sizes, p1=p[0], p2=p[1], p3=p[2])
    assert biod_bits(**sizes, p1=higher[0], p2=higher[1], p3=higher[2]).total <= found.total
    assert min(terms(found)) >= 0


@given(biod_sizes(), losses, losses, losses)
def test_bounds_are_below_the_bits(sizes, p1, p2, p3):
    bound, found = (f(**sizes, p1=p1, p2=p2, p3=p3) for f in (biod_lower_bound, biod_bits))
    assert all(0 <= low <= high * (1 + 1e-12) for low, high in zip(terms(bound), terms(found), strict=True))
    bound, found = (f(sizes["N"], sizes["N0"], 47.6, p1, p2) for f in (bios_lower_bound, bios_bits))
    assert all(0 <= low <= high for low, high in zip(terms(bound), terms(found), strict=True))


@given(N=st.integers(1, 1000), T=st.integers(2, 30), L=st.integers(1, 4), data=st.data())
def test_the_bound_by_plain_arithmetic(N, T, L, data):
    D = data.draw(st.integers(1, T**L - 1))
    bound = biod_lower_bound(N, N0=5000, K=3, C=2, D=D, L=L, T=T, p1=1.0, p2=0.5, p3=0.25)
    assert bound.name == pytest.approx(N * math.log2((5000 - N) / math.e))
    assert bound.value == pytest.approx(max(0, N * 3 * math.log2(D**2 / math.exp(0.5))))
    assert bound.value_set == pytest.approx(max(0, 3 * D * math.log2((T**L - D) / (D * math.exp(0.25)))))


@pytest.mark.parametrize(("D", "L", "T"), [(64, 1, 64), (64, 2, 8), (1, 1, 1), (1, 7, 1), (1000, 3, 10)])
def test_the_bound_where_it_is_vacuous(D, L, T):
    bound = biod_lower_bound(N=50, N0=50, K=4, C=4, D=D, L=L, T=T, p1=0.0, p2=0.0, p3=0.0)
    assert bound.name == 0
    assert bound.value_set == 0
    assert bios_lower_bound(N=50, N0=50, S0_log2=3.0, p1=0.0, p2=0.0).total == pytest.approx(150)


def test_strings_too_many_to_count():
    sizes = {"N": 20_000_000, "N0": N0_PAPER, "K": 4, "C": 4, "D": 64, "L": 1000, "T": 100}
    expected = 4 * 64 * (1000 * math.log2(100) - 6)
    assert biod_bits(**sizes, p1=0.0, p2=0.0, p3=0.0).value_set == pytest.approx(expected)
    assert biod_lower_bound(**sizes, p1=0.0, p2=0.0, p3=0.0).value_set == pytest.approx(expected)


BIOD = {"N": 10, "N0": 20, "K": 1, "C": 1, "D": 4, "L": 1, "T": 4, "p1": 0.0, "p2": 0.0, "p3": 0.0}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"N": 21}, "N = 21 people: allowed is at most N0 = 20"),
        ({"N": 0}, "N = 0: allowed"),
        ({"D": 5}, r"D = 5 strings: allowed is at most T\^L = 4\^1"),
        ({"D": 2, "T": 1, "L": 9}, "D = 2 strings"),
        ({"K": 0}, "K = 0: allowed"),
        ({"p1": -0.1}, "p1 = -0.1: allowed"),
        ({"p2": math.nan}, "p2 = nan: allowed"),
        ({"p3": math.inf}, "p3 = inf: allowed"),
    ],
)
@pytest.mark.parametrize("function", [biod_bits, biod_lower_bound])
def test_impossible_sizes_are_refused(function, wrong, message):
    with pytest.raises(ValueError, match=message):
        function(**BIOD | wrong)


def test_impossible_bios_is_refused():
    with pytest.raises(ValueError, match="S0_log2 = -1"):
        bios_bits(10, 20, -1.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="N = 21"):
        bios_lower_bound(21, 20, 3.0, 0.0, 0.0)
