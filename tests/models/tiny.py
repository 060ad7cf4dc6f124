"""Small random checkpoints in the layouts of the real ones, for tests of any package.

Widths are small; the vocabulary, the key names and everything that a reader tells families by are real. The
values are of the size that trained ones have, so that outputs differ and nothing dies out.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from lib_dreambooth.formats.clip_keys import ClipLayout, hf_links, open_clip_links
from lib_dreambooth.formats.links import Link
from lib_dreambooth.formats.safetensors_write import write_safetensors
from lib_dreambooth.formats.unet_keys import unet_links
from lib_dreambooth.formats.unet_layout import UNetLayout
from lib_dreambooth.formats.vae_keys import VaeLayout, vae_links

VOCABULARY = 49408
VAE = VaeLayout(3, 3, 4, (32, 32, 32, 32), 1, has_quant=True)
CLIP = ClipLayout(VOCABULARY, 77, 64, 128, 3, 0)
CLIP_H = ClipLayout(VOCABULARY, 77, 64, 128, 3, 64)
CLIP_G = ClipLayout(VOCABULARY, 77, 64, 128, 3, 96)

_FOUR_LEVELS = {
    "down_depths": ((1,), (1,), (1,), (0,)),
    "up_depths": ((0,) * 2, (1,) * 2, (1,) * 2, (1,) * 2),
}
SD1 = UNetLayout(
    4, 4, (32, 64, 64, 64), **_FOUR_LEVELS, mid_depth=1, context_width=64, time_width=128, addition_width=0,
    is_linear=False,
)  # fmt: skip
# As little as has all kinds of parts: for tests of the loop around a model.
LEAST_SD1 = UNetLayout(
    4, 4, (32, 64), ((1,), (0,)), ((0,) * 2, (1,) * 2), mid_depth=1, context_width=64, time_width=128,
    addition_width=0, is_linear=False,
)  # fmt: skip
SD2 = UNetLayout(
    4, 4, (32, 64, 64, 128), **_FOUR_LEVELS, mid_depth=1, context_width=64, time_width=128,
    addition_width=0, is_linear=True,
)  # fmt: skip
SDXL = UNetLayout(
    4, 4, (32, 64, 128), ((0, 0), (1, 1), (2, 2)), ((2,) * 3, (1,) * 3, (0,) * 3), mid_depth=2,
    context_width=64 + 64, time_width=128, addition_width=96 + 6 * 256, is_linear=True,
)  # fmt: skip


def random_tensors(prefix: str, links: Iterable[Link], seed: int = 0) -> dict[str, Tensor]:
    """Values for the links' keys, drawn from the key and the seed."""
    return {prefix + link.key: random_tensor(prefix + link.key, link.file_shape, seed) for link in links}


def random_tensor(key: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """Weights scaled by what flows in, scales around one, small shifts."""
    generator = torch.Generator().manual_seed(zlib.crc32(key.encode()) + seed)
    values = torch.randn(shape, generator=generator)
    if len(shape) == 1:
        return 0.1 * values + (1.0 if key.endswith("weight") else 0.0)
    if "embedding" in key:
        return 0.3 * values
    fan_in = values[0].numel()
    return values / fan_in**0.5


def sd1_tensors(seed: int = 0, in_channels: int = 4, layout: UNetLayout = SD1) -> dict[str, Tensor]:
    """SD1; 9 channels make it an inpainting model."""
    text = "cond_stage_model.transformer."
    unet = replace(layout, in_channels=in_channels)
    return {
        **random_tensors("model.diffusion_model.", unet_links(unet), seed),
        **random_tensors("first_stage_model.", vae_links(VAE), seed),
        **random_tensors(text, hf_links(CLIP), seed),
        f"{text}text_model.embeddings.position_ids": torch.arange(77)[None],
    }


def sd2_tensors(seed: int = 0) -> dict[str, Tensor]:
    return {
        **random_tensors("model.diffusion_model.", unet_links(SD2), seed),
        **random_tensors("first_stage_model.", vae_links(VAE), seed),
        **random_tensors("cond_stage_model.model.", open_clip_links(CLIP_H), seed),
        "cond_stage_model.model.logit_scale": torch.tensor(4.6),
    }


def sdxl_tensors(seed: int = 0) -> dict[str, Tensor]:
    return {
        **random_tensors("model.diffusion_model.", unet_links(SDXL), seed),
        **random_tensors("first_stage_model.", vae_links(VAE), seed),
        **random_tensors("conditioner.embedders.0.transformer.", hf_links(CLIP), seed),
        **random_tensors("conditioner.embedders.1.model.", open_clip_links(CLIP_G), seed),
        "conditioner.embedders.1.model.logit_scale": torch.tensor(4.6),
    }


def tiny_sd1(folder: Path, *, dtype: torch.dtype = torch.float32, seed: int = 0) -> Path:
    """A whole SD1 checkpoint of about 15 MB in float32."""
    return save(folder / "tiny-sd1.safetensors", sd1_tensors(seed), dtype)


def least_sd1(folder: Path) -> Path:
    """An SD1 checkpoint of two levels, 9 MB, written once."""
    path = folder / "least-sd1.safetensors"
    return path if path.is_file() else save(path, sd1_tensors(layout=LEAST_SD1), torch.float16)


def tiny_sd2(folder: Path, *, dtype: torch.dtype = torch.float32, seed: int = 0) -> Path:
    """A whole SD2 checkpoint that says of itself that it predicts noise."""
    return save(
        folder / "tiny-sd2.safetensors", sd2_tensors(seed), dtype, {"modelspec.prediction_type": "epsilon"}
    )


def tiny_sdxl(folder: Path, *, dtype: torch.dtype = torch.float32, seed: int = 0) -> Path:
    """A whole SDXL base checkpoint."""
    return save(folder / "tiny-sdxl.safetensors", sdxl_tensors(seed), dtype)


def save(
    path: Path, tensors: dict[str, Tensor], dtype: torch.dtype, metadata: dict[str, str] | None = None
) -> Path:
    """Writes the tensors, fractions in `dtype`."""
    cast = {key: value.to(dtype) if value.is_floating_point() else value for key, value in tensors.items()}
    write_safetensors(path, cast, metadata)
    return path
