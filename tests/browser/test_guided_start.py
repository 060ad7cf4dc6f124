"""The guided start: what was typed is trained, across a reload. The way on to a picture: test_journeys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lib_dreambooth.settings.convert import plain
from lib_dreambooth.settings.fields import entries
from lib_dreambooth.settings.files import review_text
from lib_dreambooth.ui.words import catalogue
from tests.browser.chromium import Chromium
from tests.browser.served import Served, kept_picture, ready, set_field, show

pytestmark = [pytest.mark.browser, pytest.mark.slow]
RUN = "sdDreambooth.store.get('run')"
TYPED = {
    "concepts.0.token": "zwx",
    "length.train_for": "12 steps",
    "previews.prompts": ["a zwx ring on a white background"],
    "previews.steps": 4,
    "logging.every": 1,
}
# Where the pictures that were dropped lie, the one base there is, and what is left to the run.
DECIDED = {"concepts.0.folder", "model.base", "pictures.resolution", "draws.seed"}


def test_pictures_become_a_network(browser: Chromium, served: Served, pictures: Path) -> None:
    page = served.open(browser)
    page.give_files("#dreambooth_files", sorted(pictures.iterdir()))
    page.wait("(sdDreambooth.schema.value('concepts.0.folder') || '').includes('.pictures')")
    page.type("#dreambooth_name", "ring")
    page.type("#dreambooth_trigger", "zwx")
    set_field(page, "length.train_for", "12")
    page.choose('#dreambooth_panel_training [data-path="length.train_for"] select', "steps")
    set_field(page, "previews.prompts", "a zwx ring on a white background")
    set_field(page, "previews.steps", "4")
    set_field(page, "logging.every", "1")
    show(page, "start")
    page.wait(
        "document.querySelector('.dreambooth-start .dreambooth-plan-line').innerText.includes('= 12 steps')",
        60,
    )
    assert "8 pictures x 1 repeat = 8 visits" in page.text(".dreambooth-start .dreambooth-plan-line")
    assert "1 x State" in page.text(".dreambooth-start .dreambooth-reasons")
    # The same in another language, and what stands in the way of a run beside its field before it starts.
    page.js(f"sdDreambooth.words.use({json.dumps(catalogue('ja'))}); sdDreambooth.plan.check()")
    page.wait(
        "document.querySelector('.dreambooth-start .dreambooth-reasons').innerText.includes('1 x 状態')"
    )
    page.js(f"sdDreambooth.words.use({json.dumps(catalogue('en'))}); sdDreambooth.plan.check()")
    set_field(page, "network.include", "unet.middel*")
    page.wait("sdDreambooth.store.get('problems').some((one) => one.where === 'network.include')")
    assert "`unet.mid_block" in page.js("sdDreambooth.store.get('problems')[0].todo")
    set_field(page, "network.include", "")
    page.wait("!sdDreambooth.store.get('problems').length")
    show(page, "start")
    kept_picture(page, "start")

    page.press("#dreambooth_start_train")
    page.wait("document.querySelector('#dreambooth_panel_progress').checkVisibility()")
    page.wait(f"{RUN} && {RUN}.losses.length > 2", 120)
    page.reload()
    ready(page)
    page.wait(f"{RUN} && {RUN}.losses.length > 2")
    assert page.js(f"{RUN}.model") == "ring"
    page.wait(f"{RUN}.finished", 240)
    assert page.js(f"{RUN}.finished.outcome") == "done"
    # What was typed stands in the settings of the run, and nothing else differs.
    (copy,) = (served.host.paths.dreambooth / "ring" / "history").glob("*.toml")
    run = review_text(copy.read_text(encoding="utf-8"), copy.name).accepted().run
    found = {path: plain(value) for path, field, value in entries(run) if value != field.default}
    assert {path: value for path, value in found.items() if path not in DECIDED} == TYPED
    # Every step is there once, in its order, across the reload.
    assert page.js(f"{RUN}.losses.map((one) => one[0])") == list(range(1, 13))
    page.wait("document.querySelectorAll('.dreambooth-preview-row img').length > 0")
    page.wait("[...document.querySelectorAll('.dreambooth-preview-row img')].every((one) => one.complete)")
    kept_picture(page, "progress")

    show(page, "queue")
    page.wait(
        "document.querySelector('#dreambooth_panel_queue').innerText.includes('done, after 12 steps')", 60
    )
    assert page.errors == []


def test_train_says_why_it_cannot_start(browser: Chromium, served: Served) -> None:
    page = served.open(browser)
    page.type("#dreambooth_name", "nothing")
    page.press("#dreambooth_start_train")
    page.wait("document.querySelector('.dreambooth-said-problem')")
    assert "Dataset Directory" in page.text(".dreambooth-saying")
    folder = '.dreambooth-start [data-path="concepts.0.folder"]'
    page.wait(f"document.querySelector({json.dumps(folder)}).classList.contains('dreambooth-wrong')")
    assert "Name its folder" in page.text(f"{folder} .dreambooth-problem")


# A check that was under way answers after Train was refused: what Train said stays until a setting changes.
SLOW_CHECKS = """
window.answered = 0;
const { check } = sdDreambooth.routes;
sdDreambooth.routes.check = async (...asked) => {
    const found = await check(...asked);
    await new Promise((done) => (window.answerNow = done));
    window.answered += 1;
    return found;
};
sdDreambooth.plan.check();
"""


def test_a_late_check_does_not_wipe_what_train_said(browser: Chromium, served: Served) -> None:
    page = served.open(browser)
    page.js(f"(() => {{ {SLOW_CHECKS} }})()")
    page.wait("window.answerNow")
    page.type("#dreambooth_name", "nothing")
    page.press("#dreambooth_start_train")
    wrong = """document.querySelector('.dreambooth-start [data-path="concepts.0.folder"].dreambooth-wrong')"""
    page.wait(wrong)
    page.js("window.answerNow()")
    page.wait("window.answered > 0 && !sdDreambooth.store.get('isChecking')")
    assert page.js(f"Boolean({wrong})")
    page.js(
        "sdDreambooth.store.put('values', {...sdDreambooth.store.get('values'), 'rates.learning_rate': 2e-4})"
    )
    page.wait("window.answerNow")
    page.wait(f"(window.answerNow(), !{wrong})")
