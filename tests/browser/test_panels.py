"""The page as a whole: its language, its tabs, and what outlives a reload."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_dreambooth.ui.words import catalogue, languages
from tests.browser.chromium import Chromium
from tests.browser.served import Served, made_anew, ready, set_field

pytestmark = [pytest.mark.browser, pytest.mark.slow]
TITLES = ("Start", "Create", "Dataset", "Training", "Progress", "Results", "Queue", "Import", "Try it")


@pytest.mark.parametrize("language", languages()[:1])
def test_the_language_of_the_host_is_shown(browser: Chromium, tmp_path: Path, language: str) -> None:
    other = Served(tmp_path, language)
    try:
        page = other.open(browser)
        words = catalogue(language)["words"]
        tabs = page.js("[...document.querySelectorAll('.dreambooth-tab')].map((one) => one.textContent)")
        assert tabs == [words[title] for title in TITLES]
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
    # At once, before what was typed is kept by itself.
    page.js("document.activeElement.blur()")
    page.reload()
    ready(page)
    assert page.js("sdDreambooth.schema.value('network.rank')") == 21
    page.close()


def test_what_was_typed_at_the_last_moment_outlives_a_place_made_anew(
    browser: Chromium, served: Served
) -> None:
    page = served.open(browser)
    set_field(page, "network.rank", "22")
    page.wait("(sessionStorage.getItem('dreambooth_form') || '').includes('22')")
    page.js("sdDreambooth.store.forgetListeners(); sdDreambooth.field.set('network.rank', 23); null")
    made_anew(page)
    assert page.js("sdDreambooth.schema.value('network.rank')") == 23
    assert page.js("document.querySelector('[data-path=\"network.rank\"] .dreambooth-input').value") == "23"
    page.close()
