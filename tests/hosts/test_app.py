"""The program in a WebUI: what is there once, and what at each load of scripts."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth import app
from lib_dreambooth.hosts import placeholder
from tests.hosts.standins import A1111, StandIn, stand_in

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "diffusers", "transformers", "gradio", "numpy", "PIL", "msgspec", "fastapi")
SCRIPT = ROOT / "scripts" / "dreambooth.py"


@pytest.fixture
def webui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    monkeypatch.setattr(app, "_here", None)
    return stand_in(A1111, tmp_path, monkeypatch)


def test_the_script_runs_at_every_load_and_the_program_is_there_once(webui: StandIn) -> None:
    path = list(sys.path)
    found = []
    for _ in range(2):
        webui.callbacks.of.clear()
        names = runpy.run_path(str(SCRIPT))
        assert issubclass(names["DreamboothTurns"], webui.scripts.Script)
        assert issubclass(names["DreamboothExtras"], webui.scripts_postprocessing.ScriptPostprocessing)
        assert len(webui.callbacks.of["on_ui_tabs"]) == 1
        found.append(app._here)
    assert found[0] is found[1] is not None
    assert sys.path == path


def test_a_second_copy_of_the_extension_says_so_and_stays_out(
    webui: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = tmp_path / "sd-webui-dreambooth-main" / "scripts" / "dreambooth.py"
    assert app.in_webui(str(copy)) == (None, None)
    assert "installed twice" in caplog.text and str(copy.parent.parent) in caplog.text
    assert webui.callbacks.of == {}


def test_nothing_heavy_is_imported_when_scripts_are_loaded() -> None:
    import subprocess

    code = (
        "import sys; import lib_dreambooth.app; from lib_dreambooth.hosts import webui, registration;"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_the_page_and_the_routes_come_without_the_worker(
    webui: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It brings the whole engine's settings, a tenth of a second of every start."""
    from fastapi import FastAPI

    from lib_dreambooth.ui import page

    monkeypatch.setattr(app.InWebui, "worker", property(lambda self: pytest.fail("the worker was made")))
    monkeypatch.setattr(page, "build", lambda host, worker=None, token="": (host.name, worker, bool(token)))
    app.in_webui(str(SCRIPT))
    assert app._here is not None
    assert app._here.tab() == ("the WebUI", None, True)
    app._here.mount(FastAPI())


def test_what_is_missing_is_said_where_the_page_would_be(
    webui: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "what_is_off", lambda: ["training: off. It needs <diffusers>."])
    monkeypatch.setattr(placeholder, "placeholder", placeholder.text)
    app.in_webui(str(SCRIPT))
    assert app._here is not None
    page = app._here.tab()
    assert "It needs &lt;diffusers&gt;." in page and "install.py" in page and "--skip-install" in page
    # No routes: every one of them would fail.
    app._here.mount(NoApp())


class NoApp:
    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was asked for")
