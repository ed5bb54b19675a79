"""Sizes print as text that reads back as themselves, and nonsense is refused in one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.sizes import Size, parse_size

SIZES = st.builds(
    lambda layers, heads, pairs: Size(layers, 2 * pairs * heads, heads),
    st.integers(1, 99),
    st.integers(1, 99),
    st.integers(1, 99) | st.sampled_from([8, 32]),
)


@given(SIZES)
def test_text_reads_back_as_itself(size: Size) -> None:
    assert parse_size(str(size)) == size
    assert str(parse_size(str(size))) == str(size)
    assert size.head_width * size.heads == size.width


@pytest.mark.parametrize(
    ("text", "size", "canonical"),
    [
        ("12-12", Size(12, 768, 12), "12-12"),
        ("2x48", Size(2, 48, 3), "2x48"),
        ("2x48x3", Size(2, 48, 3), "2x48"),
        ("2x64x2", Size(2, 64, 2), "2x64x2"),
        ("2x64x1", Size(2, 64, 1), "2-1"),
        ("1x20x2", Size(1, 20, 2), "1x20x2"),
    ],
)
def test_forms(text: str, size: Size, canonical: str) -> None:
    assert parse_size(text) == size
    assert str(size) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12",
        "12-",
        "0-1",
        "1-0",
        "2x40",
        "2x0",
        "2x48x5",
        "2x48x16",
        "2x48x0",
        "-2x48",
        "2x48x3x1",
        "2x48 ",
        "²x48",
    ],
)
def test_nonsense_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"^size: .*allowed: ") as error:
        parse_size(text)
    assert "\n" not in str(error.value)
