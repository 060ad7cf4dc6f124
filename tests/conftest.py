"""What holds for every test: which run here, and that none leaves this machine."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from packaging.requirements import Requirement

SHOWN_PACKAGES = ("torch", "transformers", "diffusers", "gradio", "numpy", "pydantic")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "needs(requirement): packages the test cannot run without: 'gradio>=4'"
    )


def pytest_report_header() -> str:
    """Which environment this is; a report without it says little."""
    shown = [f"{name} {version_of(name)}" for name in SHOWN_PACKAGES if version_of(name)]
    return (
        f"environment: {os.path.basename(sys.prefix)}, Python {platform.python_version()}, {', '.join(shown)}"  # noqa: PTH119
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes begins first."""
    items.sort(key=lambda item: item.get_closest_marker("longest") is None)


def pytest_collection_finish() -> None:
    """Leaves the tests out of looks for garbage: each run asks for one, half a second of it for them."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    reason = reason_to_skip(item)
    if reason:
        pytest.skip(reason)


def reason_to_skip(item: pytest.Item) -> str | None:
    """Why this environment or this machine cannot run a test, or None."""
    for marker in item.iter_markers("needs"):
        for text in marker.args:
            unmet = unmet_requirement(text)
            if unmet:
                return unmet
    if item.get_closest_marker("browser") and not any(
        map(shutil.which, ("chromium", "google-chrome", "chrome"))
    ):
        return "needs a Chromium or Chrome on this machine"
    if item.get_closest_marker("gpu") and not has_cuda():
        return "needs a CUDA card"
    return None


def unmet_requirement(text: str) -> str | None:
    """What is missing for a requirement such as `diffusers>=0.32`, or None."""
    requirement = Requirement(text)
    installed = version_of(requirement.name)
    if installed is None:
        return f"needs {text}, which is not installed here"
    if not requirement.specifier.contains(installed, prereleases=True):
        return f"needs {text}, here is {installed}"
    return None


def version_of(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture(autouse=True, scope="session")
def stay_out_of_the_home_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the program keeps for its user on this machine is not for tests to read or write."""
    folder = str(tmp_path_factory.mktemp("home"))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
            patch.setenv(name, folder)
        yield


@pytest.fixture(autouse=True)
def stay_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test of ours reaches another machine; what would, fails here and now."""
    connect = socket.socket.connect

    def connect_here(self: socket.socket, address: Any) -> None:
        is_remote = self.family in (socket.AF_INET, socket.AF_INET6) and not is_this_machine(address[0])
        assert not is_remote, f"a test wants to reach {address}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_here)
    yield


def is_this_machine(host: str) -> bool:
    return host in ("localhost", "::1", "0.0.0.0", "") or host.startswith("127.")
