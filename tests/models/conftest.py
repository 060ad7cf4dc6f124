"""One small checkpoint of each family for this folder's tests; not to be written to."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from tests.models.tiny import tiny_sd1, tiny_sd2, tiny_sdxl

BUILDERS = {"sd1": tiny_sd1, "sd2": tiny_sd2, "sdxl": tiny_sdxl}


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return {family: build(folder) for family, build in BUILDERS.items()}


@pytest.fixture(scope="session")
def models(files: dict[str, Path]) -> dict[str, LoadedModel]:
    """Read once; tests that change a model read their own."""
    return {family: read_model(path) for family, path in files.items()}
