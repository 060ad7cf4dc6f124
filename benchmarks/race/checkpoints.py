"""Checkpoints of random weights, made on the spot: real ones in size, or in depth alone."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SIZES = ("real", "small")
# Widths of a tenth, as far as whole heads and groups of 32 channels allow; depths are the real ones.
WIDTHS = {"real": 320, "half": 160, "small": 32}
VAE_WIDTHS = {"real": 128, "half": 64, "small": 32}
CLIP_WIDTHS = {"real": 768, "half": 384, "small": 64}
BIG_CLIP_WIDTHS = {"real": 1280, "half": 640, "small": 128}
VOCABULARY, NUM_POSITIONS, NUM_SIZE_IDS = 49408, 77, 6 * 256


def make_checkpoint(path: Path, family: str, size: str) -> None:
    """A float16 checkpoint of `family` ("sd1" or "sdxl"), tensor by tensor."""
    import torch

    from lib_dreambooth.formats.safetensors_write import Pending, write_safetensors

    waiting = {
        key: Pending(torch.float16, shape, maker(key, shape)) for key, shape in tensors_of(family, size)
    }
    write_safetensors(path, waiting)


def make_hollow(path: Path, family: str, size: str) -> None:
    """The same without the numbers: as long, and empty on disks that keep no zeros."""
    import torch

    from lib_dreambooth.formats.safetensors_write import Pending, serialize

    waiting = {key: Pending(torch.float16, shape, torch.Tensor) for key, shape in tensors_of(family, size)}
    chunks = serialize(waiting)
    with path.open("wb") as file:
        file.write(chunks.header)
        file.truncate(chunks.num_bytes)


def maker(key: str, shape: tuple[int, ...]) -> Callable[[], Any]:
    """Values of the size that trained ones have, so that activations neither die out nor grow."""
    import torch

    def make() -> torch.Tensor:
        values = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(key.encode())))
        if len(shape) == 1:
            return (0.1 * values + (1.0 if key.endswith("weight") else 0.0)).half()
        scale = 0.05 if "embedding" in key else (values.numel() / len(values)) ** -0.5
        return (scale * values).half()

    return make


def tensors_of(family: str, size: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The keys of a checkpoint with their shapes."""
    from lib_dreambooth.formats.clip_keys import ClipLayout, hf_links, open_clip_links
    from lib_dreambooth.formats.unet_keys import unet_links
    from lib_dreambooth.formats.vae_keys import VaeLayout, vae_links

    text, wide, vae = CLIP_WIDTHS[size], BIG_CLIP_WIDTHS[size], VAE_WIDTHS[size]
    clip = hf_links(ClipLayout(VOCABULARY, NUM_POSITIONS, text, 4 * text, 12, 0))
    parts: dict[str, Any] = {
        "model.diffusion_model.": unet_links(unet_layout(family, size)),
        "first_stage_model.": vae_links(
            VaeLayout(3, 3, 4, (vae, 2 * vae, 4 * vae, 4 * vae), 2, has_quant=True)
        ),
    }
    if family == "sd1":
        parts["cond_stage_model.transformer."] = clip
    else:
        big = ClipLayout(VOCABULARY, NUM_POSITIONS, wide, 4 * wide, 32, wide)
        parts["conditioner.embedders.0.transformer."] = clip
        parts["conditioner.embedders.1.model."] = open_clip_links(big)
    for prefix, links in parts.items():
        for link in links:
            yield prefix + link.key, link.file_shape


def unet_layout(family: str, size: str) -> Any:
    """The UNet of a family in a size."""
    from lib_dreambooth.formats.unet_layout import UNetLayout

    width, text = WIDTHS[size], CLIP_WIDTHS[size]
    if family == "sd1":
        depths = ((1, 1),) * 3 + ((0, 0),), ((0,) * 3,) + ((1,) * 3,) * 3, 1
        return UNetLayout(
            4, 4, (width, 2 * width, 4 * width, 4 * width), *depths, text, 4 * width, 0, is_linear=False
        )
    wide = BIG_CLIP_WIDTHS[size]
    xl_depths = ((0, 0), (2, 2), (10, 10)), ((10,) * 3, (2,) * 3, (0,) * 3), 10
    return UNetLayout(
        4,
        4,
        (width, 2 * width, 4 * width),
        *xl_depths,
        text + wide,
        4 * width,
        wide + NUM_SIZE_IDS,
        is_linear=True,
    )
