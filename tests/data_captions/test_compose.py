"""Each caption operation against a written table of what may come out, and both ways of asking agree."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_dreambooth.base.durations import percent, steps
from lib_dreambooth.data.captions.choices import Visit
from lib_dreambooth.data.captions.compose import (
    Parts,
    caption_for,
    is_fixed,
    possible_captions,
    prepare,
    split,
    warmup_steps,
)
from lib_dreambooth.settings.sections.captions import Captions
from lib_dreambooth.settings.sections.concept import Concept

# keep_tokens is written out in each row: the default is the schema's business.
PLAIN: dict[str, Any] = {"keep_tokens": 0}


def outcomes(text: str, visits: int = 0, **changes: Any) -> set[str]:
    """Everything that can come out; with `visits`, what really comes out of that many."""
    captions = Captions(**(PLAIN | changes))
    lines = prepare(text, captions, Concept())
    if visits:
        return {caption_for(lines, captions, Visit(7, "item", n, n, n, 4)) for n in range(visits)}
    found = possible_captions(lines, captions, 1000)
    assert found is not None
    assert len(found) == len(set(found))
    return set(found)


ABC = {"a, b, c", "a, c, b", "b, a, c", "b, c, a", "c, a, b", "c, b, a"}
TABLE: list[tuple[str, str, dict[str, Any], set[str]]] = [
    ("as written", "a,  b ,c", {}, {"a,  b ,c"}),
    ("prefix and suffix", "a, b", {"prefix": "p,", "suffix": ", s"}, {"p, a, b , s"}),
    ("prefix of an empty caption", "", {"prefix": "p"}, {"p"}),
    ("dropout takes prefix and suffix too", "a", {"prefix": "p", "dropout": 0.5}, {"p a", ""}),
    ("dropout of 1", "a", {"dropout": 1.0}, {""}),
    ("every second epoch", "a", {"dropout_every": 2}, {"a", ""}),
    ("every epoch", "a", {"dropout_every": 1}, {""}),
    ("first line", "a\nb", {}, {"a"}),
    ("a blank first line", "\r\n \r\na\r\nb", {}, {"a"}),
    ("a drawn line", "a\n\nb\r\nc", {"lines": "draw"}, {"a", "b", "c"}),
    ("lines with prefix", "a\nb", {"lines": "draw", "prefix": "p"}, {"p a", "p b"}),
    ("joined lines", "a, b,\nc\nd", {"lines": "join"}, {"a, b, c, d"}),
    ("joined sentences", "A dog.\nIt runs", {"lines": "join"}, {"A dog. It runs"}),
    ("wildcards off", "{a|b}", {}, {"{a|b}"}),
    ("wildcards", "a {x|y|z}", {"wildcards": True}, {"a x", "a y", "a z"}),
    ("two wildcards", "{a|b} {c|d}", {"wildcards": True}, {"a c", "a d", "b c", "b d"}),
    ("an empty option", "a{| b}", {"wildcards": True}, {"a", "a b"}),
    ("escaped brackets", "{{a|b}}", {"wildcards": True}, {"{a|b}"}),
    ("a choice in brackets", "{{{a|b}}}", {"wildcards": True}, {"{a}", "{b}"}),
    ("no choice", "{a} {}", {"wildcards": True}, {"a {}"}),
    ("no nesting", "{a|{b|c}}", {"wildcards": True}, {"{a|b}", "{a|c}"}),
    ("a wildcard of tags is split", "{a, b|c}", {"wildcards": True, "shuffle": True}, {"a, b", "b, a", "c"}),
    ("shuffle", "a, b,c", {"shuffle": True}, ABC),
    ("keep one", "a, b, c", {"shuffle": True, "keep_tokens": 1}, {"a, b, c", "a, c, b"}),
    ("keep more than there are", "a, b", {"shuffle": True, "keep_tokens": 9}, {"a, b"}),
    (
        "keep separator counts instead of keep tokens",
        "a, b ||| c, d",
        {"shuffle": True, "keep_tokens": 9, "keep_separator": "|||"},
        {"a, b, c, d", "a, b, d, c"},
    ),
    (
        "a second keep separator",
        "a ||| b, c, ||| d ||| e",
        {"shuffle": True, "keep_separator": "|||"},
        {"a, b, c, d ||| e", "a, c, b, d ||| e"},
    ),
    ("keep separator leaves the prompt without a shuffle", "a ||| b", {"keep_separator": "|||"}, {"a, b"}),
    ("keep separator that does not occur", "a, b", {"keep_separator": "|||"}, {"a, b"}),
    (
        "tag dropout spares kept tags",
        "a, b, c",
        {"tag_dropout": 0.5, "keep_tokens": 1},
        {"a", "a, b", "a, c", "a, b, c"},
    ),
    ("tag dropout of 1", "a, b", {"tag_dropout": 1.0, "keep_tokens": 1}, {"a"}),
    (
        "dropout and shuffle",
        "a, b, c",
        {"tag_dropout": 0.5, "shuffle": True, "keep_tokens": 1},
        {"a", "a, b", "a, c", "a, b, c", "a, c, b"},
    ),
    (
        "warm-up lets through the first tags",
        "k, a, b, c",
        {"token_warmup": steps(4), "keep_tokens": 1},
        {"k, a", "k, a, b", "k, a, b, c"},
    ),
    (
        "warm-up from nothing",
        "a, b",
        {"token_warmup": steps(4), "token_warmup_min": 0},
        {"", "a", "a, b"},
    ),
    ("warm-up with fewer tags than its start", "a", {"token_warmup": steps(4), "token_warmup_min": 3}, {"a"}),
    (
        "groups move as one",
        "a;;;b, c",
        {"shuffle": True, "secondary_separator": ";;;"},
        {"a, b, c", "c, a, b"},
    ),
    ("secondary separator without a shuffle", "a;;; b", {"secondary_separator": ";;;"}, {"a, b"}),
    ("another separator", "a、b", {"separator": "、", "shuffle": True}, {"a、 b", "b、 a"}),
    ("as kohya rejoins", "a;b", {"separator": ";", "shuffle": True, "rejoin": "comma"}, {"a, b", "b, a"}),
    ("brackets are ordinary", "(a,b:2),c", {"shuffle": True, "keep_tokens": 2}, {"(a, b:2), c"}),
    ("brackets are weights", "(a,b:2),c", {"shuffle": True, "weights": True}, {"(a,b:2), c", "c, (a,b:2)"}),
    ("names", "A / B, x", {"shuffle_names": True}, {"A / B, x", "B / A, x"}),
    ("names alone", "A / B", {"shuffle_names": True}, {"A / B", "B / A"}),
    ("names off", "A / B, x", {}, {"A / B, x"}),
    (
        "names stay in front of a shuffle",
        "A / B, x, y",
        {"shuffle_names": True, "shuffle": True},
        {"A / B, x, y", "B / A, x, y", "A / B, y, x", "B / A, y, x"},
    ),
    (
        "names stay in front behind a prefix",
        "A / B, x",
        {"shuffle_names": True, "tag_dropout": 0.5, "prefix": "p,"},
        {"p, A / B", "p, B / A", "p, A / B, x", "p, B / A, x"},
    ),
    ("three names", "A / B / C", {"shuffle_names": True}, set(map(" / ".join, permutations("ABC")))),
    ("names later in the caption stay", "x, A / B", {"shuffle_names": True}, {"x, A / B"}),
    ("a stroke inside a word is no group", "fate/zero, x", {"shuffle_names": True}, {"fate/zero, x"}),
    ("a stroke with one name is no group", "A / , x", {"shuffle_names": True}, {"A / , x"}),
    (
        "Japanese names need no spaces",
        "リホ・葵, x",
        {"shuffle_names": True, "names_separator": "・"},
        {"リホ・葵, x", "葵・リホ, x"},
    ),
    ("removed tags", "1girl, solo, Long_Hair, x", {"remove": ("long hair", "solo")}, {"1girl, x"}),
    ("removing from groups", "a;;;solo, x", {"remove": ("solo",), "secondary_separator": ";;;"}, {"a, x"}),
    (
        "removing keeps the mark",
        "solo ||| a, b",
        {"remove": ("solo",), "keep_separator": "|||", "shuffle": True, "keep_tokens": 1},
        {"a, b", "b, a"},
    ),
    ("added tags", "1girl, Long_Hair", {"add": ("long hair", "hat")}, {"1girl, Long_Hair, hat"}),
    ("added to nothing", "", {"add": ("hat",)}, {"hat"}),
    ("removed, then added behind", "hat, a", {"remove": ("hat",), "add": ("hat",)}, {"a, hat"}),
    ("control characters", "a\tb\x07, c", {}, {"a b , c"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "changes", "expected"), TABLE, ids=[row[0] for row in TABLE])
def test_operations(name: str, text: str, changes: dict[str, Any], expected: set[str]) -> None:
    assert outcomes(text, **changes) == expected
    # 60 visits reach each of at most 6 outcomes but for one seed in thousands; this seed does.
    assert outcomes(text, visits=60, **changes) == expected


def test_token_rules_come_before_the_prefix() -> None:
    captions = Captions(prefix="best,", shuffle=True, keep_tokens=2)
    lines = prepare("grass, sky", captions, Concept(token="sks", class_token="dog"))
    assert [line.text for line in lines] == ["best, sks dog, grass, sky"]
    assert possible_captions(lines, captions) == ["best, sks dog, grass, sky", "best, sks dog, sky, grass"]


def test_class_pictures_take_the_class_prompt() -> None:
    captions, concept = Captions(), Concept(token="sks", class_token="dog", class_prompt="photo, [filewords]")
    assert prepare("sks dog, grass", captions, concept, is_class=True)[0].text == "photo, dog, grass"


def test_every_nth_epoch_counts_from_one() -> None:
    captions = Captions(dropout_every=3)
    lines = prepare("a", captions, Concept())
    drawn = [caption_for(lines, captions, Visit(0, "i", e, e)) for e in range(9)]
    assert [i for i, text in enumerate(drawn) if text == ""] == [2, 5, 8]


def test_warm_up_follows_the_steps() -> None:
    captions = Captions(token_warmup=steps(10), token_warmup_min=1, keep_tokens=0)
    lines = prepare("a, b, c, d, e, f", captions, Concept())
    counts = [caption_for(lines, captions, Visit(0, "i", n, 0, n, 10)).count(",") + 1 for n in range(12)]
    assert counts == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]


def test_warm_up_lengths() -> None:
    assert warmup_steps(Captions(token_warmup=percent(10)), 6, 200) == 20
    assert warmup_steps(Captions(token_warmup=percent(10)), 6, None) == 0
    assert warmup_steps(Captions(), 6, 200) == 0


def test_splitting() -> None:
    captions = Captions(keep_tokens=1, keep_separator="|||")
    assert split("a, b", captions) == Parts(("a",), ("b",))
    assert split("a, b ||| c ||| d", captions) == Parts(("a", "b"), ("c",), ("d",))


def test_too_many_are_not_listed() -> None:
    captions = Captions(shuffle=True, keep_tokens=0)
    assert possible_captions(prepare("a, b, c, d, e", captions, Concept()), captions) is None
    assert len(possible_captions(prepare("a, b, c, d", captions, Concept()), captions) or []) == 24
    dropping = Captions(tag_dropout=0.1, keep_tokens=0)
    assert possible_captions(prepare("a, b, c, d, e, f, g", dropping, Concept()), dropping) is None


def test_equal_tags_do_not_take_for_ever() -> None:
    captions = Captions(shuffle=True, tag_dropout=0.1, keep_tokens=0)
    assert possible_captions(prepare(", ".join("a" * 40), captions, Concept()), captions) is None


@pytest.mark.parametrize(
    ("changes", "fixed"),
    [
        ({}, True),
        ({"prefix": "p", "secondary_separator": ";", "keep_separator": "|||", "keep_tokens": 3}, True),
        ({"dropout": 0.1}, False),
        ({"dropout_every": 2}, False),
        ({"wildcards": True}, False),
        ({"shuffle_names": True}, False),
        ({"shuffle": True}, False),
        ({"tag_dropout": 0.1}, False),
        ({"lines": "draw"}, False),
        ({"token_warmup": steps(3)}, False),
    ],
)
def test_what_makes_captions_vary(changes: dict[str, Any], fixed: bool) -> None:
    assert is_fixed(Captions(**changes)) is fixed


CAPTION = st.lists(
    st.sampled_from(["a", "b", "A / B", "{x|y}", "|||", ";;", "c d", "\n", "(e", "f)", "a"]), max_size=6
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "shuffle": st.booleans(),
        "keep_tokens": st.integers(0, 3),
        "keep_separator": st.sampled_from(["", "|||"]),
        "secondary_separator": st.sampled_from(["", ";;"]),
        "tag_dropout": st.sampled_from([0.0, 0.3, 1.0]),
        "dropout": st.sampled_from([0.0, 0.3]),
        "dropout_every": st.integers(0, 3),
        "wildcards": st.booleans(),
        "shuffle_names": st.booleans(),
        "lines": st.sampled_from(["first", "draw", "join"]),
        "token_warmup": st.sampled_from([steps(0), steps(5)]),
        "weights": st.booleans(),
        "prefix": st.sampled_from(["", "p,"]),
    },
)


@settings(max_examples=150, deadline=None)
@given(CAPTION.map(", ".join), SETTINGS, st.integers(0, 50))
def test_what_is_drawn_is_among_what_is_possible(text: str, changes: dict[str, Any], number: int) -> None:
    captions = Captions(**changes)
    lines = prepare(text, captions, Concept())
    visit = Visit(3, "item", number, number // 3, number, warmup_steps(captions, 10, 100))
    drawn = caption_for(lines, captions, visit)
    assert caption_for(lines, captions, visit) == drawn
    possible = possible_captions(lines, captions, 200)
    assert possible is None or drawn in possible
    if is_fixed(captions):
        assert possible == [drawn]
