"""The WebUI's prompt grammar."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_dreambooth.models.prompt import BREAK, Piece, parse_prompt

# Read off the WebUI: what it makes of each prompt.
KNOWN: dict[str, list[tuple[str, float]]] = {
    "": [("", 1.0)],
    "normal text": [("normal text", 1.0)],
    "an (important) word": [("an ", 1.0), ("important", 1.1), (" word", 1.0)],
    "(unbalanced": [("unbalanced", 1.1)],
    "[weaker": [("weaker", 1 / 1.1)],
    r"\(literal\]": [("(literal]", 1.0)],
    r"a \\ b\c": [("a \\ bc", 1.0)],
    "(unnecessary)(parens)": [("unnecessaryparens", 1.1)],
    "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).": [
        ("a ", 1.0),
        ("house", 1.3 * 1.1 * 1.1),
        (" ", 1.1),
        ("on", 1.1 / 1.1),
        (" a ", 1.1),
        ("hill", 0.5 * 1.1),
        (", sun, ", 1.1),
        ("sky", 1.1**4),
        (".", 1.1),
    ],
    "(cat:-1)": [("cat", -1.0)],
    "(cat : 1.5 )": [("cat ", 1.5)],
    "cat:1.5)": [("cat:1.5)", 1.0)],
    "[cat:1.5]": [("cat:1.5", 1 / 1.1)],
    "(cat:1.2.3)": [("cat:1.2.3)", 1.1)],
    "12:30 o'clock": [("12:30 o'clock", 1.0)],
    "a BREAK b": [("a", 1.0), ("BREAK", -1.0), ("b", 1.0)],
    "aBREAKb BREAKS": [("aBREAKb BREAKS", 1.0)],
    "(a BREAK b)": [("a", 1.1), ("BREAK", -1.1), ("b", 1.1)],
}


@pytest.mark.parametrize("prompt", KNOWN)
def test_known_prompts(prompt: str) -> None:
    pieces = parse_prompt(prompt)
    assert [piece.text for piece in pieces] == [text for text, _ in KNOWN[prompt]]
    assert [piece.weight for piece in pieces] == pytest.approx([weight for _, weight in KNOWN[prompt]])


def test_break_is_a_word_inside_brackets_and_without_breaks() -> None:
    pieces = parse_prompt("a BREAK (b BREAK c)")
    assert [piece.text for piece in pieces] == ["a", "BREAK", "", "b", "BREAK", "c"]
    assert [piece.is_break for piece in pieces] == [False, True, False, False, False, False]
    assert parse_prompt("a BREAK b", has_breaks=False) == [Piece("a BREAK b")]
    assert BREAK.is_break


@given(st.text(st.sampled_from(r"ab:.15()[]\ ,"), max_size=30))
@settings(deadline=None)
def test_any_text_parses_and_neighbours_differ(text: str) -> None:
    pieces = parse_prompt(text)
    assert pieces
    weights = [piece.weight for piece in pieces]
    assert all(left != right for left, right in pairwise(weights))


@given(st.text(st.characters(exclude_characters="()[]\\", exclude_categories=("Cs",)), max_size=20))
@settings(deadline=None)
def test_escaped_brackets_come_back(text: str) -> None:
    escaped = "".join(rf"\({text}\)\[\]\\")
    joined = "".join(piece.text for piece in parse_prompt(escaped, has_breaks=False))
    assert joined == f"({text})[]\\"


@given(st.text("abc ", min_size=1), st.floats(0, 3).map(lambda weight: round(weight, 2)))
@settings(deadline=None)
def test_a_weight_is_what_it_says(text: str, weight: float) -> None:
    assert parse_prompt(f"({text}:{weight})") == [Piece(text, weight)]
