"""Every control of the page changes the run that it starts, and nothing else does."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth.jobs.entries import Entry
from lib_dreambooth.jobs.orders import job_of
from lib_dreambooth.settings.convert import plain
from lib_dreambooth.settings.fields import all_fields, entries, value_at
from lib_dreambooth.settings.files import review_text
from lib_dreambooth.settings.reading import review
from lib_dreambooth.settings.schema import Run
from tests.browser.chromium import Chromium, Page
from tests.browser.odd_values import Odd, odd_values
from tests.browser.served import Served, set_field, show, values

pytestmark = [pytest.mark.browser, pytest.mark.slow]
TYPING = Path(__file__).with_name("typing.js")
# What Start chooses for each kind: the whole of what differs from the defaults.
KINDS: dict[str, dict[str, Any]] = {
    "lora": {},
    "whole": {
        "network.kind": "none",
        "rates.learning_rate": 1e-6,
        "rates.schedule": "polynomial",
        "rates.warmup": "10 %",
        "parts.text_encoder_1.rate": 0,
    },
    "word": {
        "network.kind": "none",
        "parts.unet.train": False,
        "parts.text_encoder_1.train": False,
        "parts.words.train": True,
        "words.0.name": "zwx",
    },
    "both": {"parts.words.train": True, "words.0.name": "zwx"},
}


@pytest.fixture
def held(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that begins nothing."""
    monkeypatch.setattr(served.worker.queue, "take", lambda: None)


@functools.cache
def script() -> str:
    return TYPING.read_text(encoding="utf-8").strip()


def typed(page: Page, wanted: dict[str, Odd], panel: str = "training") -> None:
    """Types into the controls of a panel, all of which have to be seen."""
    told = [[panel, path, one.typed] for path, one in wanted.items()]
    assert page.js(f"{script()}({json.dumps(told)})") == []


def all_shown(page: Page) -> None:
    """Every setting in sight."""
    show(page, "training")
    page.js(
        """(() => { const all = document.querySelector("#dreambooth_show_all");
        if (!all.checked) all.click();
        for (const one of document.querySelectorAll(".dreambooth-section")) one.open = true; })()"""
    )


def queued(page: Page, served: Served, button: str = "#dreambooth_train") -> Entry:
    """Presses Train and gives what stands in the queue then."""
    before = len(served.worker.queue.line().entries)
    page.press(button)
    page.wait(
        f"sdDreambooth.store.get('queue').entries.length === {before + 1}"
        " || document.querySelector('.dreambooth-said-problem')",
        60,
    )
    assert page.text(".dreambooth-saying") == ""
    return served.worker.queue.line().entries[-1]


def told_by(served: Served, entry: Entry) -> list[Run]:
    """The settings in the queue, and those that its run is given."""
    return [
        review_text(entry.settings, "settings.toml").accepted().run,
        job_of(served.host, entry).sourced.run,
    ]


def different(run: Run) -> dict[str, Any]:
    """Every value that is not its default, by path."""
    return {path: plain(value) for path, field, value in entries(run) if value != field.default}


def test_every_control_changes_the_run_that_it_starts(
    browser: Chromium, served: Served, pictures: Path, held: None
) -> None:
    odd = odd_values(pictures)
    page = served.open(browser)
    # The page has a control for every setting, and the walk leaves none out.
    known = page.js(
        "sdDreambooth.schema.groups().flatMap((one) => one.fields.map((field) => field['x-path']))"
    )
    assert sorted(known) == sorted(field.path for field in all_fields())
    assert {starred(path) for path in odd} == set(known)
    page.type("#dreambooth_name", "all odd")
    all_shown(page)
    page.press_text("Add a concept", "#dreambooth_panel_training")
    page.press_text("Add a word", "#dreambooth_panel_training")
    all_shown(page)
    typed(page, odd)
    entry = queued(page, served)
    assert entry.model == "all odd"
    for run in told_by(served, entry):
        found = {path: plain(value_at(run, path)) for path in odd}
        assert {path: found[path] for path, one in odd.items() if found[path] != one.meant} == {}
        assert sorted(different(run)) == sorted(odd)
    # Saved with the model and loaded again they are the same.
    page.press_text("Save Settings", ".dreambooth-top")
    page.wait("document.querySelector('.dreambooth-said-note')")
    kept = (served.host.paths.dreambooth / "all odd" / "settings.toml").read_text(encoding="utf-8")
    asked = told_by(served, entry)[0]
    assert review_text(kept, "settings.toml").accepted().run == asked
    page.js("sdDreambooth.store.put('values', {})")
    page.press_text("Load Settings", ".dreambooth-top")
    page.wait("sdDreambooth.schema.value('draws.seed') > 1")
    assert review(values(page)).accepted().run == asked
    assert page.errors == []
    page.close()


