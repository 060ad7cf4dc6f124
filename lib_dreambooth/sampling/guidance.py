"""What the network says about noisy latents under a prompt, with and without guidance.

B: pictures, C, H, W: a latent, N, D: text states, P: pooled text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lib_dreambooth.diffusion.conversions import noise_from_velocity
from lib_dreambooth.sampling.sigmas import SigmaTable


@dataclass(frozen=True, eq=False)
class Condition:
    """What the UNet is told: text states [B, N, D], and for SDXL pooled [B, P] and sizes [B, 6]."""

    states: Tensor
    pooled: Tensor | None = None
    size_ids: Tensor | None = None

    def beside(self, other: Condition) -> Condition:
        """Both as one batch, this one first."""
        return Condition(
            torch.cat([self.states, other.states]),
            None if self.pooled is None else torch.cat([self.pooled, other.pooled]),  # type: ignore[list-item]
            None if self.size_ids is None else torch.cat([self.size_ids, other.size_ids]),  # type: ignore[list-item]
        )

    def added(self) -> dict[str, Tensor] | None:
        """What SDXL's UNet takes beside the states."""
        if self.pooled is None or self.size_ids is None:
            return None
        return {"text_embeds": self.pooled, "time_ids": self.size_ids}


@dataclass(eq=False)
class Guided:
    """The UNet under a positive and a negative condition; asks before every call whether to go on."""

    unet: Any
    positive: Condition
    negative: Condition
    guidance: float
    prediction: str  # "epsilon" or "v"
    alphas_bar: Tensor  # [T]
    more_channels: Tensor | None = None  # [1, C', H, W] of inpainting models
    before_call: Callable[[], None] = lambda: None

    def raw(self, latents: Tensor, timestep: float) -> Tensor:
        """The guided prediction at scaled latents: noise or velocity, as the network was trained."""
        self.before_call()
        if self.guidance == 1.0:
            return self._call(latents, timestep, self.positive)
        if self.positive.states.shape[1] == self.negative.states.shape[1]:
            both = self._call(torch.cat([latents, latents]), timestep, self.positive.beside(self.negative))
            positive, negative = both.chunk(2)
        else:
            positive = self._call(latents, timestep, self.positive)
            negative = self._call(latents, timestep, self.negative)
        return negative + (positive - negative) * self.guidance

    def noise_at(self, latents: Tensor, timestep: float) -> Tensor:
        """The noise in latents of unit variance."""
        said = self.raw(latents, timestep)
        if self.prediction == "epsilon":
            return said
        return noise_from_velocity(latents, said, self.alphas_bar[int(timestep)])

    def denoiser(self, table: SigmaTable) -> Callable[[Tensor, float], Tensor]:
        """The clean latents in latents of clean + sigma * noise."""

        def denoise(latents: Tensor, sigma: float) -> Tensor:
            scale = 1.0 / (sigma**2 + 1.0) ** 0.5
            said = self.raw(latents * scale, table.timestep_of(sigma))
            if self.prediction == "epsilon":
                return latents - sigma * said
            return latents * scale**2 - said * (sigma * scale)

        return denoise

    def _call(self, latents: Tensor, timestep: float, condition: Condition) -> Tensor:
        weight = next(self.unet.parameters())
        if self.more_channels is not None:
            latents = torch.cat([latents, self.more_channels.expand(len(latents), -1, -1, -1)], dim=1)
        timesteps = torch.full((len(latents),), timestep, device=latents.device)
        keywords: dict[str, Any] = {"added_cond_kwargs": condition.added()} if condition.added() else {}
        said = self.unet(latents.to(weight.dtype), timesteps, condition.states, **keywords).sample
        # The steps between the calls are made in float32.
        return said.float()
