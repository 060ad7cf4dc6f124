"""The words of the page: every one that it says is in every catalogue."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from lib_dreambooth.runs.events import CANCELLED, DISCARDED, DONE, FAILED
from lib_dreambooth.settings.fields import all_fields, all_groups
from lib_dreambooth.settings.preset import listed
from lib_dreambooth.ui.words import catalogue, language_of, languages
from tests.ui import page_words, spoken

CHECKOUT = Path(__file__).resolve().parents[2]
TRAINER = CHECKOUT / "lib_dreambooth" / "training" / "trainer"
LINK = re.compile(r"\]\(([^)#:]+)\)")
PHASE = re.compile(r"[a-z]+ing( [a-z]+)*")
# How the page writes units of durations.
UNITS_SHOWN = {"percent": "%", "minutes": "min"}
# Not words for people: a sign, and names of presets that stand for a wizard's.
NOT_SHOWN = {"", "%", "GB", "Object or style", "Object/Style", "Person"}
PLACES = re.compile(r"\{(\w+)#?\}")
WRITING = {
    "ja": re.compile(r"[\u3041-\u30ff]"),
    "zh-Hans": re.compile(r"[\u4e00-\u9fff]"),
    "ko": re.compile(r"[\uac00-\ud7a3]"),
}
# Names and numbers that are written alike in every language.
SAME_EVERYWHERE = re.compile(
    r"UNet|EMA|DoRA|TF32|TensorBoard|LoRA|LoHa|LoKr|\(IA\)3|OFT|GLoRA|AdamW|Lion|Adafactor|SGD|REX|SNR|SD ..x"
    r"|SDXL|L1|L2|Smooth L1|Huber|[0-9]+|fp8|fp16|bf16|fp32|CUDA( Graphs)?|Apple|PyTorch|xFormers"
    r"|Torch Compile|Channels Last|Euler( a)?|DDIM|UniPC|DPM.*|Lanczos|\.safetensors|\.pt"
)


@pytest.mark.parametrize("language", languages())
def test_every_word_is_translated(language: str) -> None:
    words = catalogue(language)["words"]
    assert len(page_words.said()) > 100
    needed = page_words.said() | page_words.worded() | told_by_the_program()
    assert sorted(needed - words.keys() - NOT_SHOWN) == []
    assert sorted(words.keys() - page_words.texts() - told_by_the_program()) == []


def told_by_the_program() -> set[str]:
    """Words that reach the page as values: phases, outcomes, units, presets."""
    durations = [field.option for field in all_fields() if field.kind == "duration"]
    units = {UNITS_SHOWN.get(unit, unit) for option in durations for unit in (*option.units, *option.words)}
    units |= {field.option.unit for field in all_fields()}
    presets = {preset.name for preset in listed()} - NOT_SHOWN
    return units | phases() | presets | {DONE, CANCELLED, FAILED, DISCARDED}


def phases() -> set[str]:
    """What a run says that it does, as the trainer's modules name it."""
    found = {
        text
        for name in ("preparing", "epochs", "asking", "sampling", "saving", "work")
        for text in spoken.templates(TRAINER / f"{name}.py")
        if PHASE.fullmatch(text)
    }
    assert len(found) > 8, found
    return found


@pytest.mark.parametrize("language", languages())
def test_translations_keep_their_places(language: str) -> None:
    for english, own in catalogue(language)["words"].items():
        assert sorted(PLACES.findall(own)) == sorted(PLACES.findall(english)), english


def labels_of_settings() -> set[str]:
    """Every label that the form may show."""
    titles = {title for group in all_groups() for title in (group.title, group.title.removesuffix("s"))}
    fields = {field.option.label for field in all_fields()}
    return titles | fields | {label for field in all_fields() for label in field.option.choices.values()}


@pytest.mark.parametrize("language", languages())
def test_every_label_is_translated(language: str) -> None:
    own = catalogue(language)["labels"]
    needed = {field.option.label for field in all_fields()} | {group.title for group in all_groups()}
    needed |= {label for field in all_fields() for label in field.option.choices.values()}
    lacking = needed - own.keys()
    assert sorted(label for label in lacking if not SAME_EVERYWHERE.fullmatch(label)) == []
    assert sorted(own.keys() - labels_of_settings()) == []
    assert [label for label, words in own.items() if not words.strip() or words == label] == []


@pytest.mark.parametrize("language", languages())
def test_every_setting_and_section_is_explained(language: str) -> None:
    own = catalogue(language)["help"]
    paths = {field.path for field in all_fields()} | {group.path for group in all_groups()}
    assert sorted(paths - own.keys()) == []
    assert sorted(own.keys() - paths) == []
    assert [path for path, words in own.items() if not is_in(language, words)] == []


def test_what_was_translated_still_says_the_same() -> None:
    """Whoever changes an English text says it in the three languages too, and writes its new mark down."""
    english = {group.path: group.help for group in all_groups()}
    english |= {field.path: field.option.help for field in all_fields()}
    marks = {path: hashlib.sha256(text.encode()).hexdigest()[:8] for path, text in english.items()}
    translated = json.loads((Path(__file__).parent / "translated.json").read_text(encoding="utf-8"))
    assert {path: mark for path, mark in marks.items() if translated.get(path) != mark} == {}
    assert sorted(translated.keys() - marks.keys()) == []


def is_in(language: str, text: str) -> bool:
    """Whether a text has letters of the language's writing."""
    return WRITING[language].search(text) is not None


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("", ""), ("en", ""), ("None", ""), ("de_DE", ""),
        ("ja", "ja"), ("ja_JP", "ja"), ("Japanese", "ja"),
        ("zh-CN", "zh-Hans"), ("zh_CN", "zh-Hans"), ("zh-Hans", "zh-Hans"), ("zh-TW", ""), ("ko_KR", "ko"),
    ],
)  # fmt: skip
def test_hosts_call_languages_differently(name: str, meant: str) -> None:
    assert language_of(name) == meant


def test_english_needs_no_catalogue() -> None:
    assert catalogue("en") == {"language": "en"}
    assert languages() == ("ja", "ko", "zh-Hans")


@pytest.mark.parametrize("language", languages())
def test_the_readme_says_what_stands_on_the_page(language: str) -> None:
    words = catalogue(language)["words"]
    text = (CHECKOUT / f"README.{language}.md").read_text(encoding="utf-8")
    named = (
        "Start",
        "Train",
        "Training",
        "Progress",
        "Results",
        "Queue",
        "Import",
        "Send to txt2img",
        "Pause",
        "Go on",
    )
    assert [words[name] for name in named if f"*{words[name]}*" not in text] == []
    assert [link for link in LINK.findall(text) if not (CHECKOUT / link).exists()] == []
    assert f"](README.{language}.md)" in (CHECKOUT / "README.md").read_text(encoding="utf-8")
