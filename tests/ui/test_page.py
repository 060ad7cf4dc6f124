"""The page as gradio gets it, and the scripts beside it."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lib_dreambooth.ui.page import ROOT, place
from lib_dreambooth.ui.words import catalogue

CHECKOUT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((CHECKOUT / "javascript").glob("*.js"))
STYLE = CHECKOUT / "style.css"


class Roots(HTMLParser):
    """The attributes of the element that the page is put into."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [dict(attrs)] if dict(attrs).get("id") == ROOT else []


@pytest.mark.parametrize("language", ["en", "ja", "zh-CN", "ko"])
def test_the_place_carries_the_words(language: str) -> None:
    parser = Roots()
    parser.feed(place(language))
    (root,) = parser.found
    assert json.loads(root["data-words"] or "") == catalogue(language)


def test_words_cannot_leave_their_attribute() -> None:
    text = place("ja")
    inside = text.split('data-words="', 1)[1].split('"', 1)[0]
    assert json.loads(html.unescape(inside))["language"] == "ja"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_leak_nothing(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    body = "\n".join(line for line in text.splitlines() if not line.startswith("//")).strip()
    assert body.startswith("(function () {") and body.endswith("})();")
    # One name in the page, and no markup from values.
    assert set(re.findall(r"\bwindow\.(\w+) *=(?!=)", text)) <= {"sdDreambooth"}
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
    )


def test_style_stays_inside_the_tab() -> None:
    text = re.sub(r"/\*.*?\*/", "", STYLE.read_text(encoding="utf-8"), flags=re.DOTALL)
    selectors = [one.strip() for head in re.findall(r"([^{}]+)\{", text) for one in head.split(",")]
    own = ("#dreambooth_root", ".dreambooth-", "@media", "@supports")
    assert [one for one in selectors if not one.startswith(own)] == []


def test_colours_come_from_the_theme() -> None:
    text = re.sub(r"/\*.*?\*/", "", STYLE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b(?=\s*[;)])", text) == []
