"""The page of a host of plain folders, served for a browser, and what a person does on it."""

from __future__ import annotations

import json
import os
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import uvicorn

from lib_dreambooth.hosts.standalone import StandaloneHost
from lib_dreambooth.hosts.ui_command import HERE, bound, made_app, put_mini
from lib_dreambooth.jobs.worker import Worker
from lib_dreambooth.ui.words import catalogue
from tests.browser.chromium import Chromium, Page

# Any that is free: of two that are bound at one moment only one could be listened at.
ANY_PORT = 0
# Where screenshots are kept, for whoever wants to look at them.
SHOTS = "DREAMBOOTH_SCREENSHOTS"


class HostIn(StandaloneHost):
    """The host whose user reads a language."""

    def __init__(self, models: Path, language: str = "en") -> None:
        super().__init__(models)
        self.told_language = language

    @property
    def language(self) -> str:
        return self.told_language


class Served:
    """The page in a thread of this process."""

    def __init__(self, root: Path, language: str = "en", users: dict[str, str] | None = None) -> None:
        self.root = root
        self.host = HostIn(root / "models", language)
        put_mini(self.host.paths)
        self.worker = Worker(self.host)
        socket = bound(HERE, ANY_PORT)
        self.address = f"http://{HERE}:{socket.getsockname()[1]}/"
        config = uvicorn.Config(made_app(self.host, self.worker, users or {}), log_level="warning")
        self.server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.server.run, args=([socket],), daemon=True)
        self._thread.start()
        while not self.server.started:
            time.sleep(0.02)

    def open(self, browser: Chromium, theme: str = "light", size: tuple[int, int] = (1280, 900)) -> Page:
        """The page, ready to be used."""
        page = browser.open(f"{self.address}?__theme={theme}", size)
        ready(page)
        return page

    def close(self) -> None:
        self.worker.close(60)
        # A page that is still open keeps its stream of events.
        self.server.should_exit = self.server.force_exit = True
        self._thread.join(20)


def ready(page: Page) -> None:
    """Waits until the page has come together, with the model that was chosen."""
    page.wait("document.querySelector('#dreambooth_root')?.getAttribute('aria-busy') === 'false'")
    page.wait("document.querySelector('#dreambooth_panel_start')")
    page.wait("document.querySelectorAll('#dreambooth_base option').length > 0")
    page.wait("window.sdDreambooth.store.get('isChecking') === false")


def in_language(page: Page, language: str) -> None:
    """The page made anew in its place with other words, as a host with another language makes it."""
    made_anew(page, "place.dataset.words = " + json.dumps(json.dumps(catalogue(language))))
    assert page.js("sdDreambooth.words.language()") == language


def made_anew(page: Page, change: str = "") -> None:
    """The place that the page stands in is another one, as where a host makes it again."""
    page.js(
        f"""(() => {{ const old = document.querySelector("#dreambooth_root"), place = old.cloneNode(false);
        place.removeAttribute("aria-busy"); {change}; old.replaceWith(place); }})()"""
    )
    ready(page)


def show(page: Page, panel: str) -> None:
    page.press(f"#dreambooth_tab_{panel}")
    page.wait(f"document.querySelector('#dreambooth_panel_{panel}').checkVisibility()")


def set_field(page: Page, path: str, value: str) -> None:
    """Finds a setting by its path in the search of the training panel and types over it."""
    show(page, "training")
    page.type("#dreambooth_search", path.replace("concepts.0", "concepts.*"))
    field = f"#dreambooth_panel_training [data-path={json.dumps(path)}]"
    page.wait(f"document.querySelector({json.dumps(field)}).checkVisibility()")
    page.type(f"{field} .dreambooth-input", value)


def values(page: Page) -> dict[str, Any]:
    """The form as the one value that is sent."""
    found = page.js("sdDreambooth.schema.nested(sdDreambooth.store.get('values'))")
    assert isinstance(found, dict)
    return found


def kept_picture(page: Page, name: str) -> None:
    """A screenshot, where a folder for them is named: in one for each version of the page's gradio."""
    folder = os.environ.get(SHOTS)
    if folder:
        page.picture(Path(folder) / f"gradio-{version('gradio')}" / f"{name}.png")
