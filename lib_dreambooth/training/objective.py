"""What one micro-batch is to learn.

B: pictures, C: channels, H, W: latent size, N: tokens, D: text width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_dreambooth.data.order.batches import Visit
from lib_dreambooth.diffusion.conversions import add_noise, velocity
from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.models.loaded import LoadedModel


@dataclass(frozen=True)
class Noised:
    """A batch's latents with their noise: `noisy` and `target` [B, C, H, W], `timesteps` [B]."""

    noisy: Tensor
    target: Tensor
    timesteps: Tensor


def draw_noise(visits: Sequence[Visit], shape: Sequence[int], seed: int) -> Tensor:
    """One noise a visit, [B, *shape], the same wherever and whenever it is asked for."""
    drawn = [Draw(seed, "noise", visit.item.id, visit.number).normal_tensor(shape) for visit in visits]
    return torch.stack(drawn)


def draw_timesteps(visits: Sequence[Visit], num_timesteps: int, seed: int) -> Tensor:
    """One timestep a visit, each as likely as another, [B]."""
    drawn = [Draw(seed, "timestep", visit.item.id, visit.number).integer(num_timesteps) for visit in visits]
    return torch.tensor(drawn)


def noised(latents: Tensor, noise: Tensor, timesteps: Tensor, model: LoadedModel) -> Noised:
    """The noisy latents and what the UNet is to say of them."""
    alphas_bar = model.schedule.alphas_bar[timesteps]
    noisy = add_noise(latents, noise, alphas_bar)
    target = velocity(latents, noise, alphas_bar) if model.prediction == "v" else noise
    return Noised(noisy, target, timesteps)


def weighted_loss(predicted: Tensor, target: Tensor, shares: Tensor, masks: Tensor | None = None) -> Tensor:
    """The sum over pictures of share times mean squared error; a mask [B, 1, H, W] says where it counts.

    A picture whose mask is zero everywhere gives zero.
    """
    error = (predicted.float() - target.float()).pow(2)
    if masks is None:
        per_picture = error.mean((1, 2, 3))
    else:
        counted = masks.sum((1, 2, 3)).clamp(min=torch.finfo(error.dtype).tiny) * error.shape[1]
        per_picture = (error * masks).sum((1, 2, 3)) / counted
    return (per_picture * shares).sum()
