"""How much noise a latent holds at each timestep.

T: timesteps, B: batch. `alphas_bar` [T] is the share of the clean latent's variance, from almost 1 to almost
0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NUM_TIMESTEPS = 1000
BETA_START = 0.00085
BETA_END = 0.012
# The WebUI's stand-in for 0 at the last timestep of a zero-terminal schedule: sigma stays finite.
TERMINAL_ALPHA_BAR = 4.8973451890853435e-08


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """The noise schedule of a model; float64 on the CPU, so that every use rounds from the same numbers."""

    alphas_bar: Tensor
    is_zero_terminal: bool = False

    @property
    def num_timesteps(self) -> int:
        return len(self.alphas_bar)

    def rows(self, timesteps: Tensor) -> Tensor:
        """`alphas_bar` [B] at whole timesteps [B], float32 on their device."""
        return self.alphas_bar.float().to(timesteps.device)[timesteps.long()]

    def snr(self, timesteps: Tensor) -> Tensor:
        """Signal-to-noise ratio [B] at whole timesteps [B]; 0 at a zero-terminal schedule's end."""
        return snr(self.alphas_bar).float().to(timesteps.device)[timesteps.long()]

    def rescaled(self) -> NoiseSchedule:
        """The same schedule ending in pure noise."""
        if self.is_zero_terminal:
            return self
        return NoiseSchedule(zero_terminal(self.alphas_bar), is_zero_terminal=True)

    def for_sampling(self) -> Tensor:
        """`alphas_bar` [T] in float32 as the WebUI draws pictures with it: never exactly 0."""
        alphas_bar = self.alphas_bar.float().clone()
        if self.is_zero_terminal:
            alphas_bar[-1] = TERMINAL_ALPHA_BAR
        return alphas_bar


def stable_diffusion_schedule(*, is_zero_terminal: bool = False) -> NoiseSchedule:
    """The schedule that all Stable Diffusion families share."""
    schedule = NoiseSchedule(alphas_bar_of(scaled_linear_betas()))
    return schedule.rescaled() if is_zero_terminal else schedule


def scaled_linear_betas(
    count: int = NUM_TIMESTEPS, start: float = BETA_START, end: float = BETA_END
) -> Tensor:
    """Variances [T] that are linear in their square roots, float64."""
    return torch.linspace(start**0.5, end**0.5, count, dtype=torch.float64, device="cpu") ** 2


def alphas_bar_of(betas: Tensor) -> Tensor:
    """The running product [T] of what each step leaves of the signal's variance."""
    return torch.cumprod(1.0 - betas, dim=0)


def betas_of(alphas_bar: Tensor) -> Tensor:
    """The variances [T] that lead to `alphas_bar` [T]."""
    previous = torch.cat([alphas_bar.new_ones(1), alphas_bar[:-1]])
    return 1.0 - alphas_bar / previous


def zero_terminal(alphas_bar: Tensor) -> Tensor:
    """Shifted so that the last is 0 and scaled so that the first stays (arXiv 2305.08891, 3.1)."""
    root = alphas_bar.sqrt()
    rescaled = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
    return rescaled**2


def snr(alphas_bar: Tensor) -> Tensor:
    """Signal-to-noise ratio of the variances."""
    return alphas_bar / (1.0 - alphas_bar)


def sigmas_of(alphas_bar: Tensor) -> Tensor:
    """Noise per unit of signal, as samplers count it: sqrt((1 - a) / a)."""
    return ((1.0 - alphas_bar) / alphas_bar).sqrt()
