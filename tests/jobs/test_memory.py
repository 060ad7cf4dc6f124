"""What weights alone take, against the model itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lib_dreambooth import settings
from lib_dreambooth.adapters.build import attach
from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.formats.checkpoint import identify
from lib_dreambooth.formats.keymap import TEXT, UNET, VAE
from lib_dreambooth.jobs.memory import memory_need
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from lib_dreambooth.training.precision.arithmetic import resolve
from lib_dreambooth.training.precision.devices import Ability, ability_of

CPU = ability_of(torch.device("cpu"))
CARD = Ability("cuda", generation=8, has_half=True)


@pytest.fixture(scope="module")
def mini() -> LoadedModel:
    return read_model(MINI_CHECKPOINT)


def count(model: LoadedModel, *parts: str) -> int:
    return sum(p.numel() for part in parts for p in model.modules[part].parameters())


def need(changes: dict[str, Any], ability: Ability = CPU) -> tuple[int, int, int]:
    run = settings.read({"concepts": [{"folder": "pictures"}], **changes}).run
    found = memory_need(run, identify(MINI_CHECKPOINT), resolve(run.precision, ability))
    assert found.total == found.frozen + found.trained + found.gradients
    return found.frozen, found.trained, found.gradients


def test_a_network_beside_frozen_weights(mini: LoadedModel) -> None:
    changes = {"network": {"rank": 8}, "optimizer": {"name": "AdamW"}}
    frozen, trained, gradients = need(changes)
    run = settings.read({"concepts": [{"folder": "pictures"}], **changes}).run
    roots = {part: mini.modules[part] for part in (UNET, TEXT)}
    attached = attach(run, roots, names_of(mini.source.kind), "sd1", rules=mini.rules)
    numbers = sum(part.parameter.numel() for part in attached.parts())
    attached.eject()
    assert frozen == 4 * count(mini, UNET, TEXT)
    assert (trained, gradients) == (4 * 3 * numbers, 4 * numbers)


def test_what_stays_on_the_card(mini: LoadedModel) -> None:
    unet_alone = {"parts": {"text_encoder_1": {"train": False}}}
    assert need(unet_alone, CARD)[0] == 2 * count(mini, UNET)
    assert need(unet_alone | {"memory": {"cache_latents": "off"}}, CARD)[0] == 2 * count(mini, UNET, VAE)
    assert need(unet_alone | {"memory": {"unload": "off"}}, CARD)[0] == 2 * count(mini, UNET, VAE, TEXT)


def test_whole_weights(mini: LoadedModel) -> None:
    whole = {"network": {"kind": "none"}, "optimizer": {"name": "AdamW"}}
    numbers = count(mini, UNET, TEXT)
    assert need(whole) == (0, 4 * 3 * numbers, 4 * numbers)
    averaged = whole | {"ema": {"use": True, "place": "card"}}
    assert need(averaged)[1] == 4 * 4 * numbers
    assert need(averaged | {"ema": {"use": True, "place": "system"}})[1] == 4 * 3 * numbers


def test_gradients_that_are_never_there_together() -> None:
    whole = {"network": {"kind": "none"}, "optimizer": {"max_grad_norm": 0.0}}
    assert need(whole)[2] > 0
    assert need({**whole, "memory": {"fused_backward": "on"}})[2] == 0
    system = {"memory": {"gradients": "system"}, "length": {"accumulation": 2}}
    assert need({**whole, **system})[2] == 0
    assert need({**whole, "memory": {"gradients": "system"}})[2] > 0
