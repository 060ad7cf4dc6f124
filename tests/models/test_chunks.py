"""Rows of 77 tokens: the WebUI's and kohya's."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from lib_dreambooth.models.chunks import (
    CHUNK_LENGTH,
    COMMA_ID,
    VECTOR_ID,
    Row,
    Tokens,
    Vectors,
    Word,
    kohya_rows,
    webui_rows,
    words_of,
)
from lib_dreambooth.models.tokenizer import END_ID, START_ID

IDS = st.lists(st.integers(300, 400), max_size=200)


def inner(row: Row) -> list[int]:
    """The tokens before the first end."""
    return list(row.ids[1 : row.ids.index(END_ID)])


def test_one_short_text_is_one_padded_row() -> None:
    [row] = webui_rows([Tokens((320,), 1.3), Tokens((321, 322), 0.5)], {}, 20)
    assert row.ids == (START_ID, 320, 321, 322, *[END_ID] * 73)
    assert row.weights == (1.0, 1.3, 0.5, 0.5, *[1.0] * 73)
    assert row.padded_with(0).ids == (START_ID, 320, 321, 322, END_ID, *[0] * 72)


def test_no_text_is_one_empty_row() -> None:
    [row] = webui_rows([], {}, 20)
    assert row.ids == (START_ID, *[END_ID] * 76)


def test_full_chunks_keep_their_end_under_other_padding() -> None:
    row = webui_rows([Tokens((500,) * 75)], {}, 20)[0].padded_with(0)
    assert row.ids[-1] == END_ID


def test_what_follows_a_near_comma_moves_to_the_next_chunk() -> None:
    ids = (500,) * 60 + (COMMA_ID,) + (501,) * 20
    first, second = webui_rows([Tokens(ids)], {}, 20)
    assert inner(first) == [500] * 60 + [COMMA_ID]
    assert inner(second) == [501] * 20


def test_a_far_comma_does_not_matter() -> None:
    ids = (500,) * 50 + (COMMA_ID,) + (501,) * 30
    first, second = webui_rows([Tokens(ids)], {}, 20)
    assert len(inner(first)) == 75
    assert inner(second) == [501] * 6
    assert [len(inner(row)) for row in webui_rows([Tokens(ids)], {}, 25)] == [51, 30]


def test_a_comma_that_no_longer_fits_starts_the_next_chunk() -> None:
    first, second = webui_rows([Tokens((500,) * 75 + (COMMA_ID, 501))], {}, 20)
    assert len(inner(first)) == 75
    assert inner(second) == [COMMA_ID, 501]


def test_break_ends_a_chunk() -> None:
    pieces = [Tokens((320,)), Tokens((), is_break=True), Tokens((321,))]
    assert [inner(row) for row in webui_rows(pieces, {}, 20)] == [[320], [321]]


def test_words_take_the_places_of_their_vectors() -> None:
    words = words_of([Word("ab", (310, 311), 3), Word("a", (310,), 1)])
    [row] = webui_rows([Tokens((320, 310, 311, 310, 312), 1.5)], words, 20)
    assert inner(row) == [320, VECTOR_ID, VECTOR_ID, VECTOR_ID, VECTOR_ID, 312]
    assert row.vectors == (Vectors("ab", 2, 0, 3), Vectors("a", 5, 0, 1))
    assert row.weights[1:7] == (1.5,) * 6


def test_a_word_that_does_not_fit_starts_the_next_chunk() -> None:
    words = words_of([Word("w", (310,), 5)])
    first, second = webui_rows([Tokens((500,) * 72 + (310,))], words, 20)
    assert inner(first) == [500] * 72
    assert second.vectors == (Vectors("w", 1, 0, 5),)


@given(IDS, st.integers(0, 74))
@settings(deadline=None)
def test_no_token_is_lost(ids: list[int], backtrack: int) -> None:
    rows = webui_rows([Tokens(tuple(ids))], {}, backtrack)
    assert [token for row in rows for token in inner(row)] == ids
    assert all(len(row.ids) == len(row.weights) == CHUNK_LENGTH + 2 for row in rows)


@given(IDS)
@settings(deadline=None)
def test_equal_without_commas(ids: list[int]) -> None:
    """Where nothing is moved, the two styles cut alike up to kohya's limit."""
    ours = [inner(row) for row in webui_rows([Tokens(tuple(ids))], {}, 0)]
    theirs = [inner(row) for row in kohya_rows([Tokens(tuple(ids))], {}, 225, END_ID)]
    assert [row for row in theirs if row] == [row for row in ours if row]


def test_kohya_pads_every_text_to_the_same_length() -> None:
    rows = kohya_rows([Tokens((320, 321), 1.2)], {}, 225, END_ID)
    assert [row.ids for row in rows] == [
        (START_ID, 320, 321, *[END_ID] * 74),
        (START_ID, *[END_ID] * 76),
        (START_ID, *[END_ID] * 76),
    ]
    assert rows[0].weights[:4] == (1.0, 1.2, 1.2, 1.0)


def test_kohya_closes_chunks_where_padding_is_no_end() -> None:
    rows = kohya_rows([Tokens((320,) * 80)], {}, 225, 0)
    assert [row.ids for row in rows] == [
        (START_ID, *[320] * 75, END_ID),
        (START_ID, *[320] * 5, END_ID, *[0] * 70),
        (START_ID, END_ID, *[0] * 75),
    ]


def test_kohya_cuts_off_long_texts() -> None:
    [row] = kohya_rows([Tokens((320,) * 80)], {}, 75, 0)
    assert row.ids == (START_ID, *[320] * 75, END_ID)


def test_kohya_splits_words_over_chunks() -> None:
    words = words_of([Word("w", (310,), 6)])
    rows = kohya_rows([Tokens((320,) * 72 + (310, 330))], words, 150, END_ID)
    assert rows[0].vectors == (Vectors("w", 73, 0, 3),)
    assert rows[1].vectors == (Vectors("w", 1, 3, 3),)
    assert rows[1].ids[4] == 330
