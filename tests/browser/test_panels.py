"""Each panel in both themes and every language: it opens without an error, and its words are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_dreambooth.ui.words import catalogue, languages
from tests.browser.chromium import Chromium
from tests.browser.served import Served, kept_picture, ready, set_field, show

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PANELS = ("start", "create", "dataset", "training", "progress", "results", "queue", "import", "try")
TITLES = ("Start", "Create", "Dataset", "Training", "Progress", "Results", "Queue", "Import", "Try it")
WIDTHS = (1280, 1920)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_panel_opens(browser: Chromium, served: Served, theme: str, tmp_path: Path) -> None:
    page = served.open(browser, theme)
    assert page.js("document.body.classList.contains('dark')") == (theme == "dark")
    for panel in PANELS:
        show(page, panel)
        for width in WIDTHS:
            page.resize(width, 900)
            # Nothing is cut off at the side.
            assert page.js("document.documentElement.scrollWidth") <= width, (panel, width)
        page.resize(WIDTHS[0], 900)
        kept_picture(page, f"{panel}-{theme}", tmp_path)
    assert page.errors == []
    page.close()


@pytest.mark.parametrize("language", languages())
def test_every_language_is_shown(browser: Chromium, served: Served, language: str, tmp_path: Path) -> None:
    other = Served(tmp_path, language)
    try:
        page = other.open(browser)
        words = catalogue(language)["words"]
        tabs = page.js("[...document.querySelectorAll('.dreambooth-tab')].map((one) => one.textContent)")
        assert tabs == [words[title] for title in TITLES]
        show(page, "training")
        label = catalogue(language)["labels"]["Learning Rate"]
        assert f"Learning Rate（{label}）" in page.text("#dreambooth_panel_training")
        for panel in ("start", "training"):
            show(page, panel)
            kept_picture(page, f"{panel}-{language}", tmp_path)
        assert page.errors == []
        page.close()
    finally:
        other.close()


def test_tabs_are_reached_by_keys(browser: Chromium, served: Served) -> None:
    page = served.open(browser)
    page.press("#dreambooth_tab_start")
    page.key("ArrowRight", 39)
    page.wait("document.querySelector('#dreambooth_panel_create').checkVisibility()")
    assert page.js("document.activeElement.id") == "dreambooth_tab_create"
    page.close()


def test_what_was_typed_outlives_a_reload(browser: Chromium, served: Served) -> None:
    page = served.open(browser)
    set_field(page, "network.rank", "21")
    page.wait("sessionStorage.getItem('dreambooth_form').includes('21')")
    page.reload()
    ready(page)
    assert page.js("sdDreambooth.schema.value('network.rank')") == 21
    page.close()
