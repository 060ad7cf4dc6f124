"""Life without a WebUI."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from lib_dreambooth.base.host import ADAPTERS, HostSettings
from lib_dreambooth.hosts import standalone
from lib_dreambooth.hosts.standalone import StandaloneHost
from lib_dreambooth.jobs.orders import results_of
from lib_dreambooth.jobs.places import Library
from tests.hosts.lines import MadeGuest, Told


def test_folders_are_those_of_the_command_line(tmp_path: Path) -> None:
    library = Library(tmp_path / "models")
    host = StandaloneHost(library.models)
    assert host.paths.dreambooth == library.dreambooth
    assert results_of(host.paths) == library.results()


def test_it_asks_for_nothing_and_does_nothing(tmp_path: Path) -> None:
    host = StandaloneHost(tmp_path)
    assert host.settings == HostSettings() and host.busy() == "" and host.name == "standalone"
    host.refresh(ADAPTERS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("system", "code"),
    [("ja_JP", "ja"), ("zh_CN", "zh-CN"), ("en_GB", "en"), ("C", ""), (None, ""), ("Japanese_Japan", "")],
)
def test_the_language_is_the_system_s(
    system: str | None, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standalone.locale, "getlocale", lambda: (system, "UTF-8"))
    assert StandaloneHost(tmp_path).language == code


def test_one_run_at_a_time(tmp_path: Path) -> None:
    host, begun = StandaloneHost(tmp_path), threading.Event()

    def second() -> None:
        with host.lend_gpu():
            begun.set()

    with host.lend_gpu():
        thread = threading.Thread(target=second, daemon=True)
        thread.start()
        assert not begun.wait(0.05)
    assert begun.wait(5)


def test_a_pause_frees_the_memory(tmp_path: Path) -> None:
    guest = MadeGuest(Told())
    host = StandaloneHost(tmp_path)
    host.yield_point(guest)
    assert guest.is_on_card
    with pytest.raises(RuntimeError), host.away(guest):
        assert not guest.is_on_card
        raise RuntimeError
    assert guest.is_on_card
