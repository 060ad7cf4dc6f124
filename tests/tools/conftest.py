"""A small model on the disk, and LoRA files of any kind for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.formats.keymap import TEXT, UNET
from lib_dreambooth.formats.lora import write_adapter
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from tests.adapters.conftest import as_if_trained, attached_to
from tests.models.tiny import tiny_sd1

Making = Callable[..., Path]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sd1(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def model(base: Path) -> LoadedModel:
    return read_model(base, parts=(UNET, TEXT))


@pytest.fixture
def made(model: LoadedModel, tmp_path: Path) -> Making:
    """Writes a file with the settings of a network, as if it had been trained."""

    def make(name: str = "lora", metadata: dict[str, str] | None = None, **network: Any) -> Path:
        attached = attached_to(model, network=network)
        as_if_trained(attached, seed=len(name))
        attached.eject()
        path = tmp_path / f"{name}.safetensors"
        told = {"ss_base_model_version": "sd_v1", **(metadata or {})}
        write_adapter(path, attached.export(), names_of(model.source.kind), metadata=told)
        return path

    return make
