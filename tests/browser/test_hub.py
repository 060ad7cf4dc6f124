"""A model made from a name of the hub: asked about, fetched, there."""

from __future__ import annotations

import pytest

from lib_dreambooth.assets import MINI_CHECKPOINT
from tests.browser.chromium import Chromium
from tests.browser.served import Served, show
from tests.jobs.made_hub import serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_create_from_the_hub(browser: Chromium, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as hub:
        hub.models["me/mini"] = {"from-the-hub.safetensors": MINI_CHECKPOINT.read_bytes()}
        monkeypatch.setattr("lib_dreambooth.jobs.hub.hub_of", lambda endpoint: (hub.address, {}))
        page = served.open(browser)
        show(page, "create")
        page.type("#dreambooth_create_name", "fetched")
        page.type("#dreambooth_create_base", "me/mini")
        page.press("#dreambooth_create")
        page.wait("document.querySelector('dialog.dreambooth-dialog')")
        assert "me/mini" in page.text("dialog.dreambooth-dialog")
        page.press_text("Download", "dialog.dreambooth-dialog")
        page.wait("sdDreambooth.store.get('model') === 'fetched'")
        bases = page.js("sdDreambooth.store.get('bases').map((one) => one.name)")
        assert "from-the-hub.safetensors" in bases
        assert page.errors == []
        page.close()
