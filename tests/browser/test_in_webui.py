"""The way from the tab into txt2img of a running AUTOMATIC1111 WebUI, up to the picture that it draws.

`WEBUI_URL=http://127.0.0.1:7860 WEBUI_MODELS=WEBUI/models python run.py test tests/browser`.
"""

from __future__ import annotations

import base64
import io
import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.browser.chromium import Chromium, Page
from tests.browser.served import set_field, show
from tests.hosts import webui

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (webui.WEBUI_URL and webui.WEBUI_MODELS),
        reason="needs WEBUI_URL and WEBUI_MODELS of a running WebUI",
    ),
]
STEPS = 3
ALT, CTRL = 1, 2
# What is drawn here and there differs by less than one sees.
LIKE_DB = 35.0
NEGATIVE = "a square"
PROMPT = "#txt2img_prompt textarea"
RUN = "sdDreambooth.store.get('run')"


@pytest.fixture
def page(browser: Chromium) -> Iterator[Page]:
    found = browser.open(webui.WEBUI_URL, (1280, 1000))
    tab(found)
    yield found
    found.close()


def tab(page: Page) -> None:
    """Our tab, when it has come together."""
    page.wait("document.querySelector('#txt2img_prompt textarea') && window.sdDreambooth", 120)
    page.press_text("Dreambooth", "#tabs > .tab-nav")
    page.wait("document.querySelector('#dreambooth_panel_start')", 120)
    page.wait("sdDreambooth.store.get('isChecking') === false", 120)


def train(page: Page, kind: str, pictures: Path, steps: int = STEPS, *, is_watched: bool = True) -> str:
    """Trains a few steps of a kind by the guided way; gives the model's name."""
    name = f"t{kind}{secrets.token_hex(3)}"
    show(page, "start")
    page.press(f'input[name="dreambooth_kind"][value="{kind}"]')
    page.type("#dreambooth_name", name)
    page.type("#dreambooth_trigger", f"zw{name}")
    page.type("#dreambooth_panel_start [data-path='concepts.0.folder'] input", str(pictures))
    set_field(page, "length.train_for", str(steps))
    page.choose('#dreambooth_panel_training [data-path="length.train_for"] select', "steps")
    for path, value in {
        "previews.prompts": f"a zw{name} ring on a white background",
        "previews.negative": NEGATIVE,
        "previews.steps": "5",
        "previews.guidance": "3.5",
        "saving.every": "0",
        "logging.every": "1",
    }.items():
        set_field(page, path, value)
    page.wait("sdDreambooth.store.get('plan') && sdDreambooth.store.get('plan').total_steps")
    page.press("#dreambooth_train")
    page.wait(f"{RUN} && {RUN}.model === '{name}'")
    if not is_watched:
        return name
    page.wait(f"{RUN}.finished", 300)
    assert page.js(f"{RUN}.finished.outcome") == "done", page.js(f"{RUN}.finished")
    show(page, "results")
    page.wait("document.querySelectorAll('.dreambooth-result').length > 0")
    return name


def send(page: Page, kind: str) -> None:
    """Presses the button of the newest file of a kind."""
    name = page.js(f"sdDreambooth.store.get('results').find((one) => one.kind === '{kind}').name")
    page.press_text("Send to txt2img", f'.dreambooth-result[data-name="{name}"]')
    page.wait("document.querySelector('#tab_txt2img').checkVisibility()")
    page.wait("!document.querySelector('#txt2img_prompt textarea').value.includes('Steps:')")


def form(page: Page) -> dict[str, object]:
    """What stands in txt2img."""
    number = "Number(document.querySelector('#txt2img_%s input[type=number]').value)"
    found = page.js(
        f"""({{prompt: document.querySelector("{PROMPT}").value,
        negative: document.querySelector("#txt2img_neg_prompt textarea").value,
        steps: {number % "steps"}, guidance: {number % "cfg_scale"}, width: {number % "width"},
        seed: document.querySelector("#txt2img_seed input").value,
        sampler: document.querySelector("#txt2img_sampling input").value}})"""
    )
    assert isinstance(found, dict)
    return found


def draw(page: Page) -> str:
    """Presses Generate; the picture has to be that of the preview. Gives the text under it."""
    page.press("#txt2img_generate")
    page.wait("document.querySelector('#html_info_txt2img').innerText.includes('Steps: 5')", 300)
    page.wait("(document.querySelector('#txt2img_gallery img') || {}).naturalWidth > 0")
    drawn = pixels(page, "document.querySelector('#txt2img_gallery img').src")
    preview = pixels(page, "sdDreambooth.store.get('samples').slice(-1)[0].url")
    assert webui.psnr(drawn, preview) > LIKE_DB
    return page.text("#html_info_txt2img")


