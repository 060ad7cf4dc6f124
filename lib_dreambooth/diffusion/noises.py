"""What noise is made of besides independent normal numbers. One picture at a time.

C: channels, H, W: latent size. Noise: [C, H, W]. What a function draws comes from the `Draw` it is given.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from lib_dreambooth.diffusion.draws import Draw


def offset_strengths(latent: Tensor, strength: float, adaptive: float) -> Tensor:
    """How far each channel is shifted, [C]: `strength`, and `adaptive` times the size of its mean.

    Never below 0.
    """
    return (strength + adaptive * latent.mean((1, 2)).abs()).clamp(min=0.0)


def with_offset(noise: Tensor, strengths: Tensor, draw: Draw) -> Tensor:
    """Each channel shifted as a whole, by a normal number times its strength [C]."""
    shifts = draw.normal_tensor(strengths.shape).to(noise) * strengths
    return noise + shifts[:, None, None]


def with_pyramid(noise: Tensor, levels: int, discount: float, draw: Draw) -> Tensor:
    """Noise of coarser and coarser grain added: level k is smaller by r**k, r from 2 to 4, and `discount`**k
    as strong.

    It is not scaled back to unit variance. Ends early at a grain as large as the picture. Level 0 has the
    grain of the noise itself, as in the scripts that this came from.
    """
    channels, height, width = noise.shape
    summed = noise
    for level in range(levels):
        shrunk = (2.0 + 2.0 * draw.uniform()) ** level
        size = max(1, int(height / shrunk)), max(1, int(width / shrunk))
        coarse = draw.normal_tensor((channels, *size)).to(noise)
        grown = F.interpolate(coarse[None], size=(height, width), mode="bilinear", align_corners=False)[0]
        summed = summed + grown * discount**level
        if 1 in size:
            break
    return summed


def at_unit_deviation(noise: Tensor) -> Tensor:
    """The tensor over its own standard deviation."""
    return noise / noise.std()


def perturbed(noise: Tensor, strength: float, draw: Draw) -> Tensor:
    """What is added to the latent instead of the noise that is asked for (arXiv 2301.11706)."""
    return noise + strength * draw.normal_tensor(noise.shape).to(noise)
