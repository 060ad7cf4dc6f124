"""Samplers that count in noise levels: Euler, Euler a, DPM++ 2M.

x: latents [B, C, H, W] = clean + sigma * noise. Levels [S + 1] fall and end at 0. `denoise(x, sigma)` gives
the clean latents that the network expects; `more_noise()` a tensor like x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor

Denoise = Callable[[Tensor, float], Tensor]
MoreNoise = Callable[[], Tensor]


def euler(denoise: Denoise, x: Tensor, levels: Sequence[float]) -> Tensor:
    """Algorithm 2 of Karras et al. 2022 without churn and second order."""
    for sigma, lower in pairwise(levels):
        slope = (x - denoise(x, sigma)) / sigma
        x = x + slope * (lower - sigma)
    return x


def euler_ancestral(
    denoise: Denoise, x: Tensor, levels: Sequence[float], more_noise: MoreNoise, eta: float
) -> Tensor:
    """Euler steps that go lower than the next level and come back up to it with new noise."""
    for sigma, lower in pairwise(levels):
        down, up = ancestral_step(sigma, lower, eta)
        slope = (x - denoise(x, sigma)) / sigma
        x = x + slope * (down - sigma)
        if lower > 0:
            x = x + more_noise() * up
    return x


def ancestral_step(sigma: float, lower: float, eta: float) -> tuple[float, float]:
    """The level to step down to, and the noise that leads from there to `lower`."""
    up = min(lower, eta * math.sqrt(lower**2 * (sigma**2 - lower**2) / sigma**2))
    return math.sqrt(max(lower**2 - up**2, 0.0)), up


def dpmpp_2m(denoise: Denoise, x: Tensor, levels: Sequence[float]) -> Tensor:
    """DPM-Solver++(2M) of Lu et al. 2022, in the form of k-diffusion; the last step is of first order."""
    earlier: Tensor | None = None
    last_width = 0.0
    for sigma, lower in pairwise(levels):
        clean = denoise(x, sigma)
        if lower == 0:
            return clean
        width = math.log(sigma / lower)
        target = clean
        if earlier is not None:
            half = width / (2 * last_width)
            target = (1 + half) * clean - half * earlier
        x = (lower / sigma) * x - math.expm1(-width) * target
        earlier, last_width = clean, width
    return x
