"""Which tags are chosen, in which spelling, and taggers that somebody else brings."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from lib_dreambooth.data.tags.spelling import Spelling
from lib_dreambooth.data.tags.tagger import (
    CallableTagger,
    TagChoice,
    TagScores,
    choose_tags,
    scores_from_text,
)

SCORES = TagScores(
    general={"long_hair": 0.9, "hat": 0.5, "solo": 0.35, "^_^": 0.4, "cat_(animal)": 0.36, "dog": 0.34},
    character={"saber_(fate)": 0.9, "rin": 0.8},
    rating={"general": 0.7, "explicit": 0.2},
)


@pytest.mark.parametrize(
    ("changes", "tags"),
    [
        ({}, ["long hair", "hat", "^_^", "cat (animal)", "solo"]),
        ({"threshold": 0.45}, ["long hair", "hat"]),
        ({"threshold": 2.0}, []),
        ({"with_characters": True, "threshold": 0.6}, ["saber (fate)", "long hair"]),
        ({"with_characters": True, "character_threshold": 0.8, "threshold": 1}, ["saber (fate)", "rin"]),
        ({"with_rating": True, "threshold": 0.9}, ["general", "long hair"]),
        ({"front": ("sks", "hat"), "threshold": 0.45}, ["sks", "hat", "long hair"]),
        ({"exclude": ("Long_Hair", "solo"), "threshold": 0.35}, ["hat", "^_^", "cat (animal)"]),
        ({"limit": 2, "front": ("sks",)}, ["sks", "long hair"]),
        ({"spelling": Spelling(underscores=True)}, ["long_hair", "hat", "^_^", "cat_(animal)", "solo"]),
        (
            {"spelling": Spelling(escape=True), "exclude": ("hat", "^_^")},
            ["long hair", r"cat \(animal\)", "solo"],
        ),
    ],
)
def test_choosing(changes: dict[str, Any], tags: list[str]) -> None:
    assert choose_tags(SCORES, TagChoice(**changes)) == tags


def test_equal_scores_come_by_name() -> None:
    assert choose_tags(TagScores(general={"b": 0.5, "a": 0.5}), TagChoice()) == ["a", "b"]


def test_escaping_is_not_done_twice() -> None:
    assert Spelling(escape=True)(r"a \(b\)") == r"a \(b\)"


def test_the_webuis_text() -> None:
    scores = scores_from_text(r"1girl, (long hair:0.95), rating:safe, saber \(fate\), ")
    assert scores.general == {"1girl": 1.0, "long hair": 0.95, "saber (fate)": 1.0}
    assert scores.rating == {"safe": 1.0}


@pytest.mark.parametrize(
    "given", ["hat, (dog:0.5)", {"hat": 1.0, "dog": 0.5}, TagScores(general={"hat": 1.0, "dog": 0.5})]
)
def test_a_callable_is_a_tagger(given: Any) -> None:
    asked: list[tuple[int, int]] = []

    def score_one(picture: Image.Image) -> Any:
        asked.append(picture.size)
        return given

    tagger = CallableTagger("deepbooru", score_one)
    scores = tagger.score([Image.new("RGB", (1, 2)), Image.new("RGB", (3, 4))])
    assert asked == [(1, 2), (3, 4)]
    assert [dict(s.general) for s in scores] == [{"hat": 1.0, "dog": 0.5}] * 2
