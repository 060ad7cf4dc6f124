"""Names with markup and script in them are shown as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_dreambooth.assets.shapes import subject
from tests.browser.chromium import Chromium
from tests.browser.served import Served, set_field, show

pytestmark = [pytest.mark.browser, pytest.mark.slow]
MARKUP = "<img src=x onerror=window.hacked=1>"
SCRIPT = "<script>window.hacked=1</script>"


def test_pictures_and_captions_are_text(browser: Chromium, served: Served, tmp_path: Path) -> None:
    folder = tmp_path / "<b onmouseover=window.hacked=1>"
    subject.write_subject(folder)
    first = sorted(folder.glob("*.png"))[0]
    first.with_suffix(".txt").unlink()
    first = first.rename(folder / f"{MARKUP}.png")
    (folder / f"{MARKUP}.txt").write_text(f"{SCRIPT}, a ring", encoding="utf-8")
    page = served.open(browser)
    set_field(page, "concepts.0.folder", str(folder))
    set_field(page, "concepts.0.token", SCRIPT)
    show(page, "dataset")
    page.press("#dreambooth_look")
    page.wait("document.querySelectorAll('.dreambooth-item').length === 8", 60)
    shown = page.text(".dreambooth-dataset")
    assert f"{MARKUP}.png" in shown
    assert SCRIPT in shown
    harmless(page)


def harmless(page: object) -> None:
    assert page.js("window.hacked === undefined")  # type: ignore[attr-defined]
    inside = "#dreambooth_root script, #dreambooth_root [onerror], #dreambooth_root [onmouseover]"
    assert page.js(f"document.querySelectorAll('{inside}').length") == 0  # type: ignore[attr-defined]


def test_a_refused_name_is_text(browser: Chromium, served: Served) -> None:
    page = served.open(browser)
    show(page, "create")
    page.type("#dreambooth_create_name", MARKUP)
    page.type("#dreambooth_create_base", f"/nowhere/{SCRIPT}")
    page.press("#dreambooth_create")
    page.wait("document.querySelector('.dreambooth-said-problem')")
    harmless(page)


def test_a_recipe_with_markup_is_text(browser: Chromium, served: Served, tmp_path: Path) -> None:
    recipe = tmp_path / "config.toml"
    recipe.write_text(
        f'output_name = "{MARKUP}"\nunknown_key = "{SCRIPT}"\nlearning_rate = 1e-4\n', encoding="utf-8"
    )
    page = served.open(browser)
    show(page, "import")
    page.give_files("#dreambooth_import_file", [recipe])
    page.wait("document.querySelector('#dreambooth_take_import')")
    assert SCRIPT in page.text("#dreambooth_panel_import")
    harmless(page)
    page.press("#dreambooth_take_import")
    page.wait("sdDreambooth.schema.value('metadata.name') !== ''")
    harmless(page)
