"""The miniature's VAE: learns first on small pictures, then on whole ones."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image, ImageDraw

from lib_dreambooth.assets.make_mini.progress import Progress, cosine_rate, stage_at
from lib_dreambooth.assets.shapes import drawing

WIDTHS = (64, 64, 64, 64)
LEARNING_RATE = 1e-3
BUSY_SHARE = 0.4
KL_WEIGHT = 1e-6
STAGES = ((64, 16, 0.72), (128, 8, 0.28))


def new_vae() -> AutoencoderKL:
    torch.manual_seed(1)
    return AutoencoderKL(
        block_out_channels=WIDTHS,
        layers_per_block=1,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * len(WIDTHS),
        up_block_types=("UpDecoderBlock2D",) * len(WIDTHS),
    )


def any_colour(random: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = random.integers(0, 256, 3)
    return int(red), int(green), int(blue)


def busy_picture(random: np.random.Generator, size_px: int) -> Image.Image:
    """Several shapes in any colours: more than the denoiser is taught, so that subjects can be added."""
    side = size_px * drawing.OVERSAMPLING
    ground = any_colour(random)
    picture = Image.new("RGB", (side, side), ground)
    draw = ImageDraw.Draw(picture)
    for _ in range(int(random.integers(1, 5))):
        x, y = random.uniform(0.15, 0.85, 2)
        pose = drawing.Pose(float(x), float(y), random.uniform(0.08, 0.35), random.uniform(0, 90))
        colour = any_colour(random)
        drawing.paint_shape(draw, str(random.choice(drawing.SHAPES)), pose, side, colour, ground)
    return picture.resize((size_px, size_px), Image.Resampling.BOX)


def random_picture(random: np.random.Generator, size_px: int, scenes: list[drawing.Scene]) -> Image.Image:
    if random.random() < BUSY_SHARE:
        return busy_picture(random, size_px)
    return drawing.draw_varied(scenes[int(random.integers(len(scenes)))], random, size_px)


def to_tensor(pictures: list[Image.Image]) -> torch.Tensor:
    """Pictures in [-1, 1], [batch, 3, height, width]."""
    stacked = np.stack([np.asarray(picture) for picture in pictures])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 127.5 - 1


def train_vae(folder: Path, num_steps: int, report: int = 50) -> AutoencoderKL:
    """Trains, or goes on, until `num_steps`."""
    vae = new_vae().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=1e-4)
    progress = Progress(folder, "vae", {"vae": vae}, optimizer)
    scenes = drawing.training_scenes()
    for step in range(progress.resume(), num_steps):
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(step, num_steps, LEARNING_RATE)
        loss = vae_step(vae, optimizer, picture_batch(step, num_steps, scenes))
        if step % report == 0:
            print(f"vae step {step}/{num_steps} loss {loss:.5f} psnr {psnr(loss):.2f}", flush=True)
        progress.save_if_due(step + 1)
    progress.save(num_steps)
    return vae


def picture_batch(step: int, num_steps: int, scenes: list[drawing.Scene]) -> torch.Tensor:
    size_px, batch = stage_at(STAGES, step, num_steps)
    random = np.random.Generator(np.random.Philox(key=[11, step]))
    return to_tensor([random_picture(random, size_px, scenes) for _ in range(batch)])


def vae_step(vae: AutoencoderKL, optimizer: torch.optim.Optimizer, pictures: torch.Tensor) -> float:
    """One update; returns the mean squared error of [0, 1] pixels."""
    with torch.autocast("cpu", torch.bfloat16):
        posterior = vae.encode(pictures.to(memory_format=torch.channels_last)).latent_dist
        rebuilt = vae.decode(posterior.sample()).sample
    error = rebuilt.float() - pictures
    penalty = KL_WEIGHT * posterior.kl().float().mean()
    loss = error.pow(2).mean() + 0.1 * error.abs().mean() + penalty
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
    optimizer.step()
    return float(error.detach().pow(2).mean()) / 4


def psnr(mean_squared_error: float) -> float:
    return -10 * math.log10(max(mean_squared_error, 1e-12))


@torch.no_grad()
def held_out_psnr(vae: AutoencoderKL, scenes: list[drawing.Scene]) -> float:
    """Over scenes that the training never shows, rebuilt from the mean of their latents."""
    random = np.random.Generator(np.random.Philox(99))
    errors = []
    for scene in scenes:
        picture = to_tensor([drawing.draw_varied(scene, random)])
        rebuilt = vae.decode(vae.encode(picture).latent_dist.mode()).sample.clamp(-1, 1)
        errors.append(float((rebuilt - picture).pow(2).mean()) / 4)
    return psnr(sum(errors) / len(errors))
