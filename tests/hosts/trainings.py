"""Trainings in a running WebUI, over the routes of this program, on the miniature."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lib_dreambooth.tools.mini import MODEL_NAME
from tests.hosts import webui
from tests.training.made_runs import LORA, QUIET, joined

ROOT = "/dreambooth/v1"
SLOW_S = 240
SIDE = 128
PROMPT = "a red circle on a blue background"
LOOK_S = 0.1


def base() -> Path:
    """The miniature where the WebUI has it."""
    return Path(webui.WEBUI_MODELS) / "Stable-diffusion" / f"{MODEL_NAME}.safetensors"


def settings(pictures: Path, num_steps: int, **more: Any) -> dict[str, Any]:
    """A short run whose every step matters: with dropout, and a caption that is shuffled."""
    own = {
        "concepts": [{"folder": str(pictures), "class_prompt": "a ring"}],
        "length": {"train_for": f"{num_steps} steps"},
        "saving": {"at_end": ["result", "state"], "subfolder": False},
    }
    return joined(QUIET, LORA, own, more)


@dataclass
class Run:
    """One order, and where its model is."""

    name: str
    order_id: str = ""

    def order(self, values: dict[str, Any]) -> None:
        self._ask({"base": str(base()), "settings": values})

    def resume(self) -> None:
        self._ask({"action": "resume"})

    def _ask(self, body: dict[str, Any]) -> None:
        self.order_id = webui.call(f"{ROOT}/queue", {"model": self.name, **body})["entry"]["id"]

    def tell(self, command: str) -> None:
        webui.call(f"{ROOT}/models/{self.name}/commands", {"command": command})

    def progress(self) -> dict[str, Any]:
        return dict(webui.call(f"{ROOT}/models/{self.name}/progress"))

    def until(self, is_so: Callable[[dict[str, Any]], bool], timeout_s: float = SLOW_S) -> dict[str, Any]:
        """Waits for a state of the run; fails where it ended in another."""
        end = time.monotonic() + timeout_s
        while not is_so(found := self.progress()):
            assert not self.has_ended, f"ended: {found}"
            assert time.monotonic() < end, f"still: {found}"
            time.sleep(LOOK_S)
        return found

    def at_step(self, step: int) -> dict[str, Any]:
        return self.until(lambda found: found["step"] >= step and not found["outcome"])

    def ended(self, timeout_s: float = SLOW_S) -> str:
        """Waits for the end; gives how it came."""
        end = time.monotonic() + timeout_s
        while not self.has_ended:
            assert time.monotonic() < end, f"still: {self.progress()}"
            time.sleep(LOOK_S)
        return str(self.entry()["outcome"])

    @property
    def has_ended(self) -> bool:
        return bool(self.entry()["outcome"])

    def entry(self) -> dict[str, Any]:
        """The order as the queue has it."""
        entries = webui.call(f"{ROOT}/queue")["entries"]
        return next(one for one in entries if one["id"] == self.order_id)

    def results(self) -> list[dict[str, Any]]:
        return list(webui.call(f"{ROOT}/models/{self.name}/results"))


def idle() -> None:
    """Waits until nothing is under way."""
    end = time.monotonic() + SLOW_S
    while webui.call(f"{ROOT}/status")["job"] is not None:
        assert time.monotonic() < end, "the run does not end"
        time.sleep(LOOK_S)


def picture(prompt: str = PROMPT, **more: Any) -> np.ndarray:
    """What txt2img makes of a prompt, always with the same seed."""
    return webui.txt2img(
        **{"prompt": prompt, "seed": 5, "steps": 8, "cfg_scale": 4, "width": SIDE, "height": SIDE} | more
    )[-1]


def upscaled(pixels: np.ndarray) -> np.ndarray:
    """The same, twice as large, from the Extras tab."""
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG")
    body = {"image": base64.b64encode(written.getvalue()).decode("ascii"), "upscaling_resize": 2}
    answer = webui.call("/sdapi/v1/extra-single-image", body | {"upscaler_1": "Lanczos"})
    with Image.open(io.BytesIO(base64.b64decode(answer["image"]))) as opened:
        return np.asarray(opened.convert("RGB"))


@cache
def handler(button: str) -> int:
    """The number of what a click on a button of the WebUI's page calls."""
    page = webui.call("/config")
    ids = {one["id"]: one["props"].get("elem_id") for one in page["components"]}
    for number, one in enumerate(page["dependencies"]):
        targets = [target[0] if isinstance(target, list) else target for target in one["targets"]]
        if button in [ids.get(target) for target in targets]:
            return number
    raise AssertionError(f"the page has no {button}")


def press(button: str, *values: Any) -> Any:
    """A click, as the page does it."""
    return webui.call("/run/predict", {"fn_index": handler(button), "data": values, "session_hash": "tests"})


def count_tokens(prompt: str) -> str:
    return str(press("txt2img_token_button", prompt, 20, [])["data"][0])


def choose(**options: Any) -> None:
    webui.call("/sdapi/v1/options", options)


@contextmanager
def chosen(**options: Any) -> Iterator[None]:
    """Settings of the WebUI for a block."""
    before = {name: webui.call("/sdapi/v1/options").get(name) for name in options}
    choose(**options)
    try:
        yield
    finally:
        choose(**before)


@dataclass
class Timed:
    """Calls from many threads, and how long each took."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def call(self, work: Callable[[], object]) -> None:
        begun = time.monotonic()
        try:
            work()
        except (OSError, urllib.error.URLError, AssertionError) as error:
            self.errors.append(str(error))
        self.seconds.append(time.monotonic() - begun)

    def all(self, works: list[Callable[[], object]], *, spread_s: float = 0.0) -> None:
        """All at once, or spread over a time."""
        threads = []
        for work in works:
            thread = threading.Thread(target=self.call, args=(work,), daemon=True)
            thread.start()
            threads.append(thread)
            time.sleep(spread_s / len(works))
        for thread in threads:
            thread.join(SLOW_S)


def answers() -> bool:
    """Whether the WebUI is there with our routes."""
    try:
        with urllib.request.urlopen(f"{webui.WEBUI_URL}{ROOT}/status", timeout=10) as answer:
            return "job" in json.loads(answer.read())
    except (OSError, ValueError):
        return False
