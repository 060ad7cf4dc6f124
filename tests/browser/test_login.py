"""A page that others reach: nothing is shown or done before somebody has logged in."""

from __future__ import annotations

import base64
from pathlib import Path

import httpx
import pytest

from tests.browser.chromium import Chromium
from tests.browser.served import Served, ready

pytestmark = [pytest.mark.browser, pytest.mark.slow]
WHO, WORD = "riho", "correct horse"


def test_others_come_in_with_a_password(browser: Chromium, tmp_path: Path) -> None:
    served = Served(tmp_path, users={WHO: WORD})
    try:
        page = browser.open(served.address)
        page.wait("document.body")
        assert not page.js("Boolean(document.querySelector('#dreambooth_root'))")
        for path in ("dreambooth/v1/about", "dreambooth/v1/models", "dreambooth/page/style.css"):
            assert httpx.get(f"{served.address}{path}").status_code == 401
        page.send("Network.enable")
        secret = base64.b64encode(f"{WHO}:{WORD}".encode()).decode()
        page.send("Network.setExtraHTTPHeaders", headers={"Authorization": f"Basic {secret}"})
        page.go(served.address)
        ready(page)
        assert page.js("sdDreambooth.routes.models().then((found) => found.length)") == 0
        page.close()
    finally:
        served.close()
