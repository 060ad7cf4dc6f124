"""Which noise levels a picture passes on its way, as k-diffusion counts them.

T: timesteps of the schedule, S: steps. A level is a sigma, the noise per unit of signal. Everything is
float64: the levels are few, and rounding them would be the only difference between hosts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lib_dreambooth.diffusion.schedule import sigmas_of

KARRAS_RHO = 7.0


class SigmaTable:
    """The sigmas of a schedule's timesteps, and what lies between them."""

    def __init__(self, alphas_bar: Tensor) -> None:
        self.log_sigmas = sigmas_of(alphas_bar.double().cpu()).log()

    @property
    def lowest(self) -> float:
        return self.log_sigmas[0].exp().item()

    @property
    def highest(self) -> float:
        return self.log_sigmas[-1].exp().item()

    def timestep_of(self, sigma: float) -> float:
        """The timestep, mostly between two whole ones, that has this sigma; linear in the logarithm."""
        log_sigma = torch.tensor(sigma, dtype=torch.float64).log()
        # As in k-diffusion, sigmas beyond the ends stay at the ends.
        low = int(torch.searchsorted(self.log_sigmas, log_sigma, right=True)) - 1
        low = min(max(low, 0), len(self.log_sigmas) - 2)
        below, above = self.log_sigmas[low], self.log_sigmas[low + 1]
        share = ((log_sigma - below) / (above - below)).clamp(0.0, 1.0).item()
        return low + share

    def sigma_at(self, timestep: float) -> float:
        """The sigma at a timestep, whole or not."""
        low = min(int(timestep), len(self.log_sigmas) - 2)
        share = timestep - low
        return ((1.0 - share) * self.log_sigmas[low] + share * self.log_sigmas[low + 1]).exp().item()

    def uniform(self, num_steps: int) -> list[float]:
        """Levels [S + 1] at evenly spaced timesteps from the last to the first, then 0."""
        timesteps = torch.linspace(len(self.log_sigmas) - 1, 0, num_steps, dtype=torch.float64)
        return [*(self.sigma_at(timestep) for timestep in timesteps.tolist()), 0.0]

    def karras(self, num_steps: int) -> list[float]:
        """Levels [S + 1] of Karras et al. 2022, equation 5: evenly spaced in the 7th root, then 0."""
        low, high = self.lowest ** (1 / KARRAS_RHO), self.highest ** (1 / KARRAS_RHO)
        shares = torch.linspace(0, 1, num_steps, dtype=torch.float64)
        return [*((high + shares * (low - high)) ** KARRAS_RHO).tolist(), 0.0]
