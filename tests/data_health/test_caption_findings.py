"""Planted faults in captions, tags, triggers and folder names; and sets without any."""

from __future__ import annotations

from typing import Any

import pytest

from lib_dreambooth.data.health import captions as health
from lib_dreambooth.data.health.captions import caption_findings, style_of
from lib_dreambooth.data.health.exposure import (
    Exposure,
    exposure_findings,
    exposures,
    framing_findings,
    framing_table,
    triggers_of,
)
from lib_dreambooth.data.health.foldernames import folder_findings, meant_as_repeats
from lib_dreambooth.data.health.tagtable import TagCount, framings, tag_findings, tag_table
from lib_dreambooth.data.item import CaptionText, Finding
from lib_dreambooth.settings.sections.captions import Captions
from lib_dreambooth.settings.sections.concept import Concept
from tests.data_health.made import captioned, captioned_all

SKS = Concept(token="sks", class_token="girl")
TAGS = [
    "sks, red hat, smile, standing, outdoors",
    "sks, blue scarf, sitting, indoors, chair",
    "sks, running, grass, day, open mouth",
    "sks, dress, flower, standing, night",
    "sks, hoodie, sitting, city, smile",
    "sks, swimsuit, beach, day, water",
]
SENTENCES = [
    "A photo of sks standing in the rain with a red umbrella.",
    "sks is sitting on a chair at the window and reads a book.",
    "A close view of sks with her hands in the pockets of a coat.",
]


def codes(findings: list[Finding]) -> list[str]:
    return [finding.code for finding in findings]


@pytest.mark.parametrize(
    "training",
    [
        captioned_all(TAGS, captions=Captions(shuffle=True), concept=Concept(token="sks")),
        captioned_all(SENTENCES, concept=Concept(token="sks")),
        captioned_all(TAGS),
        [captioned(f"set/{i}.png", None, concept=SKS) for i in range(9)],
        captioned_all(["x"] * 9, concept=Concept(prompt="photo of sks dog", token="sks", class_token="dog")),
        captioned_all([f"sks, thing {i}" for i in range(40)], folder="10_sks", concept=Concept(token="sks")),
        [],
    ],
)
def test_nothing_is_invented(training: list[health.Captioned]) -> None:
    assert caption_findings(training) == []
    assert tag_findings(training) == []


@pytest.mark.parametrize(
    ("code", "text", "captions", "concept"),
    [
        ("empty-caption", " \n", {}, SKS),
        ("no-caption", None, {}, SKS),
        ("unused-lines", "sks, a\nsks, b", {}, SKS),
        ("doubled-trigger", "sks sks girl, a", {}, SKS),
        ("trigger-moves", "a, b, sks", {"shuffle": True}, SKS),
        ("trigger-moves", "a, sks", {"tag_dropout": 0.1}, SKS),
        ("trigger-late", "a, b, c, d, e, f, g, h, i, sks", {}, SKS),
    ],
)
def test_a_planted_fault_is_found_where_it_is(
    code: str, text: str | None, captions: dict[str, Any], concept: Concept
) -> None:
    training = captioned_all(TAGS, captions=Captions(**captions), concept=concept)
    planted = captioned("set/bad.png", text, Captions(**captions), concept)
    found = caption_findings([*training, planted])
    assert [(f.code, f.paths) for f in found] == [(code, ("set/bad.png",))]
    assert found[0].effect and found[0].todo


def test_a_prompt_without_the_trigger() -> None:
    concept = Concept(token="sks", prompt="photo of a dog")
    (found,) = caption_findings(captioned_all(["", ""], concept=concept))
    assert (found.code, found.paths) == ("trigger-missing", ("set/0.png", "set/1.png"))


def test_an_empty_prompt() -> None:
    assert codes(caption_findings([captioned("a.png", None)])) == ["empty-prompt"]
    assert codes(caption_findings([captioned("a.png", None, concept=SKS)])) == []


