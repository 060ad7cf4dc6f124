"""One browser and one served page for a file of tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib_dreambooth.assets.shapes import subject
from tests.browser.chromium import Chromium
from tests.browser.served import Served


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    if os.name == "nt":
        pytest.skip("needs file descriptors that a browser on Windows is not given")
    found = Chromium()
    yield found
    found.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    found = Served(tmp_path_factory.mktemp("served"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The subject that tests teach, in a folder."""
    folder = tmp_path_factory.mktemp("pictures")
    subject.write_subject(folder)
    return folder
