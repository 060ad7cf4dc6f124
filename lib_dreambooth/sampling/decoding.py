"""Latents to pictures, one at a time."""

from __future__ import annotations

import logging

import torch
from PIL import Image
from torch import Tensor

from lib_dreambooth.formats.keymap import VAE
from lib_dreambooth.models.loaded import LoadedModel

log = logging.getLogger(__name__)


@torch.no_grad()
def decode_picture(model: LoadedModel, latent: Tensor) -> Image.Image:
    """The picture of one latent [C, H, W]."""
    values = _decoded(model, latent[None] / model.latent_scale)
    if not bool(torch.isfinite(values).all()) and model.dtype_of(VAE) == torch.float16:
        log.warning("The VAE overflows in float16; it computes in float32 from now on.")
        model.to(VAE, model.device_of(VAE), torch.float32)
        values = _decoded(model, latent[None] / model.latent_scale)
    return to_picture(values[0])


def to_picture(values: Tensor) -> Image.Image:
    """Values [3, H, W] from -1 to 1 as a picture; the WebUI cuts fractions off, so do we."""
    shades = ((values.float().cpu() + 1.0) / 2.0).clamp(0.0, 1.0) * 255.0
    return Image.fromarray(shades.permute(1, 2, 0).numpy().astype("uint8"))


def _decoded(model: LoadedModel, latents: Tensor) -> Tensor:
    vae = model.vae
    latents = latents.to(model.device_of(VAE), model.dtype_of(VAE))
    try:
        return vae.decode(latents).sample
    except torch.cuda.OutOfMemoryError:
        log.warning("Not enough memory to decode the picture at once; it is decoded in tiles.")
    torch.cuda.empty_cache()
    vae.enable_tiling()
    try:
        return vae.decode(latents).sample
    finally:
        vae.disable_tiling()
