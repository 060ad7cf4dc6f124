"""Whole words and tags."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_dreambooth.data.captions.tagtext import join_tags, split_tags, tag_key, without_tags
from lib_dreambooth.data.captions.words import find_all, has_word


@pytest.mark.parametrize(
    ("text", "word", "expected"),
    [
        ("a hotdog stand", "dog", False),
        ("a dog stand", "dog", True),
        ("two dogs", "dog", False),
        ("Dog!", "dog", True),
        ("the dog's ball", "dog", True),
        ("sks_dog", "dog", False),
        ("sks-dog", "dog", True),
        ("sks  dog", "sks dog", True),
        ("sks\tdog", "sks dog", True),
        ("a (sks:1.2) x", "sks", True),
        ("c++ code", "c++", True),
        ("a.b", ".", True),
        ("白い猫が座る", "猫", True),
        ("猫耳の少女", "猫", False),
        ("ハンバーガー", "バー", False),
        ("バーに居る", "バー", True),
        ("고양이 한 마리", "고양이", True),
        ("고양이가", "고양이", False),
        ("anything", "", False),
        ("", "x", False),
    ],
)
def test_whole_words(text: str, word: str, expected: bool) -> None:
    assert has_word(text, word) is expected


def test_every_place_is_found_once() -> None:
    assert [m.start() for m in find_all("dog hotdog dog,dog", "dog")] == [0, 11, 15]


@pytest.mark.parametrize(
    ("text", "separator", "brackets", "tags"),
    [
        ("a, b,, c ,", ",", False, ["a", "b", "c"]),
        ("(a, b:1.2), c", ",", False, ["(a", "b:1.2)", "c"]),
        ("(a, b:1.2), c", ",", True, ["(a, b:1.2)", "c"]),
        ("[x, (y, z)], c", ",", True, ["[x, (y, z)]", "c"]),
        (r"a \(b, c\)", ",", True, [r"a \(b", r"c\)"]),
        (">:(, a, b", ",", True, [">:(", "a", "b"]),
        ("猫、犬", "、", False, ["猫", "犬"]),
        ("a b  c", " ", False, ["a", "b", "c"]),
        ("whole", "", False, ["whole"]),
    ],
)
def test_tags_are_split(text: str, separator: str, brackets: bool, tags: list[str]) -> None:
    assert split_tags(text, separator, brackets) == tags


@settings(deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_characters=",", exclude_categories=["Cs"]), min_size=1)
        .map(str.strip)
        .filter(bool)
    )
)
def test_split_undoes_join(tags: list[str]) -> None:
    assert split_tags(join_tags(tags)) == tags


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("Long_Hair", "long  hair", True),
        (r"saber \(fate\)", "saber (fate)", True),
        ("^_^", "^ ^", False),
        ("o_o", "o o", False),
        ("hat", "hats", False),
    ],
)
def test_spellings_of_one_tag(left: str, right: str, same: bool) -> None:
    assert (tag_key(left) == tag_key(right)) is same


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1girl, solo, long_hair", "1girl, long_hair"),
        ("solo", ""),
        ("SOLO, x", "x"),
        ("solo dance, x", "solo dance, x"),
        ("a;;;solo, x", "a, x"),
        ("x,  y ,solo", "x,  y"),
        ("", ""),
    ],
)
def test_removing_leaves_the_rest_as_written(text: str, expected: str) -> None:
    assert without_tags(text, ["solo"], (",", ";;;")) == expected
