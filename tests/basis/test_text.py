"""Texts that anyone may have written are shown, not obeyed, and in one line."""

from hypothesis import given
from hypothesis import strategies as st

from basis.text import printable, short, shown

loop: list[object] = []
loop.append(loop)


@given(st.text())
def test_whatever_it_is_it_is_one_printable_line(text: str):
    assert printable(text).isprintable()
    assert text.isprintable() == (printable(text) == text)


def test_escape_codes_and_broken_characters_are_shown():
    assert printable("a\x1b[31m\n\udc80") == "a\\x1b[31m\\n\\udc80"


def test_long_texts_are_cut_and_no_value_is_too_large():
    assert short("x" * 300, 10) == "x" * 10 + " ..."
    assert short("xyz") == "xyz"
    assert shown(10**5000) == "this int"
    assert shown(loop) == "[[...]]"
    assert shown({"a": 1}) == "{'a': 1}"
