"""How often each outcome comes: chi-square against the even spread, with fixed seeds."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from typing import Any

import pytest

from lib_dreambooth.data.captions.choices import Visit
from lib_dreambooth.data.captions.compose import caption_for, prepare
from lib_dreambooth.settings.sections.captions import Captions
from lib_dreambooth.settings.sections.concept import Concept

VISITS = 1500
# Upper 0.1 % points of chi-square by degrees of freedom.
CRITICAL = {1: 10.83, 2: 13.82, 5: 20.52, 7: 24.32}


def draw_all(text: str, **changes: Any) -> list[str]:
    captions = Captions(**({"keep_tokens": 0} | changes))
    lines = prepare(text, captions, Concept())
    # Ten items seen many times and not one item only: both kinds of counter have to mix well.
    return [caption_for(lines, captions, Visit(11, f"item{n % 10}", n // 10, 0)) for n in range(VISITS)]


def chi_square(counts: Counter[str], expected: dict[str, float]) -> float:
    assert set(counts) <= set(expected)
    total = sum(counts.values())
    return sum((counts[key] - share * total) ** 2 / (share * total) for key, share in expected.items())


def even(*keys: str) -> dict[str, float]:
    return {key: 1 / len(keys) for key in keys}


@pytest.mark.parametrize(
    ("text", "changes", "expected"),
    [
        ("a, b, c", {"shuffle": True}, even(*map(", ".join, permutations("abc")))),
        ("A / B, x", {"shuffle_names": True}, even("A / B, x", "B / A, x")),
        ("a\nb\nc", {"lines": "draw"}, even("a", "b", "c")),
        ("{a|b|c}", {"wildcards": True}, even("a", "b", "c")),
        ("{a|b}{c|d|e}", {"wildcards": True}, even("ac", "ad", "ae", "bc", "bd", "be")),
        ("a", {"dropout": 0.2}, {"a": 0.8, "": 0.2}),
        (
            "a, b, c",
            {"tag_dropout": 0.25},
            {
                "a, b, c": 0.75**3, "a, b": 0.75**2 / 4, "a, c": 0.75**2 / 4, "b, c": 0.75**2 / 4,
                "a": 0.75 / 16, "b": 0.75 / 16, "c": 0.75 / 16, "": 1 / 64,
            },
        ),
    ],
)  # fmt: skip
def test_outcomes_come_as_often_as_they_should(
    text: str, changes: dict[str, Any], expected: dict[str, float]
) -> None:
    counts = Counter(draw_all(text, **changes))
    assert chi_square(counts, expected) < CRITICAL[len(expected) - 1]


def test_the_draws_of_different_operations_are_independent() -> None:
    """Whether a line is `a` says nothing about whether its names are turned."""
    both = Counter(draw_all("A / B, a\nA / B, b", lines="draw", shuffle_names=True))
    assert chi_square(both, even("A / B, a", "B / A, a", "A / B, b", "B / A, b")) < 16.27


def test_using_one_operation_leaves_the_draws_of_another() -> None:
    alone = draw_all("a, b, c, d", shuffle=True)
    with_dropout = draw_all("a, b, c, d", shuffle=True, dropout=0.3)
    assert [text for text in with_dropout if text] == [
        plain for plain, dropped in zip(alone, with_dropout, strict=True) if dropped
    ]
    every = draw_all("a, b, c, d", dropout_every=2, dropout=0.3)
    assert [text == "" for text in every] == [text == "" for text in with_dropout]


def test_items_visits_and_seeds_draw_on_their_own() -> None:
    captions = Captions(shuffle=True, keep_tokens=0)
    lines = prepare("a, b, c, d, e, f, g, h", captions, Concept())
    visits = [Visit(seed, item, n, 0) for seed in (1, 2) for item in ("i", "j") for n in (0, 1)]
    drawn = [caption_for(lines, captions, visit) for visit in visits]
    assert len(set(drawn)) == len(drawn)


def test_a_visit_is_the_same_in_any_order_and_after_any_other() -> None:
    captions = Captions(shuffle=True, tag_dropout=0.2, dropout=0.1)
    lines = prepare("k, a, b, c, d", captions, Concept())
    visits = [Visit(5, "i", n, n // 4) for n in range(20)]
    forward = [caption_for(lines, captions, visit) for visit in visits]
    backward = [caption_for(lines, captions, visit) for visit in reversed(visits)]
    assert forward == backward[::-1]
