"""One small SD1 and SDXL model for this folder's tests; who changes one changes it back."""

from __future__ import annotations

import pytest

from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from tests.models.tiny import tiny_sd1, tiny_sdxl


@pytest.fixture(scope="session")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return read_model(tiny_sd1(tmp_path_factory.mktemp("sd1")))


@pytest.fixture(scope="session")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return read_model(tiny_sdxl(tmp_path_factory.mktemp("sdxl")))
