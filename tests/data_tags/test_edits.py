"""Each edit against a table: what changes, and that the rest stays to the byte."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.data.captions.tagtext import split_tags, tag_key
from lib_dreambooth.data.tags.edits import (
    AddTags,
    DropRepeats,
    Edit,
    Found,
    RemoveTags,
    ReorderTags,
    ReplaceTags,
    ReplaceText,
    find_tag,
    find_text,
)

TABLE: list[tuple[Edit, str, str]] = [
    (AddTags(("sks",)), "a, b", "sks, a, b"),
    (AddTags(("sks", "b")), "a, b", "sks, a, b"),
    (AddTags(("SKS_x",)), "a, sks x", "a, sks x"),
    (AddTags(("x",), "back"), "a, b", "a, b, x"),
    (AddTags(("x",), "back"), "a, b,", "a, b, x"),
    (AddTags(("x",), "back"), "a\r\nb\r\n", "a, x\r\nb, x\r\n"),
    (AddTags(("x", "y")), "", "x, y"),
    (AddTags(("x",), separator="、"), "a、b", "x、 a、b"),
    (RemoveTags(("solo",)), "1girl,  solo ,x", "1girl,x"),
    (RemoveTags(("solo",)), "solo dance", "solo dance"),
    (RemoveTags(("solo",)), "  a,b  ", "  a,b  "),
    (RemoveTags(("solo",)), "solo\n\nsolo, x\n", "\n\nx\n"),
    (RemoveTags((r"\d+girls?", ".* hair"), is_pattern=True), "1girl, long hair, hair bow", "hair bow"),
    (ReplaceTags({"hat": "red hat"}), "a, hat, b", "a, red hat, b"),
    (ReplaceTags({"hat": "cap", "Cap": "cap"}), "hat, a, cap", "cap, a"),
    (ReplaceTags({"hat": "cap"}), "a,b", "a,b"),
    (ReplaceText("cat", "dog"), "a Cat, cat", "a Cat, dog"),
    (ReplaceText("cat", r"\1", ignore_case=True), "a Cat", r"a \1"),
    (ReplaceText(r"(\w+) hair", r"\1 fur", is_pattern=True), "long hair, x", "long fur, x"),
    (ReplaceText("", "x"), "a", "a"),
    (ReorderTags(("c", "b")), "a, b, c", "c, b, a"),
    (ReorderTags((), "by name"), "b, c, a", "a, b, c"),
    (ReorderTags((), "by name", keep=1), "sks, c, a", "sks, a, c"),
    (ReorderTags((), "by count", {"a": 1, "b": 5}), "a, b, c", "b, a, c"),
    (ReorderTags(("x",)), "a,b", "a,b"),
    (DropRepeats(), "a, b, A, c_d, c d", "a, b, c_d"),
    (DropRepeats(), "a,b", "a,b"),
]


@pytest.mark.parametrize(("edit", "before", "after"), TABLE)
def test_edits(edit: Edit, before: str, after: str) -> None:
    assert edit(before) == after
    if not isinstance(edit, ReplaceText):
        assert edit(after) == after


@pytest.mark.parametrize(
    ("pattern", "by"), [("(", ""), ("a", r"\2"), ("a", r"\g<x>"), ("a", "\\"), ("[", "")]
)
def test_wrong_patterns_are_said_before_anything_is_read(pattern: str, by: str) -> None:
    with pytest.raises(UserError) as caught:
        ReplaceText(pattern, by, is_pattern=True)
    assert caught.value.code == "bad-pattern"


def test_wrong_tag_patterns_too() -> None:
    with pytest.raises(UserError, match="no valid pattern"):
        RemoveTags(("(",), is_pattern=True)


def test_finding() -> None:
    captions = {"a": "long hair, Hat", "b": "hat\nx", "c": "hats"}
    assert find_text(captions, "hat") == [
        Found("a", 11, 14, "Hat"),
        Found("b", 0, 3, "hat"),
        Found("c", 0, 3, "hat"),
    ]
    assert [f.path for f in find_text(captions, r"\bhat\b", is_pattern=True)] == ["a", "b"]
    assert find_text(captions, "(") == []
    assert find_text(captions, "") == []
    assert find_tag(captions, "HAT") == ["a", "b"]
    assert find_tag({"a": "x\nlong_hair"}, "long hair") == ["a"]


TAGS = st.lists(st.sampled_from(["a", "b", "long_hair", "long hair", "x y"]), max_size=6)


@settings(deadline=None)
@given(TAGS, TAGS)
def test_adding_and_removing_do_what_they_say(present: list[str], tags: list[str]) -> None:
    text = ", ".join(present)
    keys = {tag_key(tag) for tag in tags}
    added = {tag_key(tag) for tag in split_tags(AddTags(tuple(tags))(text))}
    assert added == keys | {tag_key(tag) for tag in present}
    removed = split_tags(RemoveTags(tuple(tags))(text))
    assert removed == [tag for tag in present if tag_key(tag) not in keys]
