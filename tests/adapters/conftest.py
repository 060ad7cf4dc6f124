"""Small models to put networks beside, and short ways to settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lib_dreambooth import settings
from lib_dreambooth.adapters.build import attach
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.formats.keymap import TEXT, TEXT_2, UNET
from lib_dreambooth.formats.lora import write_adapter
from lib_dreambooth.models.encode import TextStyle, encode_prompts
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from lib_dreambooth.settings.schema import Run
from tests.adapters.variants import few
from tests.models.tiny import tiny_sd1, tiny_sdxl


@pytest.fixture(scope="session")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return read_model(tiny_sd1(tmp_path_factory.mktemp("model")), parts=(UNET, TEXT))


@pytest.fixture(scope="session")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return read_model(tiny_sdxl(tmp_path_factory.mktemp("model")), parts=(UNET, TEXT, TEXT_2))


def run_of(**values: Any) -> Run:
    """Settings by section."""
    return settings.read({"concepts": [{"folder": "pictures"}], **values}).run


def attached_to(model: LoadedModel, **values: Any) -> Any:
    """What these settings train, at work on the model."""
    names = names_of(model.source.kind)
    return attach(run_of(**values), model.modules, names, model.family.name, rules=model.rules)


@torch.no_grad()
def outputs(model: LoadedModel) -> tuple[Tensor, Tensor]:
    """What the UNet and the text encoder say about the same thing."""
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn((1, 4, 8, 8), generator=generator)
    states = encode_prompts(model.encoders, ["a red cat"]).joined()
    return model.unet(latents, 300.0, states).sample, states


def loss_of(model: LoadedModel, clip_skip: int = 1) -> Tensor:
    """Some number that depends on everything a step of training uses."""
    states = encode_prompts(model.encoders, ["a red cat"], TextStyle(clip_skip=clip_skip))
    latents = torch.randn((1, 4, 16, 16), generator=torch.Generator().manual_seed(3))
    conditions: Mapping[str, Any] = {}
    if states.pooled is not None:
        ids = torch.tensor([[128.0, 128, 0, 0, 128, 128]])
        conditions = {"added_cond_kwargs": {"text_embeds": states.pooled, "time_ids": ids}}
    dtype = next(model.unet.parameters()).dtype
    return model.unet(latents.to(dtype), 300.0, states.joined(), **conditions).sample.square().mean()


@torch.no_grad()
def as_if_trained(attached: Any, seed: int = 5) -> None:
    """Gives every tensor that starts at zero some values."""
    generator = torch.Generator().manual_seed(seed)
    for part in attached.parts():
        if not bool(part.parameter.any()):
            part.parameter.copy_(0.1 * torch.randn(part.parameter.shape, generator=generator))


def written(model: LoadedModel, folder: Path, kind: str, seed: int) -> Path:
    """The file of a small network of a kind with values in it."""
    attached = attached_to(model, network=few(kind))
    as_if_trained(attached, seed=seed)
    attached.eject()
    path = folder / f"{kind.replace(' ', '_')}_{seed}.safetensors"
    names = names_of(model.source.kind)
    write_adapter(path, attached.export(), names, metadata={"ss_base_model_version": "sd_v1"})
    return path
