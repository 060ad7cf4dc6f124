"""Pictures to latents.

B: pictures, H, W: pixels, h, w: latent cells (8 pixels a side), C: latent channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lib_dreambooth.formats.keymap import VAE
from lib_dreambooth.models.loaded import LoadedModel


@dataclass(frozen=True, eq=False)
class LatentSpread:
    """What the VAE makes of pictures: mean and deviation [B, C, h, w], scaled for the UNet, float32."""

    mean: Tensor
    deviation: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Latents for standard normal noise [B, C, h, w]."""
        return self.mean + self.deviation * noise


@torch.no_grad()
def encode_pictures(model: LoadedModel, pixels: Tensor) -> LatentSpread:
    """The latents of pictures [B, 3, H, W] with values from -1 to 1; H and W in steps of 8.

    Each picture passes the VAE alone: a batch of 8 gives other last bits than 8 of 1.
    """
    assert pixels.shape[-1] % 8 == 0 and pixels.shape[-2] % 8 == 0, tuple(pixels.shape)
    pixels = pixels.to(model.device_of(VAE), model.dtype_of(VAE))
    spreads = [model.vae.encode(picture[None]).latent_dist for picture in pixels]
    mean = torch.cat([spread.mean for spread in spreads]).float()
    deviation = torch.cat([spread.std for spread in spreads]).float()
    return LatentSpread(mean * model.latent_scale, deviation * model.latent_scale)
