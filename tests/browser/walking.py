"""A person on the page, whose presses and typed boxes are counted, in the two places where the page is."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from tests.browser.chromium import Chromium, Page
from tests.browser.served import SHOTS, Served, ready
from tests.hosts import webui

RUN = "sdDreambooth.store.get('run')"
QUEUE = "sdDreambooth.store.get('queue').entries"
DOING = f"sdDreambooth.run.doing({RUN})"
LINE = ".dreambooth-start .dreambooth-plan-line"
FORM = "#dreambooth_panel_training"
SMALL = """(() => {const box = document.querySelector("#txt2img_%s input[type=number]");
    if (Number(box.value) > 128) { box.value = 128; updateInput(box); }})()"""
# Nobody's wishes, so that a test is over soon: SDXL would be drawn at 1024.
SOON = "steps: 2, width: 128, height: 128"
LONG_S = 600
TAB = "Dreambooth"
MINI = "dreambooth-mini"


class Walk:
    """One page in use. What a person does is counted; `page` is there for looking."""

    def __init__(self, page: Page, name: str) -> None:
        self.page = page
        self.name = name
        self.presses = 0
        self.boxes = 0

    def press(self, selector: str) -> None:
        self.presses += 1
        self.page.press(selector, 60)

    def press_text(self, text: str, within: str) -> None:
        self.presses += 1
        self.page.press_text(text, within, 60)

    def show(self, panel: str) -> None:
        self.press(f"#dreambooth_tab_{panel}")
        self.page.wait(f"document.querySelector('#dreambooth_panel_{panel}').checkVisibility()")

    def choose(self, selector: str, value: str) -> None:
        self.presses += 1
        self.page.choose(selector, value)

    def drop(self, selector: str, paths: list[Path]) -> None:
        self.presses += 1
        self.page.give_files(selector, paths)

    def type(self, selector: str, text: str) -> None:
        self.boxes += 1
        self.page.type(selector, text)

    def find(self, words: str, path: str) -> str:
        """A setting by its search; gives the selector of its row."""
        self.type("#dreambooth_search", words)
        row = f'{FORM} [data-path="{path}"]'
        self.page.wait(f"document.querySelector({json.dumps(row)}).checkVisibility()")
        return row

    def set(self, words: str, path: str, value: str) -> None:
        self.type(f"{self.find(words, path)} .dreambooth-input", value)

    def shorten(self, values: Mapping[str, object]) -> None:
        """Settings that nobody would change, so that a test is over soon."""
        each = "(([path, value]) => sdDreambooth.field.set(path, value))"
        self.page.js(f"Object.entries({json.dumps(values)}).forEach{each}")

    def line(self, words: str) -> str:
        """Waits for words in the line above Train, and gives all of that card."""
        self.page.wait(f"document.querySelector('{LINE}').innerText.includes({json.dumps(words)})")
        self.page.wait("sdDreambooth.store.get('isChecking') === false")
        return self.page.text(".dreambooth-start .dreambooth-go")

    def follow(self, model: str) -> None:
        self.page.wait(f"{RUN} && {RUN}.model === {json.dumps(model)}")

    def ended(self, model: str, outcome: str = "done") -> None:
        """Waits for the end of a model's run, its report included."""
        self.follow(model)
        self.page.wait(f"{RUN}.finished", LONG_S)
        assert self.page.js(f"{RUN}.finished.outcome") == outcome, self.page.js(f"{RUN}.finished")
        ours = f"{QUEUE}.filter((one) => one.model === {json.dumps(model)})"
        self.page.wait(f"{ours}.length && {ours}.every((one) => one.status === 'ended')")
        self.page.wait(f"document.querySelector('.dreambooth-head').textContent.includes({DOING})")

    def picture(self, number: int) -> None:
        """What is on the screen, kept where a folder for that is named."""
        if os.environ.get(SHOTS):
            self.page.picture(Path(os.environ[SHOTS]) / f"{self.name}-{number}.png", full=False)

    def told(self) -> str:
        """How much it took."""
        presses = f"{self.presses} press{'' if self.presses == 1 else 'es'}"
        return f"{presses}, {self.boxes} box{'' if self.boxes == 1 else 'es'}"


