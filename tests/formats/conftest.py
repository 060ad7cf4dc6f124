"""Models with the real key layouts at small widths, made of random numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from lib_dreambooth.formats.clip_keys import ClipLayout, hf_links, open_clip_links
from lib_dreambooth.formats.links import Link
from lib_dreambooth.formats.safetensors_write import write_safetensors
from lib_dreambooth.formats.unet_keys import unet_links
from lib_dreambooth.formats.unet_layout import UNetLayout
from lib_dreambooth.formats.vae_keys import VaeLayout, vae_links

VAE = VaeLayout(3, 3, 4, (32, 32, 64), 1, has_quant=True)
CLIP = ClipLayout(99, 77, 64, 128, 2, 0)
CLIP_G = ClipLayout(99, 77, 128, 256, 2, 128)

FOUR_LEVELS = {"down_depths": ((1,), (1,), (1,), (0,)), "up_depths": ((0,) * 2, (1,) * 2, (1,) * 2, (1,) * 2)}
SD1 = UNetLayout(
    4, 4, (32, 32, 64, 64), **FOUR_LEVELS, mid_depth=1, context_width=64, time_width=128, addition_width=0,
    is_linear=False,
)  # fmt: skip
SD2 = UNetLayout(
    4, 4, (64, 64, 128, 128), **FOUR_LEVELS, mid_depth=1, context_width=64, time_width=256, addition_width=0,
    is_linear=True,
)  # fmt: skip
SDXL = UNetLayout(
    4, 4, (32, 64, 64), ((0, 0), (1, 1), (2, 2)), ((2,) * 3, (1,) * 3, (0,) * 3), mid_depth=2,
    context_width=64 + 128, time_width=128, addition_width=128 + 6 * 256, is_linear=True,
)  # fmt: skip
REFINER = UNetLayout(
    4, 4, (32, 64, 64, 64), ((0,), (1,), (1,), (0,)), ((0,) * 2, (1,) * 2, (1,) * 2, (0,) * 2), mid_depth=1,
    context_width=128, time_width=128, addition_width=128 + 5 * 256, is_linear=True,
)  # fmt: skip


def filled(prefix: str, links: Iterable[Link], dtype: torch.dtype = torch.float16) -> dict[str, Tensor]:
    """Random tensors for the links' keys; the same ones for the same key."""
    made = {}
    for link in links:
        generator = torch.Generator().manual_seed(sum(map(ord, link.key)) + 7919 * len(link.key))
        made[prefix + link.key] = torch.randn(link.file_shape, generator=generator).mul(0.1).to(dtype)
    return made


def positions(prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}.text_model.embeddings.position_ids": torch.arange(77)[None]}


@cache
def _sd1() -> dict[str, Tensor]:
    return {
        **filled("model.diffusion_model.", unet_links(SD1)),
        **filled("first_stage_model.", vae_links(VAE)),
        **filled("cond_stage_model.transformer.", hf_links(CLIP)),
        **positions("cond_stage_model.transformer"),
        "alphas_cumprod": torch.linspace(0.99, 0.01, 1000),
    }


@cache
def _sd2() -> dict[str, Tensor]:
    return {
        **filled("model.diffusion_model.", unet_links(SD2)),
        **filled("first_stage_model.", vae_links(VAE)),
        **filled("cond_stage_model.model.", open_clip_links(CLIP)),
        "cond_stage_model.model.text_projection": torch.ones(64, 64),
        "cond_stage_model.model.logit_scale": torch.tensor(4.6),
    }


@cache
def _sdxl() -> dict[str, Tensor]:
    return {
        **filled("model.diffusion_model.", unet_links(SDXL)),
        **filled("first_stage_model.", vae_links(VAE), torch.float32),
        **filled("conditioner.embedders.0.transformer.", hf_links(CLIP)),
        **positions("conditioner.embedders.0.transformer"),
        **filled("conditioner.embedders.1.model.", open_clip_links(CLIP_G)),
        "conditioner.embedders.1.model.logit_scale": torch.tensor(4.6),
    }


@cache
def _refiner() -> dict[str, Tensor]:
    return {
        **filled("model.diffusion_model.", unet_links(REFINER)),
        **filled("first_stage_model.", vae_links(VAE)),
        **filled("conditioner.embedders.0.model.", open_clip_links(CLIP_G)),
    }


def sd1() -> dict[str, Tensor]:
    """A new table of tensors that are shared: replace them, never write into them."""
    return dict(_sd1())


def sd2() -> dict[str, Tensor]:
    return dict(_sd2())


def sdxl() -> dict[str, Tensor]:
    return dict(_sdxl())


def refiner() -> dict[str, Tensor]:
    return dict(_refiner())


FAMILIES: dict[str, Callable[[], dict[str, Tensor]]] = {
    "sd1": sd1,
    "sd2": sd2,
    "sdxl": sdxl,
    "sdxl-refiner": refiner,
}


@pytest.fixture(scope="session")
def made() -> SimpleNamespace:
    """The builders above, by name."""
    return SimpleNamespace(**{key: value for key, value in globals().items() if not key.startswith("_")})


@pytest.fixture(scope="session")
def sd1_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole SD1 checkpoint; not to be written to."""
    path = tmp_path_factory.mktemp("sd1") / "small.safetensors"
    write_safetensors(path, sd1(), {"made": "by a test"})
    return path
