"""Small changes of colour that are drawn for each visit."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

from lib_dreambooth.diffusion.draws import Draw

ColourChange = Literal["off", "gentle", "kohya"]
# A third of the visits is changed, half of these in hue, half in brightness.
SHARE = 0.33
# In steps of Pillow's hue circle of 256: kohya's 8 of 180.
HUE_STEPS = 8 * 256 / 180
GAMMAS = 0.95, 1.05


def recolour(pixels: np.ndarray, change: ColourChange, draw: Draw) -> np.ndarray:
    """(height, width, 3) of 8 bits, changed or as it was.

    "kohya" takes the power of values from 0 to 255, which is a change of brightness; "gentle" that of 0 to 1.
    """
    if change == "off" or draw.uniform() >= SHARE:
        return pixels
    if draw.uniform() < 0.5:
        return shift_hue(pixels, (2 * draw.uniform() - 1) * HUE_STEPS)
    gamma = GAMMAS[0] + (GAMMAS[1] - GAMMAS[0]) * draw.uniform()
    return apply_gamma(pixels, gamma, 1.0 if change == "gentle" else 255.0)


def shift_hue(pixels: np.ndarray, steps: float) -> np.ndarray:
    """Turns the hue by that many of 256 steps."""
    hsv = np.array(Image.fromarray(pixels).convert("HSV"))
    hsv[..., 0] = (hsv[..., 0].astype(np.int64) + round(steps)) % 256
    return np.asarray(Image.fromarray(hsv, mode="HSV").convert("RGB"))


def apply_gamma(pixels: np.ndarray, gamma: float, full: float) -> np.ndarray:
    """The power `gamma` of values scaled to the range from 0 to `full`."""
    table = (np.arange(256) / 255.0 * full) ** gamma * (255.0 / full)
    return np.clip(np.rint(table), 0, 255).astype(np.uint8)[pixels]
