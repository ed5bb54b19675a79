"""Splicing is joining what pieces have; spans cover characters of a role."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from biogen.pieces import EMPTY, PieceList, Pieces, Role, Span, in_order, stack_outlines


@st.composite
def tokens_roles_and_outlines(draw: st.DrawFn) -> tuple[list[list[int]], list[int], list[list[int]]]:
    count, slots = draw(st.integers(1, 12)), draw(st.integers(1, 8))
    tokens = draw(st.lists(st.lists(st.integers(0, 2**24 - 1), max_size=6), min_size=count, max_size=count))
    roles = draw(st.lists(st.integers(0, 255), min_size=count, max_size=count))
    row = st.lists(st.integers(0, count), min_size=slots, max_size=slots)
    return [[], *tokens], [0, *roles], draw(st.lists(row, min_size=1, max_size=5))


def make_pieces(tokens: list[list[int]], roles: list[int]) -> Pieces:
    return Pieces(["", *(f" p{number}" for number in range(len(tokens) - 1))], roles, tokens)


@given(tokens_roles_and_outlines())
def test_splicing_joins_the_tokens_of_the_pieces(case: tuple):
    tokens, roles, outlines = case
    pieces = make_pieces(tokens, roles)
    texts = pieces.splice(np.array(outlines))
    assert len(texts) == len(outlines)
    assert (texts.lengths == pieces.text_lengths(np.array(outlines))).all()
    for i, row in enumerate(outlines):
        part = slice(texts.offsets[i], texts.offsets[i + 1])
        assert texts.tokens[part].tolist() == [token for piece in row for token in tokens[piece]]
        assert texts.roles[part].tolist() == [roles[piece] for piece in row for _ in tokens[piece]]


@given(tokens_roles_and_outlines())
def test_spans_cover_the_pieces_that_have_a_role(case: tuple):
    tokens, roles, outlines = case
    pieces = make_pieces(tokens, roles)
    for row in outlines:
        text, spans = pieces.render(np.array(row))
        assert text == "".join(pieces.strings[piece] for piece in row)
        of_character = [0] * len(text)
        for role, start, end in spans:
            assert text[start:end].strip()
            assert not text[:start].endswith(" ")
            assert not text[:end].endswith(" ")
            of_character[start:end] = [role] * (end - start)
        due = [role for piece in row for role in [roles[piece]] * len(pieces.strings[piece])]
        assert of_character == due  # every string begins with its space
        assert all(here != behind or start != end for (here, _, end), (behind, start, _) in pairwise(spans))


def test_pieces_of_one_role_are_one_span():
    collected = PieceList()
    name = collected.add(["Ada", " King"], Role.NAME)
    rest = collected.add([" lived."])
    pieces = Pieces(collected.strings, collected.roles, [[], [1], [2], [3]])
    text, spans = pieces.render(np.array([name[0], EMPTY, name[1], rest[0]]))
    assert text == "Ada King lived."
    assert spans == [Span(Role.NAME, 0, 8)]


def test_the_space_before_a_value_is_its_own_whichever_piece_holds_it():
    collected = PieceList()
    parts = [
        collected.add([text], role)[0]
        for text, role in (("Name: ", 0), ("Ada ", 1), (" ", 0), ("King", 1), (" is ", 0))
    ]
    value = collected.add(["Bob "], Role.VALUES)[0]
    pieces = Pieces(collected.strings, collected.roles, [[] for _ in collected.strings])
    text, spans = pieces.render(np.array([*parts, value]))
    assert text == "Name: Ada  King is Bob "
    assert [(role, text[start:end]) for role, start, end in spans] == [(Role.NAME, " Ada  King"), (Role.VALUES, " Bob")]


def test_sentences_stand_in_the_order_of_their_text():
    sentences = np.arange(2 * 3 * 2).reshape(2, 3, 2)
    order = np.array([[2, 0, 1], [0, 2, 1]])
    assert in_order(sentences, order).tolist() == [[[4, 5], [0, 1], [2, 3]], [[6, 7], [10, 11], [8, 9]]]


def test_stacked_outlines_are_filled_with_the_empty_piece():
    stacked = stack_outlines([np.array([[1, 2, 3]]), np.array([[4], [5]])])
    assert stacked.tolist() == [[1, 2, 3], [4, EMPTY, EMPTY], [5, EMPTY, EMPTY]]
