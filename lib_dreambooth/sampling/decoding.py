"""Latents to pictures, one at a time."""

from __future__ import annotations

import logging

import torch
from PIL import Image
from torch import Tensor

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.formats.keymap import VAE
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.sampling.stripes import decode_in_stripes

log = logging.getLogger(__name__)

# Rows of the latent at a time where the whole is too much, and where that is too much as well.
STRIPE_ROWS = (16, 4)


@torch.no_grad()
def decode_picture(model: LoadedModel, latent: Tensor, *, is_striped: bool = False) -> Image.Image:
    """The picture of one latent [C, H, W]; in stripes it takes less memory and is the same."""
    values = _decoded(model, latent[None] / model.latent_scale, is_striped)
    if not bool(torch.isfinite(values).all()) and model.dtype_of(VAE) == torch.float16:
        log.warning("The VAE overflows in float16; it computes in float32 from now on.")
        model.to(VAE, model.device_of(VAE), torch.float32)
        values = _decoded(model, latent[None] / model.latent_scale, is_striped)
    return to_picture(values[0])


def to_picture(values: Tensor) -> Image.Image:
    """Values [3, H, W] from -1 to 1 as a picture; the WebUI cuts fractions off, so do we."""
    shades = ((values.float().cpu() + 1.0) / 2.0).clamp(0.0, 1.0) * 255.0
    return Image.fromarray(shades.permute(1, 2, 0).numpy().astype("uint8"))


def _decoded(model: LoadedModel, latents: Tensor, is_striped: bool) -> Tensor:
    """Values [1, 3, H, W]; goes over to stripes, and to narrower ones, where memory runs out."""
    vae = model.vae
    latents = latents.to(model.device_of(VAE), model.dtype_of(VAE))
    for num_rows in STRIPE_ROWS if is_striped else (None, *STRIPE_ROWS):
        try:
            if num_rows is None:
                return vae.decode(latents).sample
            return decode_in_stripes(vae, latents, num_rows)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        if latents.device.type == "cuda":
            torch.cuda.empty_cache()
        log.warning("Not enough memory to decode the picture; it is tried again in smaller pieces.")
    height, width = (8 * side for side in latents.shape[-2:])
    raise UserError(
        f"there is not enough memory to decode a picture of {width} x {height}.",
        where=str(latents.device),
        todo="Choose smaller pictures, or close other programs that use the card.",
        code="out-of-memory",
    )


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch could not have the memory it asked for, on whatever device."""
    says = str(error).lower()
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(
        words in says for words in ("out of memory", "not enough memory", "can't allocate memory")
    )
