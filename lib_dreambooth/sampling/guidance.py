"""What the network says about noisy latents under a prompt, with and without guidance.

B: pictures, C, H, W: a latent, N, D: text states, P: pooled text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lib_dreambooth.diffusion.conversions import noise_from_clean, noise_from_velocity
from lib_dreambooth.sampling.conditions import Condition, Course, joined
from lib_dreambooth.sampling.sigmas import SigmaTable


@dataclass(eq=False)
class Guided:
    """The UNet under positive and negative conditions; asks before every step whether to go on."""

    unet: Any
    positive: Sequence[Course]
    negative: Course
    guidance: float
    prediction: str  # "epsilon", "v" or "sample"
    alphas_bar: Tensor  # [T]
    more_channels: Tensor | None = None  # [1, C', H, W] of inpainting models
    before_step: Callable[[], None] = lambda: None
    step: int = 0  # how many are done

    def raw(self, latents: Tensor, timestep: float) -> Tensor:
        """The guided prediction at scaled latents: noise, velocity or picture, as the network was trained."""
        self.before_step()
        positive = [course.at(self.step) for course in self.positive]
        negative = self.negative.at(self.step)
        self.step += 1
        weights = [course.weight * self.guidance for course in self.positive]
        if weights == [1.0]:
            return self._call(latents, timestep, positive[0])
        base, *others = self._call_all(latents, timestep, [negative, *positive])
        result = base
        for weight, other in zip(weights, others, strict=True):
            result = result + (other - base) * weight
        return result

    def noise_at(self, latents: Tensor, timestep: float) -> Tensor:
        """The noise in latents of unit variance."""
        said = self.raw(latents, timestep)
        if self.prediction == "epsilon":
            return said
        alpha_bar = self.alphas_bar[int(timestep)]
        if self.prediction == "sample":
            return noise_from_clean(latents, said, alpha_bar)
        return noise_from_velocity(latents, said, alpha_bar)

    def denoiser(self, table: SigmaTable) -> Callable[[Tensor, float], Tensor]:
        """The clean latents in latents of clean + sigma * noise."""

        def denoise(latents: Tensor, sigma: float) -> Tensor:
            scale = 1.0 / (sigma**2 + 1.0) ** 0.5
            said = self.raw(latents * scale, table.timestep_of(sigma))
            if self.prediction == "epsilon":
                return latents - sigma * said
            if self.prediction == "sample":
                return said
            return latents * scale**2 - said * (sigma * scale)

        return denoise

    def _call_all(
        self, latents: Tensor, timestep: float, conditions: Sequence[Condition]
    ) -> Sequence[Tensor]:
        """What the network says under each condition: in one batch where they are equally long."""
        if len({condition.states.shape[1] for condition in conditions}) > 1:
            return [self._call(latents, timestep, condition) for condition in conditions]
        count = len(conditions)
        return self._call(latents.repeat(count, 1, 1, 1), timestep, joined(conditions)).chunk(count)

    def _call(self, latents: Tensor, timestep: float, condition: Condition) -> Tensor:
        weight = next(self.unet.parameters())
        if self.more_channels is not None:
            latents = torch.cat([latents, self.more_channels.expand(len(latents), -1, -1, -1)], dim=1)
        timesteps = torch.full((len(latents),), timestep, device=latents.device)
        keywords: dict[str, Any] = {"added_cond_kwargs": condition.added()} if condition.added() else {}
        said = self.unet(latents.to(weight.dtype), timesteps, condition.states, **keywords).sample
        # The steps between the calls are made in float32.
        return said.float()
