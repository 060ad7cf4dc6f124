"""The six journeys of docs/journeys.md, each to a picture, with as many presses as are told there.

On the standalone page they train a few steps. In a running WebUI they take what the page proposes:
`WEBUI_URL=http://127.0.0.1:7860 WEBUI_MODELS=WEBUI/models python run.py test tests/browser/test_journeys.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.browser import journeys
from tests.browser.chromium import Chromium
from tests.browser.served import Served
from tests.browser.walking import Place, Standalone, Walk, Webui
from tests.hosts import webui
from tests.jobs.made_work import short_run

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
TOLD = ROOT / "docs" / "journeys.md"
JAPANESE = "ja_JP"
NIGHT, EARLY = "night", "early"
LONGEST_S = 120
IN_WEBUI = bool(webui.WEBUI_URL and webui.WEBUI_MODELS)


@pytest.fixture
def place(served: Served) -> Place:
    return Webui() if IN_WEBUI else Standalone(served)


@pytest.fixture
def walk(browser: Chromium, place: Place, request: pytest.FixtureRequest) -> Iterator[Walk]:
    found = place.open(browser, request.node.name.removeprefix("test_"))
    yield found
    found.page.close()


def told(title: str) -> str:
    """Presses and boxes in the table of the document."""
    rows = [row.split("|") for row in TOLD.read_text(encoding="utf-8").splitlines() if row.startswith("|")]
    row = next(row for row in rows if title in row[1])
    return row[3 if IN_WEBUI else 2].strip()


def check(walk: Walk, title: str) -> None:
    assert walk.told() == told(title)
    assert walk.page.errors == []


def test_a_beginner(walk: Walk, place: Place, tmp_path: Path) -> None:
    journeys.beginner(walk, place, tmp_path)
    check(walk, "beginner")


def test_a_user_of_kohya(walk: Walk, place: Place, tmp_path: Path) -> None:
    journeys.kohya_user(walk, place, tmp_path)
    check(walk, "kohya")


@pytest.mark.skipif(IN_WEBUI, reason="no WebUI reads an SDXL of other sizes than the published one's")
def test_an_sdxl_style(browser: Chromium, tmp_path: Path) -> None:
    # Of its own: one base that is there beside another is not chosen by itself.
    served = Served(tmp_path / "served")
    place = Standalone(served)
    journeys.put_xl(place)
    walk = place.open(browser, "an_sdxl_style")
    journeys.sdxl_style(walk, place, tmp_path)
    check(walk, "SDXL")
    walk.page.close()
    served.close()


def test_a_word_and_a_network(walk: Walk, place: Place, tmp_path: Path) -> None:
    journeys.word_and_network(walk, place, tmp_path)
    check(walk, "Word and LoRA")


def test_a_reader_of_the_japanese_guide(browser: Chromium, tmp_path: Path) -> None:
    with_language = japanese_webui if IN_WEBUI else japanese_page
    for place in with_language(browser, tmp_path):
        walk = place.open(browser, "a_reader_of_the_japanese_guide")
        journeys.japanese_guide(walk, place, tmp_path)
        check(walk, "Japanese")
        walk.page.close()


def japanese_page(browser: Chromium, tmp_path: Path) -> Iterator[Place]:
    other = Served(tmp_path / "served", "ja")
    yield Standalone(other)
    other.close()


def japanese_webui(browser: Chromium, tmp_path: Path) -> Iterator[Place]:
    """The WebUI with its localization set, and as it was afterwards."""
    for language in (JAPANESE, "None"):
        webui.call("/sdapi/v1/options", {"localization": language})
        page = browser.open(webui.WEBUI_URL)
        page.wait("document.querySelector('#txt2img_prompt textarea')", 120)
        page.js("document.getElementById('settings_restart_gradio').click()")
        page.wait("document.body.innerText.trim() === 'Reloading...'")
        page.wait("document.querySelector('#txt2img_prompt textarea')", 120)
        page.close()
        if language == JAPANESE:
            yield Webui()


@pytest.mark.skipif(IN_WEBUI, reason="a WebUI that is killed does not come again by itself")
def test_the_morning_after_a_crash(browser: Chromium, tmp_path: Path) -> None:
    pictures = journeys.pictures_in(tmp_path / "pictures")
    folder = tmp_path / "models" / "dreambooth" / NIGHT
    with program(tmp_path) as address:
        values = short_run(pictures, "40 steps", saving={"state_every": "8 steps"})
        train(address, NIGHT, values)
        wait_for(lambda: steps_of(folder) > 2)
        # What a program leaves that is killed before its first state.
        shutil.copytree(folder, folder.with_name(EARLY))
        wait_for(
            lambda: (folder / "states").is_dir() and any((folder / "states").glob("step-*/manifest.json"))
        )
    assert steps_of(folder) >= 8
    served = Served(tmp_path)
    try:
        place = Standalone(served)
        walk = place.open(browser, "the_morning_after_a_crash")
        early = walk.page.text(".dreambooth-saying")
        assert "No state was saved yet: it can begin again." in early
        journeys.morning_after(walk, place, NIGHT, "It can go on after step")
        check(walk, "crash")
        walk.page.close()
    finally:
        served.close()


@contextmanager
def program(root: Path) -> Iterator[str]:
    """The page as a program of its own, which is killed."""
    line = [sys.executable, "-m", "lib_dreambooth", "ui", "--json", "--models", str(root / "models")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, cwd=root, env=environment)
    assert said.stdout is not None
    try:
        yield json.loads(said.stdout.readline())["address"]
    finally:
        said.kill()
        said.wait()
        said.stdout.close()


def train(address: str, model: str, settings: dict[str, Any]) -> None:
    """What pressing Train sends."""
    body = json.dumps({"model": model, "action": "train", "settings": settings}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}dreambooth/v1/queue", body, headers)
    with urllib.request.urlopen(request, timeout=LONGEST_S) as answer:
        assert answer.status < 300


def steps_of(folder: Path) -> int:
    """How many steps the log of a model has."""
    events = folder / "events.jsonl"
    return events.read_text(encoding="utf-8").count('"kind":"step"') if events.exists() else 0


def wait_for(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + LONGEST_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)
