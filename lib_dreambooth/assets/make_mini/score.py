"""How much of what it was asked for the miniature draws, told by the judge."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderKL

from lib_dreambooth.assets.make_mini.denoiser import Denoiser, Spread, alphas_cumprod, token_ids
from lib_dreambooth.assets.shapes.drawing import SIZE_PX, Scene
from lib_dreambooth.assets.shapes.judge import judge


@torch.no_grad()
def score(
    denoiser: Denoiser, vae: AutoencoderKL, spread: Spread, scenes: list[Scene], size_px: int = SIZE_PX
) -> float:
    """The share of scenes never trained on that come out with the right shape in the right colour."""
    latents = draw(denoiser.eval(), [scene.prompt for scene in scenes], (4, size_px // 8, size_px // 8))
    right = 0
    for scene, latent in zip(scenes, latents, strict=True):
        pixels = vae.decode(spread.restored(latent[None])).sample[0].clamp(-1, 1)
        picture = ((pixels + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        right += judge(np.asarray(picture)).shows(scene.shape, scene.colour)
    return right / len(scenes)


@torch.no_grad()
def draw(
    denoiser: Denoiser,
    prompts: list[str],
    latent_shape: tuple[int, ...],
    steps: int = 20,
    guidance: float = 4.0,
) -> torch.Tensor:
    """Latents by DDIM, in the normalised space."""
    alphas = alphas_cumprod()
    times = torch.linspace(999, 0, steps + 1).round().long()[:-1].tolist()
    noisy = torch.randn((len(prompts), *latent_shape), generator=torch.Generator().manual_seed(0))
    states = denoiser.text(torch.tensor([token_ids(prompt) for prompt in ["", *prompts]]))[0]
    empty, full = states[:1].expand(len(prompts), -1, -1), states[1:]
    for now, later in zip(times, [*times[1:], None], strict=True):
        both = denoiser.unet(torch.cat([noisy, noisy]), now, torch.cat([empty, full])).sample
        without, with_text = both.chunk(2)
        noise = without + guidance * (with_text - without)
        here = alphas[now].float()
        there = torch.tensor(1.0) if later is None else alphas[later].float()
        clean = (noisy - (1 - here).sqrt() * noise) / here.sqrt()
        noisy = there.sqrt() * clean + (1 - there).sqrt() * noise
    return noisy
