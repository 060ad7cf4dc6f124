"""Names with markup and script in them are shown as text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lib_dreambooth.assets.shapes import subject
from lib_dreambooth.runs.events import Finished, Phase, Warned
from tests.browser.chromium import Chromium
from tests.browser.served import Served, set_field, show
from tests.jobs.made_runs import MadeRun, a_folder

pytestmark = [pytest.mark.browser, pytest.mark.slow]
MARKUP = "<img src=x onerror=window.hacked=1>"
SCRIPT = "<script>window.hacked=1</script>"


def test_pictures_and_captions_are_text(browser: Chromium, served: Served, tmp_path: Path) -> None:
    folder = tmp_path / "<b onmouseover=window.hacked=1>"
    subject.write_subject(folder)
    first = sorted(folder.glob("*.png"))[0]
    first.with_suffix(".txt").unlink()
    first = first.rename(folder / f"{MARKUP}.png")
    (folder / f"{MARKUP}.txt").write_text(f"{SCRIPT}, a ring", encoding="utf-8")
    page = served.open(browser)
    set_field(page, "concepts.0.folder", str(folder))
    set_field(page, "concepts.0.token", SCRIPT)
    show(page, "dataset")
    page.press("#dreambooth_look")
    page.wait("document.querySelectorAll('.dreambooth-item').length === 8")
    shown = page.text(".dreambooth-dataset")
    assert f"{MARKUP}.png" in shown
    assert SCRIPT in shown
    harmless(page)


def harmless(page: object) -> None:
    assert page.js("window.hacked === undefined")  # type: ignore[attr-defined]
    inside = "#dreambooth_root script, #dreambooth_root [onerror], #dreambooth_root [onmouseover]"
    assert page.js(f"document.querySelectorAll('{inside}').length") == 0  # type: ignore[attr-defined]


def test_a_refused_name_is_text(browser: Chromium, served: Served) -> None:
    page = served.open(browser)
    show(page, "create")
    page.type("#dreambooth_create_name", MARKUP)
    page.type("#dreambooth_create_base", f"/nowhere/{SCRIPT}")
    page.press("#dreambooth_create")
    page.wait("document.querySelector('.dreambooth-said-problem')")
    harmless(page)


def test_a_recipe_with_markup_is_text(browser: Chromium, served: Served, tmp_path: Path) -> None:
    recipe = tmp_path / "config.toml"
    recipe.write_text(
        f'output_name = "{MARKUP}"\nunknown_key = "{SCRIPT}"\nlearning_rate = 1e-4\n', encoding="utf-8"
    )
    page = served.open(browser)
    show(page, "import")
    page.give_files("#dreambooth_import_file", [recipe])
    page.wait("document.querySelector('#dreambooth_take_import')")
    assert SCRIPT in page.text("#dreambooth_panel_import")
    harmless(page)
    page.press("#dreambooth_take_import")
    page.wait("sdDreambooth.schema.value('metadata.name') !== ''")
    harmless(page)


def test_the_metadata_of_a_lora_is_text(browser: Chromium, served: Served, tmp_path: Path) -> None:
    lora = tmp_path / "found.safetensors"
    told = {"ss_output_name": MARKUP, "ss_sd_model_name": SCRIPT, "ss_network_module": "networks.lora"}
    told |= {
        "ss_learning_rate": "1e-4",
        "ss_network_dim": "4",
        "ss_tag_frequency": json.dumps({MARKUP: {SCRIPT: 1}}),
    }
    save_file({"lora_unet_a.lora_down.weight": torch.zeros(4, 4)}, lora, told)
    page = served.open(browser)
    show(page, "import")
    page.give_files("#dreambooth_import_file", [lora])
    page.wait("document.querySelector('#dreambooth_take_import')")
    assert MARKUP in page.text("#dreambooth_panel_import")
    harmless(page)


def test_what_a_log_tells_is_text(browser: Chromium, served: Served) -> None:
    folder = a_folder(served.host.paths.models, "told")
    run = MadeRun(folder)
    run.start("r1")
    run.tell(Phase(name=SCRIPT, done=1, total=2, detail=MARKUP), Warned(text=MARKUP, where=SCRIPT, code="a"))
    run.tell(Finished(outcome=SCRIPT, step=1, what=MARKUP, todo=SCRIPT))
    run.log.close()
    page = served.open(browser)
    page.choose("#dreambooth_model", "told")
    show(page, "progress")
    page.wait(f"document.querySelector('.dreambooth-warnings').innerText.includes({json.dumps(MARKUP)})")
    assert MARKUP in page.text(".dreambooth-head")
    harmless(page)
