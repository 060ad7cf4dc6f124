"""The miniature's text encoder and UNet, trained together on the latents of drawn scenes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load, save
from transformers import CLIPTextConfig, CLIPTextModel

from lib_dreambooth.assets.make_mini.autoencoder import to_tensor
from lib_dreambooth.assets.make_mini.progress import Progress, cosine_rate, stage_at
from lib_dreambooth.assets.shapes import drawing
from lib_dreambooth.base import files
from lib_dreambooth.models.tokenizer import END_ID, START_ID, clip_tokenizer

# LDM builds widths from whole multiples of the first.
WIDTHS = (64, 64, 64, 128)
LAYERS_PER_BLOCK = 1
TEXT_WIDTH = 64
TEXT_LAYERS = 4
NUM_TOKENS = 77
LEARNING_RATE = 8e-4
# Words are learned on small pictures.
STAGES = ((64, 64, 0.4), (128, 24, 0.6))
VARIANTS = 24
EMA_DECAY = 0.998
# The noisiest steps decide colour and place, but their gradient is mostly noise: their weight is cut here.
MAX_WEIGHT = 12.0


def new_unet() -> UNet2DConditionModel:
    torch.manual_seed(2)
    cross, plain = ("CrossAttnDownBlock2D",) * 3, "DownBlock2D"
    return UNet2DConditionModel(
        sample_size=drawing.SIZE_PX // 8,
        block_out_channels=WIDTHS,
        layers_per_block=LAYERS_PER_BLOCK,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=8,
        down_block_types=(*cross, plain),
        up_block_types=("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
    )


def new_text_encoder() -> CLIPTextModel:
    torch.manual_seed(3)
    config = CLIPTextConfig(
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=TEXT_LAYERS,
        num_attention_heads=TEXT_WIDTH // 64,
        max_position_embeddings=NUM_TOKENS,
        hidden_act="quick_gelu",
        bos_token_id=START_ID,
        eos_token_id=END_ID,
        pad_token_id=END_ID,
    )
    return CLIPTextModel(config)


def token_ids(prompt: str) -> list[int]:
    ids = [START_ID, *clip_tokenizer()(prompt)][: NUM_TOKENS - 1]
    return ids + [END_ID] * (NUM_TOKENS - len(ids))


@torch.no_grad()
def scene_latents(
    vae: AutoencoderKL, folder: Path, size_px: int, variants: int, num_scenes: int | None = None
) -> torch.Tensor:
    """Latents of many drawings of each scene, [scene, variant, 4, height, width]; kept in a file."""
    path = folder / f"latents-{size_px}.safetensors"
    if path.exists():
        return load(path.read_bytes())["latents"]
    random = np.random.Generator(np.random.Philox(key=[7, size_px]))
    found = []
    for scene in drawing.training_scenes()[:num_scenes]:
        pictures = to_tensor([drawing.draw_varied(scene, random, size_px) for _ in range(variants)])
        with torch.autocast("cpu", torch.bfloat16):
            found.append(vae.encode(pictures).latent_dist.mode().float())
    latents = torch.stack(found).contiguous()
    files.write_bytes(path, save({"latents": latents}))
    return latents


@dataclass(frozen=True)
class Spread:
    """Mean and deviation of each latent channel, [4], which the denoiser's latents were normalised with."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def normalised(self, latents: torch.Tensor) -> torch.Tensor:
        return (latents - self.mean[:, None, None]) / self.deviation[:, None, None]

    def restored(self, latents: torch.Tensor) -> torch.Tensor:
        return latents * self.deviation[:, None, None] + self.mean[:, None, None]


def spread_of(latents: torch.Tensor) -> Spread:
    return Spread(latents.mean((0, 1, 3, 4)), latents.std((0, 1, 3, 4)))


def alphas_cumprod() -> torch.Tensor:
    """Stable Diffusion's own schedule."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0)


def noise_weights() -> torch.Tensor:
    """The velocity loss' weight in terms of the noise error, bounded."""
    alphas = alphas_cumprod()
    return (1 / alphas).clamp(max=MAX_WEIGHT).float()


class Denoiser(torch.nn.Module):
    """Both networks and the averaged copy of their weights."""

    def __init__(self) -> None:
        super().__init__()
        self.text = new_text_encoder()
        self.unet = new_unet()

    def forward(self, noisy: torch.Tensor, timesteps: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        distinct, back = torch.unique(ids, dim=0, return_inverse=True)
        states = self.text(distinct)[0][back]
        return self.unet(noisy, timesteps, states).sample


def train_denoiser(
    folder: Path,
    vae: AutoencoderKL,
    num_steps: int,
    variants: int = VARIANTS,
    num_scenes: int | None = None,
    report: int = 50,
) -> tuple[Denoiser, Spread]:
    """Trains, or goes on, until `num_steps`; returns the averaged networks."""
    stages = {size_px: scene_latents(vae, folder, size_px, variants, num_scenes) for size_px, _, _ in STAGES}
    spread = spread_of(stages[drawing.SIZE_PX])
    stages = {size_px: spread.normalised(latents) for size_px, latents in stages.items()}
    live, averaged = Denoiser(), Denoiser()
    averaged.load_state_dict(live.state_dict())
    optimizer = torch.optim.AdamW(live.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=1e-3)
    progress = Progress(folder, "denoiser", {"live": live, "averaged": averaged}, optimizer)
    smooth = 0.0
    for step in range(progress.resume(), num_steps):
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(step, num_steps, LEARNING_RATE, warmup=100)
        size_px, batch = stage_at(STAGES, step, num_steps)
        loss = denoiser_step(live, optimizer, stages[size_px], step, batch)
        average(averaged, live, min(EMA_DECAY, (step + 1) / (step + 10)))
        smooth = loss if smooth == 0 else 0.98 * smooth + 0.02 * loss
        if step % report == 0:
            print(f"denoiser step {step}/{num_steps} loss {smooth:.5f}", flush=True)
        progress.save_if_due(step + 1)
    progress.save(num_steps)
    return averaged, spread


def denoiser_step(
    live: Denoiser, optimizer: torch.optim.Optimizer, latents: torch.Tensor, step: int, batch: int
) -> float:
    random = np.random.Generator(np.random.Philox(key=[12, step]))
    scenes = drawing.training_scenes()[: len(latents)]
    chosen = random.integers(len(scenes), size=batch)
    clean = latents[torch.from_numpy(chosen), torch.from_numpy(random.integers(latents.shape[1], size=batch))]
    ids = torch.tensor([token_ids(drawing.prompt_for(scenes[i], random)) for i in chosen])
    # What a picture shows is settled in the noisier half.
    timesteps = torch.from_numpy(
        np.where(
            random.random(batch) < 0.5, random.integers(0, 1000, batch), random.integers(400, 1000, batch)
        )
    )
    noise = torch.from_numpy(random.standard_normal(clean.shape, dtype=np.float32))
    alphas = alphas_cumprod()[timesteps].float()[:, None, None, None]
    predicted = live(alphas.sqrt() * clean + (1 - alphas).sqrt() * noise, timesteps, ids)
    loss = ((predicted - noise).pow(2).mean((1, 2, 3)) * noise_weights()[timesteps]).mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(live.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())


@torch.no_grad()
def average(averaged: torch.nn.Module, live: torch.nn.Module, decay: float) -> None:
    torch._foreach_lerp_(list(averaged.parameters()), list(live.parameters()), 1 - decay)
