"""The noise and the noise level of each visit.

Everything is drawn by (seed, purpose, item, visit), so grouping, workers and processes change nothing.
B: pictures, C: channels, H, W: latent size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_dreambooth.data.order.batches import Visit
from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.diffusion.noises import (
    at_unit_deviation,
    offset_strengths,
    perturbed,
    with_offset,
    with_pyramid,
)
from lib_dreambooth.diffusion.timesteps import draw_timestep
from lib_dreambooth.settings.schema import Noise


@dataclass(frozen=True)
class Noising:
    """The noise settings of a run with its seed."""

    settings: Noise
    seed: int

    def timesteps(self, visits: Sequence[Visit]) -> Tensor:
        """One timestep a visit, [B]."""
        settings = self.settings
        return torch.tensor(
            [
                draw_timestep(
                    settings.timesteps,
                    settings.first_timestep,
                    settings.last_timestep,
                    self.draw("timestep", visit),
                    spread=settings.timesteps_spread,
                    shift=settings.timesteps_shift,
                )
                for visit in visits
            ]
        )

    def noises(self, visits: Sequence[Visit], latents: Tensor) -> Tensor:
        """What each visit's latent [B, C, H, W] is mixed with and, for a noise model, asked for."""
        made = torch.stack(
            [self._noise(visit, latent) for visit, latent in zip(visits, latents, strict=True)]
        )
        is_of_batch = self.settings.pyramid_levels > 0 and self.settings.pyramid_norm == "batch"
        return at_unit_deviation(made) if is_of_batch else made

    def perturbed(self, visits: Sequence[Visit], noises: Tensor) -> Tensor:
        """What is mixed in instead of the noise, [B, C, H, W]: the same unless the input is perturbed."""
        most = self.settings.perturbation
        if most == 0:
            return noises
        made = []
        for visit, noise in zip(visits, noises, strict=True):
            part = (
                self.draw("perturbation strength", visit).uniform()
                if self.settings.perturbation_random
                else 1.0
            )
            made.append(perturbed(noise, most * part, self.draw("perturbation", visit)))
        return torch.stack(made)

    def draw(self, purpose: str, visit: Visit) -> Draw:
        """The stream of a visit."""
        return Draw(self.seed, purpose, visit.item.id, visit.number)

    def _noise(self, visit: Visit, latent: Tensor) -> Tensor:
        settings = self.settings
        noise = self.draw("noise", visit).normal_tensor(latent.shape).to(latent)
        if settings.offset > 0:
            noise = with_offset(noise, self._offset(visit, latent), self.draw("offset", visit))
        if settings.pyramid_levels > 0:
            draw = self.draw("pyramid", visit)
            noise = with_pyramid(noise, settings.pyramid_levels, settings.pyramid_discount, draw)
            noise = at_unit_deviation(noise) if settings.pyramid_norm == "picture" else noise
        return noise

    def _offset(self, visit: Visit, latent: Tensor) -> Tensor:
        settings = self.settings
        part = self.draw("offset strength", visit).uniform() if settings.offset_random else 1.0
        return offset_strengths(latent, settings.offset * part, settings.offset_adaptive)
