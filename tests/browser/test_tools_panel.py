"""Tools in the page: into a checkpoint, to a smaller rank, and side by side at strengths."""

from __future__ import annotations

import json

import pytest

from lib_dreambooth.jobs.orders import create_model
from tests.api.test_tools_routes import write_lora
from tests.browser.chromium import Chromium, Page
from tests.browser.served import Served, kept_picture, ready, show
from tests.jobs.made_runs import MadeRun

pytestmark = [pytest.mark.browser, pytest.mark.slow]
MODEL, FILE = "ring", "riho-000010"


@pytest.fixture(scope="module", autouse=True)
def result(served: Served) -> None:
    """A model whose run made a LoRA."""
    paths = served.host.paths
    folder = create_model(paths, MODEL, next(paths.checkpoints.glob("*.safetensors")))
    run = MadeRun(folder)
    run.start("r1")
    run.sample(10, prompts=("a red circle on a blue background",))
    run.save(10, paths.adapters)
    run.log.close()
    write_lora(paths.adapters / f"{FILE}.safetensors")


def opened(browser: Chromium, served: Served, theme: str = "light") -> Page:
    page = served.open(browser, theme)
    page.js(f"sdDreambooth.models.choose({json.dumps(MODEL)}, true)")
    show(page, "results")
    page.wait(card(FILE, found=True))
    return page


def card(name: str, *, found: bool = False) -> str:
    selector = f'.dreambooth-result[data-name="{name}"]'
    return f"document.querySelector({json.dumps(selector)})" if found else selector


def test_merge_and_resize_from_a_card(browser: Chromium, served: Served) -> None:
    page = opened(browser, served)
    page.press_text("Resize rank", card(FILE))
    page.wait("document.querySelector('.dreambooth-sheet')")
    kept_picture(page, "resize-light")
    page.press_text("Resize", ".dreambooth-sheet .dreambooth-row")
    page.wait(card(f"{FILE}-small", found=True))
    assert "of the change is gone" in page.text(".dreambooth-saying")
    page.press_text("Merge to checkpoint", card(FILE))
    page.wait("document.querySelector('.dreambooth-sheet')")
    kept_picture(page, "merge-light")
    page.press_text("Merge", ".dreambooth-sheet .dreambooth-row")
    page.wait(card(f"{FILE}-merged", found=True))
    assert "Checkpoint" in page.text(card(f"{FILE}-merged"))
    names = [path.name for path in served.host.paths.checkpoints.glob("*.safetensors")]
    assert f"{FILE}-merged.safetensors" in names
    # What was merged can be trained on.
    assert f"{FILE}-merged.safetensors" in page.js("sdDreambooth.store.get('bases').map((one) => one.name)")
    # A name that is taken is said, nothing is written over.
    page.press_text("Merge to checkpoint", card(FILE))
    page.press_text("Merge", ".dreambooth-sheet .dreambooth-row")
    page.wait("document.querySelector('.dreambooth-said-problem')")
    assert page.errors == []
    page.close()


def test_a_picture_has_its_place_before_it_is_there(browser: Chromium, served: Served) -> None:
    page = opened(browser, served)
    page.js(
        """(() => {const places = {results: null, "sheet-made": {width: 300, height: 200}};
        for (const [place, size] of Object.entries(places)) {
        const beside = document.createElement("div");
        beside.className = `dreambooth-${place} of-the-test`;
        beside.append(sdDreambooth.pictures.figure("data:,", "", size));
        document.querySelector("#dreambooth_panel_results").append(beside);}})()"""
    )
    boxes = page.js(
        """[...document.querySelectorAll(".of-the-test img")].map((one) => one.getBoundingClientRect())
        .map((box) => [box.width, box.height])"""
    )
    assert boxes[0][0] == boxes[0][1] > 100
    assert boxes[1] == [300, 200]
    assert page.errors == []
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_strengths_side_by_side(browser: Chromium, served: Served, theme: str) -> None:
    page = opened(browser, served, theme)
    page.press(".dreambooth-compare summary")
    page.wait("document.querySelector('#dreambooth_compare_prompt').value.startsWith('a red circle')")
    page.type("#dreambooth_compare_strengths", "0, 1")
    page.type("#dreambooth_compare_steps", "2")
    # The base stands beside what came of it.
    last = ".dreambooth-compare-files label:last-child"
    assert "the one it was trained on" in page.text(last)
    page.press(f"{last} input")
    before = page.js("document.querySelectorAll('.dreambooth-sheet-made').length")
    page.press("#dreambooth_compare")
    page.wait(f"document.querySelectorAll('.dreambooth-sheet-made img').length === {before + 1}", 120)
    # Pictures out of sight are not loaded.
    page.js("document.querySelector('.dreambooth-sheet-made img').scrollIntoView()")
    page.wait("document.querySelector('.dreambooth-sheet-made img').naturalWidth > 256")
    kept_picture(page, f"compare-{theme}")
    page.reload()
    ready(page)
    show(page, "results")
    page.wait(f"document.querySelectorAll('.dreambooth-sheet-made img').length === {before + 1}")
    page.press_text("Delete", ".dreambooth-sheet-made")
    page.wait(f"document.querySelectorAll('.dreambooth-sheet-made img').length === {before}")
    assert page.errors == []
    page.close()
