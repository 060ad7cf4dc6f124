"""A result goes into a WebUI's form: against a form made here, whose list of checkpoints takes its time."""

from __future__ import annotations

import json

import pytest

from tests.browser.chromium import Chromium
from tests.browser.served import Served, ready

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.once]
NAME = "ring-000010"
# The veil over the list while it is made anew comes some time after the click, as Gradio's does.
FORM = """(() => {
    const host = document.createElement("div");
    host.innerHTML = `<div id="txt2img_prompt"><textarea></textarea></div><button id="REFRESH"></button>
        <div id="setting_sd_model_checkpoint"><div class="wrap hide"></div>
        <div><div class="wrap"></div></div></div>`;
    document.body.append(host);
    const veil = host.querySelector("#setting_sd_model_checkpoint > .wrap");
    window.isListed = false;
    window.chosen = [];
    host.querySelector("button").addEventListener("click", () => {
        setTimeout(() => veil.classList.remove("hide"), 80);
        setTimeout(() => { window.isListed = true; veil.classList.add("hide"); }, TAKES);
    });
    window.selectCheckpoint = (name) => window.chosen.push([name, window.isListed]);
})()"""


@pytest.mark.parametrize(
    ("refresh", "takes_ms"), [("refresh_sd_model_checkpoint", 1500), ("forge_refresh_checkpoint", 150)]
)
def test_a_checkpoint_is_chosen_when_the_list_is_there(
    browser: Chromium, served: Served, refresh: str, takes_ms: int
) -> None:
    page = served.open(browser)
    ready(page)
    page.js(FORM.replace("REFRESH", refresh).replace("TAKES", str(takes_ms)))
    one, sending = {"kind": "checkpoint", "name": NAME}, {"checkpoint": NAME, "prompt": "a ring", "text": ""}
    page.js(f"sdDreambooth.webui.send({json.dumps(one)}, {json.dumps(sending)})")
    page.wait("window.chosen.length")
    assert page.js("window.chosen") == [[NAME, True]]
    page.wait("document.querySelector('#txt2img_prompt textarea').value === 'a ring'")
