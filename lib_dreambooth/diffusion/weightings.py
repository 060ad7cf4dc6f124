"""How much a picture counts by how noisy it is: factors on its loss from the signal-to-noise ratio.

`snr` may have any shape, and the factors have the same. A ratio of 0 (a zero-terminal schedule's end) is
allowed everywhere. `prediction` is one of `targets.PREDICTIONS`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lib_dreambooth.diffusion.targets import NOISE, VELOCITY

# Ratios outside are counted as the nearest inside where a factor would grow without limit. Above, it is the
# limit of kohya's scripts; below, no schedule comes near it that does not end in pure noise.
LARGEST_SNR = 1000.0
SMALLEST_SNR = 1.0 / LARGEST_SNR


def min_snr(snr: Tensor, gamma: float, prediction: str) -> Tensor:
    """Evens out how noise levels learn (arXiv 2303.09556, 3.4)."""
    if prediction == NOISE:
        # min(snr, gamma) / snr; gamma / 0 is infinite and not chosen.
        return (gamma / snr).clamp(max=1.0)
    capped = snr.clamp(max=gamma)
    return capped / (snr + 1.0) if prediction == VELOCITY else capped


def debiased(snr: Tensor, prediction: str) -> Tensor:
    """1 / sqrt(snr) of the noise's error (arXiv 2310.08442, 3.3), also where the clean latent is predicted.

    For velocity 1 / (snr + 1), as kohya's scripts have it.
    """
    if prediction == VELOCITY:
        return 1.0 / (snr + 1.0)
    limited = limited_snr(snr)
    return limited.rsqrt() if prediction == NOISE else limited.sqrt()


def scaled_like_noise(snr: Tensor) -> Tensor:
    """Turns the squared error of a velocity into that of the noise it means."""
    capped = snr.clamp(max=LARGEST_SNR)
    return capped / (capped + 1.0)


def velocity_like(snr: Tensor, weight: float, prediction: str) -> Tensor:
    """1 plus `weight` times what turns the squared error into that of the velocity it means."""
    limited = limited_snr(snr)
    turned = (limited + 1.0) / limited if prediction == NOISE else limited + 1.0
    return torch.ones_like(snr) if prediction == VELOCITY else 1.0 + weight * turned


def limited_snr(snr: Tensor) -> Tensor:
    """The ratio between its limits."""
    return snr.clamp(SMALLEST_SNR, LARGEST_SNR)