class Standalone:
    """The page of this program alone, with folders of its own: *Try it* draws."""

    sends = "Try it"
    is_quick = True

    def __init__(self, served: Served) -> None:
        self.served = served
        self.checkpoints = served.host.paths.checkpoints

    def open(self, browser: Chromium, name: str) -> Walk:
        return Walk(self.served.open(browser), name)

    def free(self, name: str) -> str:
        return name

    def send(self, walk: Walk, wanted: str) -> str:
        """Presses Try it; waits until the prompt, or the checkpoint, holds what is wanted."""
        walk.press(".dreambooth-top .dreambooth-button:last-child")
        stands = "document.querySelector('#dreambooth_try_prompt').value"
        chosen = "document.querySelector('#dreambooth_try_base').value"
        walk.page.wait(f"({stands} + {chosen}).includes({json.dumps(wanted)})")
        return str(walk.page.js(stands))

    def draw(self, walk: Walk) -> None:
        draw = f"((draw) => (wish) => draw({{...wish, {SOON}}}))(sdDreambooth.routes.draw)"
        walk.page.js(f"sdDreambooth.routes.draw = {draw}")
        walk.press("#dreambooth_try_draw")
        walk.page.wait("(document.querySelector('.dreambooth-tried img') || {}).naturalWidth > 0", 200)


class Webui:
    """The tab of a running WebUI: txt2img draws."""

    sends = "Send to txt2img"
    is_quick = False

    def __init__(self, theme: str = "light") -> None:
        self.checkpoints = Path(webui.WEBUI_MODELS) / "Stable-diffusion"
        self.theme = theme

    def open(self, browser: Chromium, name: str) -> Walk:
        page = browser.open(f"{webui.WEBUI_URL}/?__theme={self.theme}", (1280, 900))
        page.wait("document.querySelector('#txt2img_prompt textarea') && window.sdDreambooth", 120)
        walk = Walk(page, name)
        walk.press_text(TAB, "#tabs > .tab-nav")
        ready(page)
        return walk

    def free(self, name: str) -> str:
        """A name that no model has yet: a walk begins with a new one."""
        taken = {one["name"] for one in webui.call("/dreambooth/v1/models")}
        return next(
            one for one in [name, *(f"{name}{number}" for number in range(2, 99))] if one not in taken
        )

    def send(self, walk: Walk, wanted: str) -> str:
        """Presses Send to txt2img; waits until the prompt, or the checkpoint, holds what is wanted."""
        walk.press(".dreambooth-top .dreambooth-button:last-child")
        walk.page.wait("document.querySelector('#tab_txt2img').checkVisibility()", 120)
        stands = "document.querySelector('#txt2img_prompt textarea').value"
        chosen = "document.querySelector('#setting_sd_model_checkpoint input').value"
        walk.page.wait(f"!{stands}.includes('Steps:')")
        walk.page.wait(f"({stands} + {chosen}).includes({json.dumps(wanted)})", 120)
        return str(walk.page.js(stands))

    def draw(self, walk: Walk) -> None:
        # Where a run drew no preview the form has the WebUI's own size, which takes a CPU minutes.
        for side in ("width", "height"):
            walk.page.js(SMALL % side)
        walk.press("#txt2img_generate")
        walk.page.wait("(document.querySelector('#txt2img_gallery img') || {}).naturalWidth > 0", LONG_S)
        walk.page.wait("document.querySelector('#html_info_txt2img').innerText.includes('Steps:')")
        walk.page.wait("document.querySelector('#txt2img_interrupt').style.display !== 'block'")


Place = Standalone | Webui
