"""A run from the page: paused, gone on with, stopped in its three ways, taken up again, and after a crash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth.jobs import memory
from tests.browser.chromium import Chromium, Page
from tests.browser.served import Served, kept_picture, ready, show
from tests.jobs.made_work import short_run
from tests.jobs.test_stopped import killed

pytestmark = [pytest.mark.browser, pytest.mark.slow]
RUN = "sdDreambooth.store.get('run')"
QUEUE = "sdDreambooth.store.get('queue').entries"
SHEET = ".dreambooth-sheet"
WAYS = "#dreambooth_panel_training .dreambooth-offers"
LONG = 4000


def begin(page: Page, name: str, folder: Path, steps: int = LONG) -> None:
    """Fills in a form that trains for long, and presses Train."""
    settings = short_run(folder, f"{steps} steps", previews={"prompts": ["a ring"]})
    page.js(
        f"""(() => {{const db = sdDreambooth; db.store.put("newName", {json.dumps(name)});
        db.store.put("values", db.schema.flat({json.dumps(settings)}));}})()"""
    )
    page.press("#dreambooth_train")
    page.wait(f"{RUN} && {RUN}.model === {json.dumps(name)} && {RUN}.step > 2")


def stop(page: Page, way: str) -> None:
    """Cancels in one of the three ways."""
    page.press("#dreambooth_cancel")
    page.press_text(way, ".dreambooth-dialog")
    page.wait(f"{RUN}.finished")
    page.wait(f"{QUEUE}.every((one) => one.status === 'ended')")


def again(page: Page, way: str) -> str:
    """Presses Train on a model that was trained, and one of its answers; gives what was asked."""
    page.press("#dreambooth_train")
    page.wait(f"document.querySelector('{SHEET}')")
    asked = page.text(SHEET)
    page.press(f"#dreambooth_again_{way}")
    page.wait(f"!document.querySelector('{SHEET}')")
    return asked


def test_a_run_is_paused_stopped_and_taken_up_again(
    browser: Chromium, served: Served, pictures: Path
) -> None:
    page = served.open(browser)
    begin(page, "long", pictures)
    page.press("#dreambooth_pause")
    page.wait("document.querySelector('.dreambooth-head').innerText.includes('Paused')")
    held = page.js(f"{RUN}.step")
    page.reload()
    ready(page)
    page.wait(f"{RUN} && {RUN}.isPaused && {RUN}.model === 'long'")
    assert page.text("#dreambooth_pause") == "Go on"
    assert page.js(f"{RUN}.step") == held
    page.press("#dreambooth_pause")
    page.wait(f"!{RUN}.isPaused && {RUN}.step > {held}")

    # Files for use from a run that goes on.
    page.press("#dreambooth_generate")
    page.press("#dreambooth_wanted_checkpoint")
    page.press("#dreambooth_make_wanted")
    kinds = "(sdDreambooth.store.get('results') || []).filter((one) => one.preview).map((one) => one.kind)"
    page.wait(f"['adapter', 'checkpoint'].every((one) => {kinds}.includes(one))")
    assert page.js(f"{RUN}.finished") is None

    stop(page, "At the end of this epoch, and save")
    epoch = page.js(f"[{RUN}.finished.outcome, {RUN}.step % {RUN}.stepsPerEpoch]")
    assert epoch == ["done", 0]
    before = page.js(f"{RUN}.step")
    assert f"long was trained before: {before:,} steps." in again(page, "rest")
    page.wait(f"!{RUN}.finished && {RUN}.step > {before}")
    stop(page, "After this step, and save")
    assert page.js(f"{RUN}.finished.outcome") == "cancelled"
    before = page.js(f"{RUN}.step")
    # Each step is on the curve once, whatever came between.
    assert page.js(f"{RUN}.losses.map((one) => one[0])") == list(range(1, before + 1))

    # What was typed since counts for what is gone on with.
    page.js("sdDreambooth.field.set('rates.learning_rate', 5e-4)")
    page.press("#dreambooth_train")
    page.wait(f"document.querySelector('{SHEET}')")
    told = page.text(SHEET)
    assert f"{before:,} of {LONG:,} steps are saved" in told and "Learning Rate = 0.0005" in told
    page.type("#dreambooth_more_steps", "3")
    page.press("#dreambooth_again_more")
    page.wait(f"{RUN}.finished && {RUN}.step === {before + 3}")
    assert page.js(f"{RUN}.rates.unet.slice(-1)[0]") == [before + 3, 5e-4]
    page.wait(f"{QUEUE}.every((one) => one.status === 'ended')")

    again(page, "over")
    page.wait(f"!{RUN}.finished && {RUN}.step > 0 && {RUN}.step < {before}")
    files = served.host.paths.adapters.rglob("long*.safetensors")
    saved = {path.name for path in files}
    stop(page, "At once, without saving")
    assert page.js(f"{RUN}.finished.outcome") == "discarded"
    assert {path.name for path in served.host.paths.adapters.rglob("long*.safetensors")} == saved
    assert page.errors == []
    page.close()


def test_nothing_is_done_unasked_and_more_is_made_of_a_run(
    browser: Chromium, served: Served, pictures: Path
) -> None:
    page = served.open(browser)
    begin(page, "few", pictures, 4)
    page.wait(f"{RUN}.finished && {QUEUE}.every((one) => one.status === 'ended')")
    count = page.js(f"{QUEUE}.length")
    # A question that is closed trains nothing, and the focus is where it was.
    page.press("#dreambooth_train")
    page.wait(f"document.querySelector('{SHEET}')")
    assert page.js("document.activeElement.closest('.dreambooth-sheet') !== null")
    page.key("Escape", 27)
    page.wait(f"!document.querySelector('{SHEET}')")
    assert page.js("document.activeElement.id") == "dreambooth_train"
    assert page.js(f"{QUEUE}.length") == count

    # Generate Ckpt takes no step.
    page.press("#dreambooth_generate")
    page.press("#dreambooth_make_checkpoint")
    made = "(sdDreambooth.store.get('results') || []).filter((one) => one.kind === 'checkpoint')"
    page.wait(f"{made}.length === 1")
    assert page.js(f"{made}[0].step") == 4
    # It has a picture beside it.
    page.wait(f"{made}[0].preview")
    page.wait(f"{QUEUE}.every((one) => one.status === 'ended')")

    # Again in the queue asks as Train does.
    show(page, "queue")
    row = page.js(f"{QUEUE}.find((one) => one.model === 'few' && one.action === 'train').id")
    count = page.js(f"{QUEUE}.length")
    page.press_text("Again", f'.dreambooth-queued[data-id="{row}"]')
    page.wait(f"document.querySelector('{SHEET}')")
    assert "few was trained before: 4 steps." in page.text(SHEET)
    page.key("Escape", 27)
    page.wait(f"!document.querySelector('{SHEET}')")
    assert page.js(f"{QUEUE}.length") == count
    page.press_text("Again", f'.dreambooth-queued[data-id="{row}"]')
    page.type("#dreambooth_more_steps", "2")
    page.press("#dreambooth_again_more")
    page.wait(f"{QUEUE}.some((one) => one.more_steps === 2 && one.status === 'ended' && one.step === 6)")

    # A copy with another value of a setting, found by its kohya name, once it was asked.
    page.press_text("Duplicate with a change", f'.dreambooth-queued[data-id="{row}"]')
    page.type("#dreambooth_change_name", "network_dim")
    page.press("#dreambooth_change_add")
    page.type(f'{SHEET} [data-path="network.rank"] input', "3")
    page.press("#dreambooth_change_queue")
    page.wait("document.querySelector('#dreambooth_again_over')")
    assert "Network Rank" in page.text(SHEET)
    page.press("#dreambooth_again_over")
    page.wait(f"{QUEUE}.filter((one) => one.model === 'few' && one.action === 'train').length === 2")
    copy = served.worker.queue.line().entries[-1]
    assert "\nrank = 3\n" in copy.settings
    assert served.worker.wait(60)
    assert page.errors == []
    page.close()


def test_what_broke_off_is_offered_again(browser: Chromium, served: Served) -> None:
    killed(served.host.paths.models, "broken off")
    page = served.open(browser)
    sentence = "broken off stopped while training, at step 70 of 300. It can go on after step 60."
    page.wait("document.querySelector('.dreambooth-said')")
    assert sentence in page.text(".dreambooth-saying")
    show(page, "queue")
    assert sentence in page.text(".dreambooth-stopped")
    page.press_text("Look", ".dreambooth-stopped")
    page.wait(f"{RUN} && {RUN}.step === 70")
    page.wait("document.querySelector('.dreambooth-warnings').innerText.includes('one picture is blurred.')")
    show(page, "queue")
    page.press_text("Discard", ".dreambooth-stopped")
    page.press_text("Discard", ".dreambooth-dialog")
    page.wait("!document.querySelector('.dreambooth-stopped')")
    page.close()


def test_own_presets_are_kept_replaced_renamed_and_removed(browser: Chromium, served: Served) -> None:
    page = served.open(browser)
    names = "sdDreambooth.store.get('presets').filter((one) => one.is_own).map((one) => one.name)"
    show(page, "training")
    assert page.js("document.querySelector('#dreambooth_delete_preset').checkVisibility()") is False
    for rank, is_there in ((5, False), (6, True)):
        page.js(f"sdDreambooth.field.set('network.rank', {rank})")
        page.press("#dreambooth_keep_preset")
        if is_there:
            # The chosen one's name stands there already.
            assert page.js("document.querySelector('#dreambooth_preset_name').value") == "Mine <b>"
        page.type("#dreambooth_preset_name", "Mine <b>")
        page.press("#dreambooth_preset_save")
        if is_there:
            page.press_text("Replace", ".dreambooth-dialog")
        page.wait("!document.querySelector('#dreambooth_keep_preset').hasAttribute('aria-busy')")
        page.wait(
            f"document.querySelector('#dreambooth_preset').value === 'Mine <b>' && {names}.length === 1"
        )
    folder = served.host.paths.dreambooth / ".presets"
    page.wait("document.querySelector('.dreambooth-saying').innerText.includes('Mine <b>')")
    assert "\nrank = 6\n" in (folder / "Mine b.toml").read_text(encoding="utf-8")
    page.press("#dreambooth_rename_preset")
    page.type("#dreambooth_preset_name", "Yours")
    page.press("#dreambooth_preset_save")
    page.wait(f"{names}.join() === 'Yours' && document.querySelector('#dreambooth_preset').value === 'Yours'")
    page.press("#dreambooth_delete_preset")
    page.press_text("Delete", ".dreambooth-dialog")
    page.wait(f"{names}.length === 0")
    assert list(folder.iterdir()) == []
    assert page.js("document.querySelector('#dreambooth_delete_preset').checkVisibility()") is False
    assert page.errors == []
    page.close()


def test_the_performance_wizard_shows_what_it_changes_and_does_nothing_else(
    browser: Chromium, served: Served
) -> None:
    page = served.open(browser)
    show(page, "training")
    named = page.text("#dreambooth_panel_training")
    for name in ("Training Wizard (Person)", "Training Wizard (Object/Style)", "Performance Wizard"):
        assert name in named
    base = next(served.host.paths.checkpoints.glob("*.safetensors"))
    page.js(f"sdDreambooth.field.set('model.base', {json.dumps(str(base))})")
    page.js("sdDreambooth.field.set('memory.attention', 'sliced')")
    page.js("sdDreambooth.field.set('precision.mixed', 'no')")
    page.js("sdDreambooth.field.set('rates.learning_rate', 3e-4)")
    page.press("#dreambooth_performance")
    page.wait("document.querySelector('#dreambooth_card')")
    page.choose("#dreambooth_card", "6 GB")
    page.wait(f"document.querySelector('{SHEET} table').innerText.includes('Memory Attention')")
    # What costs something is only offered.
    assert "rounded more coarsely" in page.text(SHEET)
    page.press(f"{SHEET} .dreambooth-choice input")
    page.wait(f"document.querySelector('{SHEET} table').innerText.includes('Mixed Precision')")
    page.press("#dreambooth_apply_performance")
    value = "sdDreambooth.schema.value"
    page.wait(f"{value}('memory.attention') === 'auto' && {value}('precision.mixed') === 'auto'")
    assert page.js(f"{value}('rates.learning_rate')") == 3e-4
    assert page.errors == []
    page.close()


def test_what_would_fit_stands_below_the_memory_and_is_taken_by_a_press(
    browser: Chromium, served: Served, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of whole weights, so that there is something to offer.
    monkeypatch.setattr(memory, "room_on", lambda device: 330_000_000)
    asked: list[bool] = []
    forecast_of = memory.forecast_of

    def noted(*given: Any, **how: Any) -> memory.Told:
        asked.append(how["offering"])
        return forecast_of(*given, **how)

    monkeypatch.setattr(memory, "forecast_of", noted)
    page = served.open(browser)
    given = {"concepts.0.folder": str(pictures), "network.kind": "none", "pictures.resolution": "64"}
    given |= {"previews.every": "never", "previews.at_end": False, "length.batch_size": 2}
    given["model.base"] = str(next(served.host.paths.checkpoints.glob("*.safetensors")))
    for path, value in given.items():
        page.js(f"sdDreambooth.field.set({json.dumps(path)}, {json.dumps(value)})")
    show(page, "training")
    page.wait(f"document.querySelector({json.dumps(WAYS)})")
    kept_picture(page, "offers")
    assert asked[-2:] == [False, True]
    assert "too little" in page.text("#dreambooth_panel_training .dreambooth-plan-problem")
    offer = page.js("sdDreambooth.store.get('forecast').offers[0]")
    page.press(f"{WAYS} button")
    (path, value), *_ = offer["changes"].items()
    page.wait(f"sdDreambooth.schema.value({json.dumps(path)}) === {json.dumps(value)}")
    assert page.errors == []
    page.close()


LISTENER = """window.tones = [];
window.AudioContext = class {
    constructor() { this.currentTime = 0; this.destination = {}; }
    createOscillator() {
        const tone = { frequency: { value: 0 }, connect: (next) => next, stop() {} };
        tone.start = () => window.tones.push(tone.frequency.value);
        return tone;
    }
    createGain() { return { gain: { value: 0 }, connect: (next) => next }; }
};"""


def test_the_title_follows_and_a_sound_ends_only_where_they_are_wanted(
    browser: Chromium, served: Served, pictures: Path
) -> None:
    page = served.open(browser)
    page.js(LISTENER)
    title = page.js("document.title")
    begin(page, "silent", pictures)
    assert page.js("document.title") == title
    show(page, "progress")
    # Both can be switched while a run is under way.
    page.press("#dreambooth_title_option")
    page.wait("/^● \\d+ % silent$/.test(document.title)")
    page.press("#dreambooth_title_option")
    page.wait(f"document.title === {json.dumps(title)}")
    stop(page, "At once, without saving")
    assert page.js("window.tones") == []
    page.press("#dreambooth_title_option")
    page.press("#dreambooth_sound_option")
    page.js("sdDreambooth.store.put('model', '')")
    begin(page, "loud", pictures)
    page.wait("document.title.endsWith(' % loud')")
    stop(page, "At once, without saving")
    assert page.js("window.tones") == [660, 880]
    assert page.js("document.title") == title
    assert page.errors == []
    page.js("['sound', 'title'].forEach((one) => localStorage.removeItem(`dreambooth_${one}`))")
    page.close()
