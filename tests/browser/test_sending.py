"""A result goes into a WebUI's form: against a form made here, whose lists take their time."""

from __future__ import annotations

import json

import pytest

from tests.browser.chromium import Chromium, Page
from tests.browser.served import Served, ready

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.once]
NAME = "ring-000010"
# The veil over a list while it is made anew comes some time after the click, as Gradio's does. What makes
# cards anew makes checkpoints anew too, as in AUTOMATIC1111.
FORM = """(() => {
    const host = document.createElement("div");
    host.innerHTML = `<div id="txt2img_prompt"><textarea></textarea></div><button id="REFRESH"></button>
        <button id="txt2img_lora_extra_refresh_internal"></button>
        <div id="txt2img_lora_cards_html"><div class="wrap hide"></div></div>
        <div id="setting_sd_model_checkpoint"><div class="wrap hide"></div>
        <div><div class="wrap"></div></div></div>
        <div id="tabs"><div class="tab-nav"><button id="to_txt2img">txt2img</button></div></div>`;
    document.body.append(host);
    window.listings = 0;
    window.listed = [];
    window.chosen = [];
    window.shown = [];
    for (const [button, list, takes] of [
        ["REFRESH", "setting_sd_model_checkpoint", TAKES],
        ["txt2img_lora_extra_refresh_internal", "txt2img_lora_cards_html", CARDS_TAKE],
    ]) {
        const veil = host.querySelector(`#${list} > .wrap`);
        document.getElementById(button).addEventListener("click", () => {
            window.listings += 1;
            setTimeout(() => veil.classList.remove("hide"), 80);
            setTimeout(() => {
                window.listings -= 1;
                window.listed.push(list);
                veil.classList.add("hide");
            }, takes);
        });
    }
    window.selectCheckpoint = (name) => window.chosen.push([name, window.listings, [...window.listed]]);
    document.getElementById("to_txt2img").addEventListener("click", () => window.shown.push(window.listings));
})()"""
CARDS, CHECKPOINTS = "txt2img_lora_cards_html", "setting_sd_model_checkpoint"


def send(page: Page, kind: str, sending: dict[str, object]) -> None:
    one = {"kind": kind, "name": NAME}
    page.js(f"sdDreambooth.webui.send({json.dumps(one)}, {json.dumps({'text': '', **sending})})")
    page.wait("window.shown.length")


def form(page: Page, refresh: str, takes_ms: int, cards_take_ms: int) -> None:
    ready(page)
    made = FORM.replace("REFRESH", refresh).replace("CARDS_TAKE", str(cards_take_ms))
    page.js(made.replace("TAKES", str(takes_ms)))


@pytest.mark.parametrize(
    ("refresh", "takes_ms", "cards_take_ms"),
    [("refresh_sd_model_checkpoint", 1500, 300), ("forge_refresh_checkpoint", 150, 900)],
)
def test_a_checkpoint_is_chosen_when_lists_are_there(
    browser: Chromium, served: Served, refresh: str, takes_ms: int, cards_take_ms: int
) -> None:
    page = served.open(browser)
    form(page, refresh, takes_ms, cards_take_ms)
    send(page, "checkpoint", {"checkpoint": NAME, "prompt": "a ring"})
    [[name, listings, listed]] = page.js("window.chosen")
    assert (name, listings, sorted(listed)) == (NAME, 0, sorted([CARDS, CHECKPOINTS]))
    assert page.js("window.shown") == [0]
    assert page.js("document.querySelector('#txt2img_prompt textarea').value") == "a ring"


def test_a_network_is_shown_when_lists_are_there(browser: Chromium, served: Served) -> None:
    page = served.open(browser)
    form(page, "refresh_sd_model_checkpoint", 100, 1200)
    send(page, "adapter", {"prompt": f"a ring, <lora:{NAME}:1>"})
    assert page.js("[window.shown, window.listed, window.chosen]") == [[0], [CARDS], []]
    assert "<lora:" in str(page.js("document.querySelector('#txt2img_prompt textarea').value"))