def test_all_without_captions_is_a_way_of_its_own_but_some_are_not() -> None:
    without = [captioned(f"set/{i}.png", None, concept=SKS) for i in range(3)]
    assert caption_findings(without) == []
    (found,) = caption_findings([*without, *captioned_all(TAGS, concept=SKS)])
    assert (found.code, len(found.paths)) == ("no-caption", 3)


@pytest.mark.parametrize(
    ("text", "style"),
    [
        *((text, "tags") for text in TAGS),
        *((text, "sentence") for text in SENTENCES),
        ("1girl, solo, looking at viewer, hair ornament, long hair", "tags"),
        ("a girl with long hair, wearing a red dress, standing in the garden", "sentence"),
        ("sks", "unclear"),
        ("sks dog", "unclear"),
        ("", "unclear"),
        ("赤い髪, 青い目, 制服", "tags"),
        ("赤い髪の女の子が椅子に座っている。", "sentence"),
    ],
)
def test_styles(text: str, style: str) -> None:
    assert style_of(text) == style


def test_mixed_styles_name_the_fewer() -> None:
    training = captioned_all(TAGS + SENTENCES[:1])
    (found,) = [f for f in caption_findings(training) if f.code == "mixed-captions"]
    assert found.paths == ("set/6.png",)
    assert "6 captions of tags and 1 of sentences" in found.what
    assert "mixed-captions" not in codes(caption_findings(captioned_all(TAGS * 5 + SENTENCES[:1])))


def test_a_folder_name_that_the_captions_never_say() -> None:
    texts = ["kkdancer, dance, stage", "kkdancer, smile, night"]
    (found,) = caption_findings(captioned_all(texts, folder="data/16_kk_dancer"))
    assert (found.code, found.paths) == ("folder-name-missing", ("data/16_kk_dancer",))
    assert "They say `kkdancer` instead." in found.what
    for clean in ("16_kkdancer", "kk_dancer", "16_", "dance_16"):
        assert caption_findings(captioned_all(texts, folder=f"data/{clean}")) == []
    assert caption_findings(captioned_all(["kk dancer, a", "b"], folder="data/16_kk_dancer")) == []


def test_a_folder_name_standing_in_is_no_caption() -> None:
    stand_in = CaptionText("kk dancer", "folder", "data/16_kk_dancer")
    training = [captioned(f"data/16_kk_dancer/{i}.png", caption=stand_in) for i in range(9)]
    assert caption_findings(training) == []
    assert tag_findings(training) == []
    assert tag_table(training) == []
    assert triggers_of(training) == []
    written = [captioned(f"data/16_kk_dancer/w{i}.png", f"kkdancer, pose {i}") for i in range(9)]
    assert codes(caption_findings([*training, *written])) == ["no-caption", "folder-name-missing"]


def test_tag_table_counts_captions_and_ignores_spelling() -> None:
    table = tag_table(captioned_all(["Long_Hair, hat", "long hair, long hair", "sky"]))
    assert table == [
        TagCount(0, "long hair", 2, 3, "body"),
        TagCount(0, "hat", 1, 3, "accessory"),
        TagCount(0, "sky", 1, 3, "other"),
    ]


def test_tags_that_are_always_there_or_bind_clothes() -> None:
    texts = [f"sks, 1girl, solo, blue eyes, thing {i}" for i in range(10)]
    found = tag_findings(captioned_all(texts, concept=SKS))
    assert codes(found) == ["clothes-binding-tags", "always-present-tags"]
    assert "`1girl`, `solo`" in found[0].what
    assert "`blue eyes`" in found[1].what and "sks" not in found[1].what
    pruned = Captions(remove=("1girl", "solo", "blue_eyes"))
    assert tag_findings(captioned_all(texts, captions=pruned, concept=SKS)) == []
    assert tag_findings(captioned_all(texts[:4], concept=SKS)) == []