def pixels(page: Page, address: str) -> np.ndarray:
    """The picture at an address of the page."""
    text = page.js(
        f"""fetch({address}).then((answer) => answer.blob()).then((blob) => new Promise((resolve) => {{
        const reader = new FileReader(); reader.onload = () => resolve(reader.result.split(",")[1]);
        reader.readAsDataURL(blob);}}))"""
    )
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"))


def test_a_network_is_drawn_with_by_its_tag(page: Page, pictures: Path) -> None:
    name = train(page, "lora", pictures)
    send(page, "adapter")
    found = form(page)
    assert f"<lora:{name}" in str(found["prompt"]) and f"zw{name}" in str(found["prompt"])
    assert (found["negative"], found["steps"], found["guidance"], found["width"]) == (NEGATIVE, 5, 3.5, 128)
    assert "<lora:" in draw(page)


def test_a_word_is_drawn_with(page: Page, pictures: Path) -> None:
    name = train(page, "word", pictures)
    send(page, "embedding")
    assert f"zw{name}" in str(form(page)["prompt"])
    draw(page)


def test_a_word_and_a_network_are_drawn_with(page: Page, pictures: Path) -> None:
    name = train(page, "both", pictures)
    send(page, "adapter")
    prompt = str(form(page)["prompt"])
    assert f"zw{name}" in prompt and f"<lora:{name}" in prompt
    draw(page)


def test_a_checkpoint_is_chosen(page: Page, pictures: Path) -> None:
    name = train(page, "whole", pictures)
    send(page, "checkpoint")
    chosen = "document.querySelector('#setting_sd_model_checkpoint input').value"
    page.wait(f"{chosen}.startsWith({json.dumps(name)})", 120)
    assert "<lora:" not in str(form(page)["prompt"])
    assert f"Model: {name}" in draw(page)
    webui.select_checkpoint("dreambooth-mini")


def test_keys_of_the_webui_do_nothing_to_a_training(page: Page, pictures: Path) -> None:
    name = train(page, "lora", pictures, 40, is_watched=False)
    page.wait(f"{RUN}.step > 0", 120)
    for tab in ("txt2img", "Extras", "Dreambooth"):
        page.press_text(tab, "#tabs > .tab-nav")
        page.js("document.activeElement.blur()")
        page.key("Escape", 27)
        page.key("Enter", 13, modifiers=ALT)
        if tab != "txt2img":
            page.key("Enter", 13, modifiers=CTRL)
    page.wait(f"{RUN}.finished", 300)
    assert page.js(f"[{RUN}.model, {RUN}.finished.outcome, {RUN}.step]") == [name, "done", 40]


def test_a_run_outlives_reload_ui_while_others_look_and_draw(
    browser: Chromium, page: Page, pictures: Path
) -> None:
    steps = 150
    name = train(page, "lora", pictures, steps, is_watched=False)
    page.wait(f"{RUN}.step > 0", 120)
    other = browser.open(webui.WEBUI_URL, (1280, 1000))
    tab(other)
    other.wait(f"{RUN} && {RUN}.model === '{name}' && {RUN}.step > 0")

    # A picture by the WebUI's own button, while the training goes on.
    other.press_text("txt2img", "#tabs > .tab-nav")
    other.type(PROMPT, "a green circle on a white background")
    for which, value in {"steps": 5, "width": 128, "height": 128}.items():
        other.js(
            f"""(() => {{const box = document.querySelector("#txt2img_{which} input[type=number]");
            box.value = {value}; updateInput(box);}})()"""
        )
    other.press("#txt2img_generate")
    other.wait("document.querySelector('#html_info_txt2img').innerText.includes('Steps: 5')", 300)
    assert not other.js(f"Boolean({RUN}.finished)")
    drawn_at = other.js(f"{RUN}.step")

    page.js("window.isOld = true; document.getElementById('settings_restart_gradio').click()")
    page.wait("!window.isOld && document.querySelector('#txt2img_prompt textarea')", 120)
    tab(page)
    page.wait(f"{RUN} && {RUN}.model === '{name}'")
    assert page.js(f"{RUN}.losses[0][0]") == 1
    page.wait(f"{RUN}.finished", 300)
    assert page.js(f"[{RUN}.finished.outcome, {RUN}.step]") == ["done", steps]
    assert page.js(f"{RUN}.losses.map((one) => one[0])") == list(range(1, steps + 1))
    assert drawn_at < steps
    # Whoever looked on from another browser sees it, too, a while after the server is there again.
    other.wait(f"{RUN}.finished")
    other.close()
