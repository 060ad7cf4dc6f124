"""The page by keys alone: every control is reached, none holds the focus, and a run is started from Start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import Chromium, Page
from tests.browser.served import Served

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PANELS = ("start", "create", "dataset", "training", "progress", "results", "queue", "import", "try")
SHIFT = 8
# What Tab has to reach, in the order of the page: one of a group of radio buttons.
WANTED = """(() => {
  const root = document.querySelector("#dreambooth_root");
  const all = [...root.querySelectorAll("button, input, select, textarea, summary, a[href], [tabindex]")];
  const isIn = (one) => one.checkVisibility({checkVisibilityCSS: true}) && !one.disabled && one.tabIndex >= 0;
  all.forEach((one) => delete one.dataset.stop);
  const wanted = all.filter((one) => isIn(one) && (one.type !== "radio" || one.checked));
  wanted.forEach((one, number) => (one.dataset.stop = number));
  return wanted.length;
})()"""
HERE = "Number((document.activeElement.dataset || {}).stop ?? -1)"
ROLES = """(() => {
  const tabs = [...document.querySelectorAll("#dreambooth_root [role=tablist] > [role=tab]")];
  return tabs.map((one) => {
    const panel = document.getElementById(one.getAttribute("aria-controls"));
    const isNamed = panel.getAttribute("aria-labelledby") === one.id;
    const isChosen = one.getAttribute("aria-selected");
    return [isChosen, panel.getAttribute("role"), isNamed, panel.checkVisibility(), one.tabIndex];
  });
})()"""
MOVING = """(() => {
  const all = [...document.querySelectorAll("#dreambooth_root, #dreambooth_root *")];
  const moves = (style) => style.animationName !== "none" || style.scrollBehavior === "smooth"
    || style.transitionDuration.split(", ").some((time) => parseFloat(time) > 0);
  const parts = ["", "::before", "::after"];
  const found = all.filter((one) => parts.some((part) => moves(getComputedStyle(one, part))));
  return [found.map((one) => one.tagName + "." + one.className), document.getAnimations().length];
})()"""


def stops(page: Page, count: int, modifiers: int = 0) -> list[int]:
    """Where Tab comes by, until it leaves the place of the page or begins anew."""
    found: list[int] = []
    for _ in range(count + 1):
        here = int(page.js(HERE))
        if here < 0 or here in found:
            break
        found.append(here)
        page.key("Tab", 9, modifiers)
    return found


def test_every_control_is_reached_and_none_holds_the_focus(browser: Chromium, served: Served) -> None:
    page = served.open(browser)
    page.js("document.querySelector('#dreambooth_tab_start').focus()")
    for number, panel in enumerate(PANELS):
        assert page.js("document.activeElement.id") == f"dreambooth_tab_{panel}"
        roles: Any = page.js(ROLES)
        shown = [
            [str(n == number).lower(), "tabpanel", True, n == number, 0 if n == number else -1]
            for n in range(9)
        ]
        assert roles == shown
        count = int(page.js(WANTED))
        page.js("document.querySelector('#dreambooth_root [data-stop=\"0\"]').focus()")
        assert stops(page, count) == list(range(count)), panel
        page.js(f"document.querySelector('#dreambooth_root [data-stop=\"{count - 1}\"]').focus()")
        page.key("Tab", 9, SHIFT)
        assert page.js(HERE) == count - 2
        page.js(f"document.querySelector('#dreambooth_tab_{panel}').focus()")
        page.key("ArrowRight", 39)
    # Around the end, and to both ends.
    assert page.js("document.activeElement.id") == "dreambooth_tab_start"
    page.key("End", 35)
    assert page.js("document.activeElement.id") == "dreambooth_tab_try"
    page.key("Home", 36)
    assert page.js("document.activeElement.id") == "dreambooth_tab_start"
    assert page.errors == []
    page.close()


def test_a_run_is_started_by_keys_alone(
    browser: Chromium, served: Served, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.worker.queue, "take", lambda: None)
    page = served.open(browser)
    page.js("document.querySelector('#dreambooth_tab_start').focus()")
    to(page, "[name=dreambooth_kind]")
    page.key("ArrowRight", 39)
    assert page.js("sdDreambooth.schema.value('network.kind')") == "none"
    page.key("ArrowLeft", 37)
    assert page.js("sdDreambooth.schema.value('network.kind')") == "lora"
    to(page, '.dreambooth-start [data-path="concepts.0.folder"] input')
    page.send("Input.insertText", text=str(pictures))
    # A folder is walked through, and left as it was.
    to(page, '.dreambooth-start [data-path="concepts.0.folder"] button.dreambooth-button')
    page.key("Enter", 13)
    page.wait("document.querySelector('.dreambooth-browse')")
    page.key("Escape", 27)
    page.wait("!document.querySelector('.dreambooth-browse')")
    for box, text in (("name", "by keys"), ("trigger", "zwx"), ("class", "ring")):
        to(page, f"#dreambooth_{box}")
        page.send("Input.insertText", text=text)
    to(page, "#dreambooth_start_train")
    page.key(" ", 32)
    page.wait("sdDreambooth.store.get('queue').entries.length === 1")
    (entry,) = served.worker.queue.line().entries
    assert entry.model == "by keys" and 'token = "zwx"' in entry.settings
    # And taken out of the queue again.
    page.wait("document.querySelector('#dreambooth_panel_progress').checkVisibility()")
    page.js("document.querySelector('#dreambooth_tab_progress').focus()")
    for _ in ("results", "queue"):
        page.key("ArrowRight", 39)
    page.wait("document.querySelector('.dreambooth-queued')")
    to(page, ".dreambooth-queued button:last-of-type")
    page.key("Enter", 13)
    page.wait("sdDreambooth.store.get('queue').entries.length === 0")
    assert page.errors == []
    page.close()


def to(page: Page, selector: str) -> None:
    """Goes on with Tab until something has the focus."""
    for _ in range(60):
        if page.js(f"document.activeElement.matches({selector!r})"):
            return
        page.key("Tab", 9)
    raise AssertionError(f"{selector} is not reached by Tab")


def test_nothing_moves(browser: Chromium, served: Served) -> None:
    page = served.open(browser)
    for preference in ("reduce", "no-preference"):
        wish = {"name": "prefers-reduced-motion", "value": preference}
        page.send("Emulation.setEmulatedMedia", features=[wish])
        for panel in PANELS:
            page.press(f"#dreambooth_tab_{panel}")
            assert page.js(MOVING) == [[], 0], (preference, panel)
    page.close()