def test_one_picture_with_closed_eyes() -> None:
    texts = [f"sks, thing {i}" for i in range(12)]
    texts[3] += ", closed_eyes"
    (found,) = tag_findings(captioned_all(texts, concept=SKS))
    assert (found.code, found.paths) == ("stray-state", ("set/3.png",))
    assert "closes all eyes" in found.effect
    many = [text + (", closed eyes" if i < 5 else "") for i, text in enumerate(texts)]
    assert [f for f in tag_findings(captioned_all(many, concept=SKS)) if "closed eyes" in f.what] == []


def test_pictures_per_trigger_and_per_pair() -> None:
    both = Captions(shuffle_names=True)
    training = [
        *(captioned(f"a/{i}.png", "riho, smile", both, repeats=2) for i in range(3)),
        *(captioned(f"b/{i}.png", "aoi, smile", both) for i in range(4)),
        *(captioned(f"c/{i}.png", "riho / aoi, smile", both) for i in range(2)),
    ]
    triggers = triggers_of(training)
    assert triggers == ["riho", "aoi"]
    single, pairs = exposures(training, triggers)
    assert single == [Exposure(("riho",), 5, 8), Exposure(("aoi",), 6, 6)]
    assert pairs == [Exposure(("riho", "aoi"), 2, 2)]
    assert exposure_findings(single) == []


def test_triggers_that_nobody_declared() -> None:
    """Kohya's folders: each outfit has its own word, and only the captions say it."""
    riho = captioned_all(["riho, smile, hat", "riho, night, city", "riho, day"], folder="36_riho")
    dancer = captioned_all(["kkdancer, stage", "kkdancer, smile"], folder="16_kk_dancer", repeats=16)
    loose = captioned_all(["1girl, a", "1girl, b", "x, y"], folder="10_loose")
    assert triggers_of([*riho, *dancer, *loose]) == ["riho", "kkdancer"]
    assert exposures([*riho, *dancer], ["riho", "kkdancer"])[0][1] == Exposure(("kkdancer",), 2, 32)


def test_a_trigger_that_falls_behind() -> None:
    (found,) = exposure_findings(
        [Exposure(("a",), 50, 100), Exposure(("b",), 5, 20), Exposure(("c",), 50, 60)]
    )
    assert found.code == "trigger-imbalance"
    assert "`b` is seen 20 times an epoch, another trigger 100 times" in found.what
    assert "5 times the repeats" in found.todo


def test_framing() -> None:
    texts = ["sks, portrait"] * 9 + ["sks, full body", "sks, hat"]
    training = captioned_all(texts)
    known = framings(training)
    assert framing_table(known, [one.item.path for one in training]) == {"full": 1, "head": 9, "unknown": 1}
    (found,) = framing_findings(known)
    assert (found.code, len(found.paths)) == ("one-framing", 9)
    assert framing_findings(framings(captioned_all(["portrait"] * 5 + ["full body"] * 5))) == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("36-riho", (36, "riho")),
        ("36 riho", (36, "riho")),
        ("36. riho", (36, "riho")),
        ("36 _riho", (36, "riho")),
        ("36＿リホ", (36, "リホ")),
        (" 36_riho", (36, "riho")),
        ("x36_riho", (36, "riho")),
        ("36x_riho", (36, "riho")),
        ("_36_riho", (36, "riho")),
        ("(36)_riho", (36, "riho")),
        ("[36] riho", (36, "riho")),
        ("riho_36", (36, "riho")),
        ("0_riho", (1, "riho")),
        ("36_riho", None),
        ("10_kk_dancer", None),
        ("riho", None),
        ("riho_37", None),
        ("2girls", None),
        ("2023-01-05", None),
        ("2023-01-05 party", None),
        ("v1.5", None),
        ("猫", None),
        ("", None),
    ],
)
def test_folder_names(name: str, meant: tuple[int, str] | None) -> None:
    assert meant_as_repeats(name) == meant


def test_folder_findings() -> None:
    (found,) = folder_findings(["data/36-riho", "data/36-riho", "data/10_x"])
    assert (found.code, found.paths) == ("not-repeats", ("data/36-riho",))
    assert "`36_riho`" in found.todo
    assert folder_findings([f"data/part_{i}" for i in range(1, 11)]) == []
