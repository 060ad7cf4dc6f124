"""The words of the page: every one that it says is in every catalogue."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lib_dreambooth.settings.fields import TITLES, all_fields
from lib_dreambooth.ui.words import catalogue, language_of, languages

SCRIPTS = Path(__file__).resolve().parents[2] / "javascript"
SAID = re.compile(r"""\bt\("((?:[^"\\]|\\.)*)"\s*[,)]""")
PLACES = re.compile(r"\{(\w+)\}")


def said() -> set[str]:
    return {
        words for path in SCRIPTS.glob("*.js") for words in SAID.findall(path.read_text(encoding="utf-8"))
    }


@pytest.mark.parametrize("language", languages())
def test_every_word_is_translated(language: str) -> None:
    words = catalogue(language)["words"]
    assert len(said()) > 100
    assert sorted(said() - words.keys()) == []


@pytest.mark.parametrize("language", languages())
def test_translations_keep_their_places(language: str) -> None:
    for english, own in catalogue(language)["words"].items():
        assert sorted(PLACES.findall(own)) == sorted(PLACES.findall(english)), english


@pytest.mark.parametrize("language", languages())
def test_labels_are_those_of_settings(language: str) -> None:
    known = {field.option.label for field in all_fields()} | set(TITLES.values())
    known |= {label for field in all_fields() for label in field.option.choices.values()} | {"Concept"}
    assert sorted(catalogue(language)["labels"].keys() - known) == []


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
