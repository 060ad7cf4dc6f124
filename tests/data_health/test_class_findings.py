"""Captions of class pictures that a class prompt shuts out."""

from __future__ import annotations

import pytest

from lib_dreambooth.data.health.classes import ignored_captions
from lib_dreambooth.data.item import CaptionText, Finding, Item
from lib_dreambooth.settings.sections.captions import Captions
from lib_dreambooth.settings.sections.concept import Concept
from tests.data_health.made import item

PICTURES = [
    item("class/a.png", "a red ring", is_class=True),
    item("class/b.png", "a blue ring", is_class=True),
    item("class/none.png", None, is_class=True),
    item("class/empty.png", " \n", is_class=True),
    item("class/drawn.png", "", is_class=True, caption=CaptionText("a ring", "drawn")),
    item("own/c.png", "sks ring"),
]


def found(prompt: str, items: list[Item] = PICTURES, **captions: bool) -> list[Finding]:
    settings = Captions(**captions), Concept(class_prompt=prompt)
    return ignored_captions(items, lambda one: settings)


@pytest.mark.parametrize("prompt", ["[filewords]", "", "  ", "a photo of [FileWords]"])
def test_prompts_that_take_the_captions(prompt: str) -> None:
    assert found(prompt) == []


def test_a_prompt_that_takes_their_place() -> None:
    [one] = found("a ring")
    assert (one.code, one.severity) == ("class-captions-unused", "warning")
    assert one.paths == ("class/a.png", "class/b.png")
    assert one.what == "2 class pictures have captions that will not be read."
    assert "`a ring`" in one.effect and "[filewords]" in one.todo


def test_choices_teach_wrong_words() -> None:
    [one] = found("a {red|blue} ring", wildcards=True)
    assert "wrong words" in one.effect
    [other] = found("a {red|blue} ring", wildcards=False)
    assert "wrong words" not in other.effect


def test_without_captions_there_is_nothing_to_lose() -> None:
    assert found("a ring", PICTURES[2:]) == []
