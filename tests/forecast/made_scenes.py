"""Runs on models of real sizes and on the miniature, with nothing read."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from lib_dreambooth import settings
from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.forecast import rehearsal
from lib_dreambooth.forecast.rehearsal import Rehearsal, Scene
from lib_dreambooth.formats.checkpoint import identify
from lib_dreambooth.formats.clip_keys import ClipLayout
from lib_dreambooth.formats.keymap import PLACES, TEXT, TEXT_2, UNET, VAE, Layout
from lib_dreambooth.formats.kinds import FileKind, Part
from lib_dreambooth.formats.unet_layout import UNetLayout
from lib_dreambooth.formats.vae_keys import VaeLayout
from lib_dreambooth.jobs.memory import taking_steps
from lib_dreambooth.models.families import FAMILIES
from lib_dreambooth.models.read import read_model
from lib_dreambooth.training.precision.arithmetic import resolve
from lib_dreambooth.training.precision.devices import Ability, ability_of

CARD = Ability("cuda", generation=8, has_half=True)
CPU = ability_of(torch.device("cpu"))
_VAE = VaeLayout(3, 3, 4, (128, 256, 512, 512), 2, has_quant=True)
_CLIP_L = ClipLayout(49408, 77, 768, 3072, 12, 0)
_CLIP_G = ClipLayout(49408, 77, 1280, 5120, 32, 1280)
_SD_DEPTHS = ((1, 1),) * 3 + ((0, 0),), ((0,) * 3,) + ((1,) * 3,) * 3, 1
_XL_DEPTHS = ((0, 0), (2, 2), (10, 10)), ((10,) * 3, (2,) * 3, (0,) * 3), 10
UNET_ALONE = {"parts": {"text_encoder_1": {"train": False}, "text_encoder_2": {"train": False}}}


def kind_of(family: str, layouts: dict[str, Layout]) -> FileKind:
    parts = {
        part: Part(next(place for place in PLACES if place.part == part), 1, layout)
        for part, layout in layouts.items()
    }
    return FileKind("checkpoint", family, prediction="epsilon", parts=parts)


SD15 = kind_of(
    "sd1",
    {
        UNET: UNetLayout(4, 4, (320, 640, 1280, 1280), *_SD_DEPTHS, 768, 1280, 0, is_linear=False),
        VAE: _VAE,
        TEXT: _CLIP_L,
    },
)
SDXL = kind_of(
    "sdxl",
    {
        UNET: UNetLayout(4, 4, (320, 640, 1280), *_XL_DEPTHS, 2048, 1280, 1280 + 6 * 256, is_linear=True),
        VAE: _VAE,
        TEXT: _CLIP_L,
        TEXT_2: _CLIP_G,
    },
)
MINI = identify(MINI_CHECKPOINT)


def scene(kind: FileKind, changes: dict[str, Any], ability: Ability = CARD) -> Scene:
    run = settings.read({"concepts": [{"folder": "pictures"}], **changes}).run
    is_safe = FAMILIES[kind.family].is_half_vae_safe
    numbers = resolve(run.precision, ability, is_half_vae_safe=is_safe)
    return Scene(run, kind, numbers, ability.kind, functools.partial(taking_steps, run))


class Uncast:
    """No casts: the device does as it does."""

    def __init__(self, *args: Any) -> None:
        """Takes what `Casting` takes."""

    def __enter__(self) -> Uncast:
        return self

    def __exit__(self, *exception: Any) -> None:
        """Nothing was changed."""

    def close(self) -> None:
        """The forward pass is over."""


@contextmanager
def with_real_tensors(patch: pytest.MonkeyPatch) -> Iterator[type[Rehearsal]]:
    """The same rehearsal with the miniature's own weights, computed on the CPU."""
    with patch.context() as own:
        own.setattr(rehearsal, "blank_model", lambda kind, path: read_model(Path(MINI_CHECKPOINT)))
        own.setattr(rehearsal, "META", torch.device("cpu"))
        own.setattr(rehearsal, "Casting", Uncast)
        yield Rehearsal
