"""New words in captions: in front of them, or in sentences in their place, after everything that is drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth import settings
from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.data.captions.choices import Visit
from lib_dreambooth.data.captions.compose import caption_for, lines_of, possible_captions, prepare
from lib_dreambooth.data.captions.templates import (
    OBJECT,
    STYLE,
    read_templates,
    templates_of,
    worded,
    words_of,
)
from lib_dreambooth.data.handling import handlings
from lib_dreambooth.settings.schema import Captions, Concept, Run
from tests.data.made_items import made_item


def made_run(template: str = "captions", concepts: Any = None, words: Any = ("zwx",), **values: Any) -> Run:
    return settings.read(
        {
            "concepts": concepts or [{"folder": "pictures"}],
            "words": [{"name": name} for name in words],
            "parts": {"words": {"train": True, "template": template, **values.pop("part", {})}},
            **values,
        }
    ).run


def captions_of(run: Run, text: str, number: int = 0, is_class: bool = False) -> list[str]:
    """Every caption that a picture with this text can be trained on."""
    one = handlings(run)[number]
    lines = prepare(text, one.captions, one.concept, is_class, one.wording)
    return possible_captions(lines, one.captions) or []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a ring, blue", "zwx, a ring, blue"),
        ("", "zwx"),
        ("a zwx ring", "a zwx ring"),
        ("zwxy", "zwx, zwxy"),
        ("a ZWX", "a ZWX"),
    ],
)
def test_the_word_stands_in_front_once(text: str, expected: str) -> None:
    assert captions_of(made_run(), text) == [expected]
    assert captions_of(made_run(part={"train": False}), text) == [text]


def test_it_is_neither_moved_nor_dropped_with_tags() -> None:
    run = made_run(captions={"shuffle": True, "tag_dropout": 0.5, "keep_tokens": 0})
    found = captions_of(run, "a, b")
    assert found and all(text.startswith("zwx") for text in found)
    assert set(found) == {"zwx", "zwx, a", "zwx, b", "zwx, a, b", "zwx, b, a"}
    # A caption that is dropped says nothing at all: that is how guidance is learnt.
    assert "" in captions_of(made_run(captions={"dropout": 0.5}), "a")


def test_sentences_take_the_place_of_captions() -> None:
    assert captions_of(made_run("object"), "1girl, smile") == [
        line.replace("[name]", "zwx") for line in OBJECT
    ]
    assert captions_of(made_run("style"), "") == [line.replace("[name]", "zwx") for line in STYLE]
    assert all("[name]" in line for line in (*OBJECT, *STYLE))


def test_a_file_has_lines_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("[name] the cat, [filewords]\n\n  [FileWords] by [name]\n", encoding="utf-16")
    run = made_run("file", part={"template_file": str(path)})
    assert captions_of(run, "red, blue") == ["zwx the cat, red, blue", "red, blue by zwx"]
    assert captions_of(run, "") == ["zwx the cat", "by zwx"]
    drawn = {
        caption_for(prepare("red", Captions(), Concept(), False, handlings(run)[0].wording), Captions(), one)
        for one in (Visit(1, "a picture", number, 0) for number in range(20))
    }
    assert drawn == {"zwx the cat, red", "red by zwx"}


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    with pytest.raises(FileError, match="cannot be read"):
        read_templates(path)
    path.write_text("a photo of [name]\na photo\n", encoding="utf-8")
    with pytest.raises(UserError, match='a line without \\[name\\]: "a photo"') as caught:
        templates_of(made_run("file", part={"template_file": str(path)}))
    assert caught.value.where == "parts.words.template_file"
    path.write_text("\n", encoding="utf-8")
    with pytest.raises(UserError, match="has no lines"):
        read_templates(path)


def test_each_concept_teaches_its_own_words() -> None:
    concepts = [
        {"folder": "a", "token": "wug", "class_token": "dog"},
        {"folder": "b", "prompt": "photo of zwx"},
        {"folder": "c"},
        {"folder": "d", "role": "class"},
    ]
    run = made_run(concepts=concepts, words=("wug", "zwx", "dax"))
    assert [words_of(run, one) for one in run.concepts[:3]] == [("wug",), ("zwx",), ("dax",)]
    assert captions_of(run, "on grass") == ["wug dog, on grass"]
    assert captions_of(run, "on grass", 2) == ["dax, on grass"]
    # Two words that no concept names are learnt from all pictures.
    both = made_run(words=("wug", "zwx"))
    assert captions_of(both, "a wug") == ["zwx, a wug"]
    assert captions_of(both, "") == ["wug zwx"]


def test_class_pictures_do_not_show_it() -> None:
    run = made_run(concepts=[{"folder": "a", "class_token": "ring"}])
    assert captions_of(run, "a zwx, blue", is_class=True) == ["a ring, blue"]
    sentences = made_run("object", concepts=[{"folder": "a", "class_token": "ring"}])
    assert captions_of(sentences, "a zwx, blue", is_class=True) == ["a ring, blue"]
    drawn = replace(made_item(1), caption=replace(made_item(1).caption, text="a ring", origin="drawn"))
    one = handlings(run)[0]
    assert [line.text for line in lines_of(drawn, one.captions, one.concept, one.wording)] == ["a ring"]


def test_a_sentence_without_the_caption_is_used_as_it_is() -> None:
    assert worded("red", "a photo of zwx", ("zwx",)) == "a photo of zwx"
    assert worded("", "[filewords], zwx", ("zwx",)) == "zwx"
    assert worded("red", "", ()) == "red"
