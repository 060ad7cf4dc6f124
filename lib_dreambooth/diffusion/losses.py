"""How far a prediction is from its target.

B: batch, C: channels, H, W: latent size, T: timesteps. Predictions and targets: [B, C, H, W].
"""

from __future__ import annotations

import torch
from torch import Tensor

from lib_dreambooth.diffusion.schedule import sigmas_of

L2, L1, HUBER, SMOOTH_L1 = "l2", "l1", "huber", "smooth_l1"
KINDS = (L2, L1, HUBER, SMOOTH_L1)
HUBER_KINDS = (HUBER, SMOOTH_L1)
CONSTANT, EXPONENTIAL, SNR = "constant", "exponential", "snr"


def errors(kind: str, predicted: Tensor, target: Tensor, huber_c: Tensor | None = None) -> Tensor:
    """The error of each element; the Huber kinds need `huber_c` [B]."""
    difference = predicted - target
    if kind == L2:
        return difference.square()
    if kind == L1:
        return difference.abs()
    assert kind in HUBER_KINDS and huber_c is not None, kind
    c = huber_c.to(difference).reshape(-1, 1, 1, 1)
    pseudo = 2.0 * ((difference.square() + c.square()).sqrt() - c)
    return c * pseudo if kind == HUBER else pseudo


def huber_parameters(schedule: str, c: float, scale: float, alphas_bar: Tensor) -> Tensor:
    """The Huber parameter at each timestep [T], of the type of `alphas_bar` [T] (arXiv 2403.16728).

    "constant" and "exponential" are times `scale`; the latter goes from 1 to `c`. "snr" starts near 1 where
    there is little noise and ends near `c`.
    """
    if schedule == CONSTANT:
        return torch.full_like(alphas_bar, c * scale)
    if schedule == EXPONENTIAL:
        part = torch.arange(len(alphas_bar), dtype=alphas_bar.dtype) / len(alphas_bar)
        return torch.full_like(alphas_bar, c).pow(part) * scale
    assert schedule == SNR, schedule
    # Without any signal sigma is infinite, and what is left is `c`.
    return (1.0 - c) / (1.0 + sigmas_of(alphas_bar)).square() + c