def starred(path: str) -> str:
    return path.replace(".0.", ".*.").replace(".1.", ".*.")


@pytest.mark.parametrize("kind", list(KINDS))
def test_start_asks_for_what_it_shows(
    browser: Chromium, served: Served, pictures: Path, held: None, kind: str
) -> None:
    page = served.open(browser)
    base = page.js("sdDreambooth.store.get('bases')[0]")
    page.choose("#dreambooth_base", base["label"])
    typed(page, {"concepts.0.folder": Odd(str(pictures), str(pictures))}, "start")
    page.type("#dreambooth_name", f"made as {kind}")
    page.type("#dreambooth_trigger", "zwx")
    page.type("#dreambooth_class", "ring")
    page.press(f".dreambooth-kind:has([value={kind}])")
    entry = queued(page, served, "#dreambooth_start_train")
    assert entry.model == f"made as {kind}"
    own = {"concepts.0.folder": str(pictures), "concepts.0.token": "zwx", "concepts.0.class_token": "ring"}
    wanted = KINDS[kind] | own | {"model.base": base["value"]}
    asked, given = told_by(served, entry)
    assert different(asked) == wanted
    # What was left to the host is decided there.
    assert different(given) == wanted | ({"saving.words_as": "pair"} if kind == "both" else {})
    page.close()


def test_create_and_dataset_reach_the_run(
    browser: Chromium, served: Served, pictures: Path, held: None
) -> None:
    page = served.open(browser)
    base = page.js("sdDreambooth.store.get('bases')[0].value")
    show(page, "create")
    page.type("#dreambooth_create_name", "made before")
    page.type("#dreambooth_create_base", base)
    page.press("#dreambooth_create")
    page.wait("sdDreambooth.store.get('model') === 'made before'")
    odd = odd_values(pictures)
    show(page, "dataset")
    page.press_text("Add a concept", "#dreambooth_panel_dataset")
    fields = "[...document.querySelectorAll('#dreambooth_panel_dataset [data-path]')]"
    shown = page.js(f"{fields}.map((one) => one.dataset.path)")
    wanted = {path: odd[path] for path in shown if path in odd}
    assert {starred(path) for path in wanted} == {starred(path) for path in shown}
    typed(page, wanted, "dataset")
    entry = queued(page, served)
    assert entry.model == "made before"
    for run in told_by(served, entry):
        assert different(run) == {path: one.meant for path, one in wanted.items()} | {"model.base": base}
    page.close()


def test_a_wrong_value_is_told_beside_its_field(browser: Chromium, served: Served) -> None:
    page = served.open(browser)
    set_field(page, "network.rank", "many")
    field = '#dreambooth_panel_training [data-path="network.rank"]'
    page.wait(f"document.querySelector({json.dumps(field)}).classList.contains('dreambooth-wrong')")
    assert "whole number" in page.text(f"{field} .dreambooth-problem")
    assert values(page)["network"]["rank"] == "many"


def test_a_preset_is_shown_before_it_is_applied(browser: Chromium, served: Served) -> None:
    page = served.open(browser)
    page.press("#dreambooth_tab_training")
    page.choose("#dreambooth_preset", "Person")
    page.press("#dreambooth_apply_preset")
    page.wait("document.querySelector('.dreambooth-dialog[open]')")
    assert "cosine" in page.text(".dreambooth-dialog")
    page.press_text("Apply", ".dreambooth-dialog")
    page.wait("sdDreambooth.schema.value('rates.schedule') === 'cosine'")
