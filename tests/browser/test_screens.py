"""Every panel as it is seen: nothing cut off, overlapping, unreadable, nameless; pictures for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth.jobs.orders import create_model
from lib_dreambooth.ui.words import catalogue, languages
from tests.api.test_tools_routes import write_lora
from tests.browser.chromium import Chromium, Page
from tests.browser.seen import faults, hidden_focus, nameless
from tests.browser.served import Served, in_language, kept_picture, set_field, show
from tests.jobs.made_runs import MadeRun
from tests.jobs.test_stopped import killed

pytestmark = [pytest.mark.browser, pytest.mark.slow]
WIDTHS = (1280, 1920)
HEIGHT = 900
MODEL, STOPPED = "ring", "broken off"
RECIPE = (
    'output_name = "riho"\nnetwork_dim = 16\nlearning_rate = 1e-4\nunknown_key = 3\nmax_train_steps = 1200\n'
)
PANELS = (
    "start", "create", "dataset", "training", "training-all", "progress", "results", "queue", "import", "try",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def something_to_see(served: Served, pictures: Path) -> None:
    """A run with curves, previews, warnings and a file; one that broke off; runs that wait."""
    paths = served.host.paths
    base = next(paths.checkpoints.glob("*.safetensors"))
    run = MadeRun(create_model(paths, MODEL, base))
    run.start("r1", total=120)
    for step in (40, 80, 120):
        run.steps(step - 39, step, every=2)
        run.sample(step)
        run.validate(step)
    run.save(120, paths.adapters)
    run.log.close()
    write_lora(paths.adapters / "riho-000120.safetensors")
    killed(paths.models, STOPPED)


def opened(browser: Chromium, served: Served, pictures: Path, theme: str) -> Page:
    """The page with pictures chosen, a run to look at, and one waiting in the queue."""
    page = served.open(browser, theme, (WIDTHS[0], HEIGHT))
    page.js(f"sdDreambooth.models.choose({json.dumps(MODEL)})")
    page.wait("(sdDreambooth.store.get('results') || []).length > 0")
    set_field(page, "concepts.0.folder", str(pictures))
    page.type("#dreambooth_search", "")
    if not served.worker.queue.line().entries:
        page.js(
            """(async () => {
            const settings = sdDreambooth.schema.nested(sdDreambooth.store.get("values"));
            for (const model of ["next one", "another"])
                await sdDreambooth.api.post("queue", {model, action: "train", starts: false, settings});
            })()"""
        )
    settled(page)
    return page


def turn_to(page: Page, panel: str, recipe: Path) -> None:
    """Opens a panel with something in it."""
    show(page, panel.removesuffix("-all"))
    wanted = str(panel.endswith("-all")).lower()
    if panel.startswith("training"):
        page.js(
            f"""(() => {{ const all = document.querySelector("#dreambooth_show_all");
            if (all.checked !== {wanted}) all.click();
            document.querySelectorAll(".dreambooth-section").forEach((one) => (one.open = true)); }})()"""
        )
    if panel == "dataset" and not page.js("document.querySelectorAll('.dreambooth-item').length"):
        page.press("#dreambooth_look")
        page.wait("document.querySelectorAll('.dreambooth-item').length === 8")
    if panel == "import" and not page.js("Boolean(document.querySelector('#dreambooth_take_import'))"):
        page.give_files("#dreambooth_import_file", [recipe])
        page.wait("document.querySelector('#dreambooth_take_import')")
    page.wait("sdDreambooth.store.get('isChecking') === false")
    page.wait("[...document.images].every((one) => one.complete || !one.checkVisibility())")


def looked_over(page: Page) -> dict[str, list[str]]:
    found = {**faults(page), "nameless": nameless(page), "hidden focus": hidden_focus(page)}
    return {kind: told for kind, told in found.items() if told}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_panel_is_seen_whole(
    browser: Chromium, served: Served, pictures: Path, theme: str, tmp_path: Path
) -> None:
    recipe = tmp_path / "config.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    page = opened(browser, served, pictures, theme)
    assert page.js("document.body.classList.contains('dark')") == (theme == "dark")
    wrong: dict[str, Any] = {}
    for panel in PANELS:
        turn_to(page, panel, recipe)
        for width in WIDTHS:
            page.resize(width, HEIGHT)
            found = looked_over(page) if width == WIDTHS[0] else faults(page)
            wrong |= {f"{panel} at {width}": found} if found else {}
            kept_picture(page, f"{panel}-{theme}-{width}")
        page.resize(WIDTHS[0], HEIGHT)
    assert wrong == {}
    assert page.errors == []
    page.close()


def test_every_panel_is_seen_whole_in_every_language(
    browser: Chromium, served: Served, pictures: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "config.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    page = opened(browser, served, pictures, "light")
    wrong: dict[str, Any] = {}
    for language in languages():
        in_language(page, language)
        settled(page)
        label = catalogue(language)["labels"]["Learning Rate"]
        assert f"Learning Rate（{label}）" in page.js(
            "document.querySelector('#dreambooth_root').textContent"
        )
        for panel in PANELS:
            turn_to(page, panel, recipe)
            found = faults(page)
            wrong |= {f"{panel} in {language}": found} if found else {}
            kept_picture(page, f"{panel}-{language}")
    assert wrong == {}
    assert page.errors == []
    page.close()


def settled(page: Page) -> None:
    """Waits for what comes by itself: the run, what broke off, and the arithmetic."""
    page.wait(
        "document.querySelector('.dreambooth-said')"
        " && !document.querySelector('.dreambooth-small-run').hidden"
    )
    page.wait("sdDreambooth.store.get('isChecking') === false && sdDreambooth.store.get('plan')")
