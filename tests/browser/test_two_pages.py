"""Two people at one program: what one does the other sees, live, after a reload, and when a model goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.browser.chromium import Chromium, Page
from tests.browser.served import Served, ready, show
from tests.jobs.made_work import short_run

pytestmark = [pytest.mark.browser, pytest.mark.slow]
RUN = "sdDreambooth.store.get('run')"
LOSSES = f"{RUN}.losses.map((one) => one.slice(0, 2))"


def step(page: Page) -> int:
    return int(page.js(f"{RUN}.step"))


def test_two_pages_see_the_same_run(browser: Chromium, served: Served, pictures: Path) -> None:
    first, second = served.open(browser), served.open(browser)
    settings = short_run(pictures, "4000 steps")
    first.js(
        f"""(() => {{const db = sdDreambooth; db.store.put("newName", "shared");
        db.store.put("values", db.schema.flat({json.dumps(settings)}));}})()"""
    )
    first.press("#dreambooth_train")
    first.wait(f"{RUN} && {RUN}.model === 'shared' && {RUN}.step > 2")
    # The other looks at the queue, and follows it live.
    show(second, "queue")
    second.press_text("Look", "#dreambooth_panel_queue")
    second.wait(f"{RUN} && {RUN}.model === 'shared' && {RUN}.step > 2")
    seen = step(second)
    second.wait(f"{RUN}.step > {seen}")
    assert second.js("document.querySelector('#dreambooth_panel_progress').checkVisibility()")
    # What one asks for, both are told.
    second.press("#dreambooth_pause")
    first.wait(f"{RUN}.isPaused")
    second.wait(f"{RUN}.isPaused && {RUN}.step === {step(first)}")
    assert first.text("#dreambooth_pause") == "Go on"
    # In the middle of it one page is loaded anew: complete again.
    first.reload()
    ready(first)
    first.wait(f"{RUN} && {RUN}.isPaused && {RUN}.model === 'shared'")
    assert first.js(LOSSES) == second.js(LOSSES)
    assert [one[0] for one in first.js(LOSSES)] == list(range(1, step(second) + 1))
    first.press("#dreambooth_pause")
    second.wait(f"!{RUN}.isPaused && {RUN}.step > {step(first)}")
    first.press("#dreambooth_cancel")
    first.press_text("At once, without saving", ".dreambooth-dialog")
    for page in (first, second):
        page.wait(f"{RUN}.finished")
        page.wait("sdDreambooth.store.get('queue').entries.every((one) => one.status === 'ended')")
        assert page.errors == []

    # One deletes the model that the other has chosen.
    first.js("sdDreambooth.api.ask('DELETE', 'models/shared')")
    show(second, "results")
    second.wait(
        "document.querySelector('.dreambooth-saying').innerText.includes('shared is not there any more.')"
    )
    assert second.js("document.querySelector('#dreambooth_model').value") == ""
    assert "Choose a model" in second.text("#dreambooth_panel_results")
    # What was on its form can still be trained, under the same name.
    assert second.js("sdDreambooth.models.wantedName()") == "shared"
    for page in (first, second):
        page.close()
