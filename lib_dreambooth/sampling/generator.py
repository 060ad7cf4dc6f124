"""Draws pictures with a loaded model, as the WebUI's txt2img would with the same settings."""

from __future__ import annotations

import contextlib
from collections import abc
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from lib_dreambooth.formats.keymap import UNET, VAE
from lib_dreambooth.models.encode import NO_EMBEDDINGS, Embeddings
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.sampling.conditions import ConditionMaker, Course, plan_of
from lib_dreambooth.sampling.decoding import decode_picture
from lib_dreambooth.sampling.guidance import Guided
from lib_dreambooth.sampling.loras import LoraUse, loras_at_work
from lib_dreambooth.sampling.noise import PictureNoise
from lib_dreambooth.sampling.picture_settings import SAMPLERS, PictureSettings
from lib_dreambooth.sampling.sigmas import SigmaTable
from lib_dreambooth.sampling.solvers import dpmpp_2m, euler, euler_ancestral
from lib_dreambooth.sampling.timestep_solvers import ddim, ddim_timesteps, unipc
from lib_dreambooth.sampling.upsampling import cutting_upsamplers
from lib_dreambooth.sampling.watch import Progress, Watch, ignore, never

# Brings parts of a model to where they work, for as long as the context lasts.
Stage = Callable[[Collection[str]], contextlib.AbstractContextManager[None]]
LATENT_STEP = 8
# Channels that inpainting UNets take beside the latents: a mask and the masked picture.
NUM_MASK_CHANNELS = 1


@dataclass(frozen=True)
class Request:
    """One picture to draw."""

    prompt: str
    negative: str = ""
    seed: int | None = None  # None: the settings' seed plus the request's number


class Generator:
    """Draws pictures from one model. Leaves its modules where they are, and torch's generators alone.

    Where a `stage` brings parts of the model for their turn alone, all prompts are encoded first, then all
    pictures drawn, then all decoded; without one each batch is finished before the next. Both are the same.
    """

    def __init__(
        self, model: LoadedModel, embeddings: Embeddings = NO_EMBEDDINGS, stage: Stage | None = None
    ) -> None:
        self.model = model
        self.embeddings = embeddings
        self.stage = stage

    @torch.no_grad()
    def draw(
        self,
        requests: Sequence[Request],
        settings: PictureSettings,
        *,
        loras: Sequence[LoraUse] = (),
        should_stop: Callable[[], bool] = never,
        on_progress: Callable[[Progress], None] = ignore,
    ) -> abc.Generator[Image.Image, None, None]:
        """The pictures in order, each batch as soon as it is done. A stop raises Cancelled within a step."""
        settings.check()
        numbered = numbered_requests(requests, settings)
        words = self.model.words.with_others(self.embeddings)
        with loras_at_work(self.model, loras, words) as embeddings:
            maker = ConditionMaker(self.model, settings, embeddings)
            plans = [plan_of(one.prompt, one.negative, settings) for one in numbered]
            with self._at_work([encoder.part for encoder in self.model.encoders]):
                shapes = [maker.shape_of(plan) for plan in plans]

            def drawn() -> Iterator[tuple[Tensor, Watch]]:
                for start, end in batches(shapes, settings.batch_size):
                    watch = Watch(should_stop, on_progress, self._num_calls(settings), start)
                    seeds = [request.seed or 0 for request in numbered[start:end]]
                    yield self._latents(seeds, maker.courses(plans[start:end]), settings, watch), watch

            with self._at_work([UNET]):
                found = drawn() if self.stage is None else list(drawn())
            with self._at_work([VAE]):
                for latents, watch in found:
                    for latent in latents:
                        watch.check()
                        yield decode_picture(self.model, latent, is_striped=settings.is_striped)
                    watch.report()

    def _at_work(self, parts: Sequence[str]) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self.stage is None else self.stage(parts)

    def _num_calls(self, settings: PictureSettings) -> int:
        """How often the network runs for one batch."""
        if settings.sampler == "ddim":
            return len(ddim_timesteps(settings.steps, self.model.schedule.num_timesteps)) - 1
        return settings.steps

    def _latents(
        self,
        seeds: Sequence[int],
        courses: tuple[Sequence[Course], Course],
        settings: PictureSettings,
        watch: Watch,
    ) -> Tensor:
        """The finished latents [B, C, H, W] of one batch."""
        device = self.model.device_of(UNET)
        schedule = self.model.schedule.rescaled() if settings.is_zero_terminal else self.model.schedule
        alphas_bar = schedule.for_sampling()
        shape = (self.model.latent_channels, settings.height // LATENT_STEP, settings.width // LATENT_STEP)
        noise = PictureNoise(seeds, shape, settings.noise_source, device, settings.ensd)
        positive, negative = courses
        guided = Guided(
            unet=self.model.unet,
            positive=positive,
            negative=negative,
            guidance=settings.guidance,
            prediction=self.model.prediction,
            alphas_bar=alphas_bar,
            more_channels=self._more_channels(settings),
            before_step=watch.step,
        )
        with self._upsampling(shape):
            return solve(guided, noise, alphas_bar, settings)

    def _more_channels(self, settings: PictureSettings) -> Tensor | None:
        """For inpainting models: everything is masked, and what was there is grey."""
        num_more = int(self.model.unet.config.in_channels) - self.model.latent_channels
        if num_more == 0:
            return None
        device = self.model.device_of(UNET)
        size = (settings.height // LATENT_STEP, settings.width // LATENT_STEP)
        if num_more == self.model.latent_channels:
            return torch.zeros((1, num_more, *size), device=device)
        vae_device, vae_dtype = self.model.device_of(VAE), self.model.dtype_of(VAE)
        grey = torch.zeros((1, 3, settings.height, settings.width), device=vae_device, dtype=vae_dtype)
        hidden = self.model.vae.encode(grey).latent_dist.mean * self.model.latent_scale
        mask = torch.ones((1, NUM_MASK_CHANNELS, *size), device=device)
        return torch.cat([mask, hidden.to(device, torch.float32)], dim=1)

    def _upsampling(self, shape: tuple[int, int, int]) -> contextlib.AbstractContextManager[None]:
        num_halvings = len(self.model.unet.config.block_out_channels) - 1
        is_even = all(side % 2**num_halvings == 0 for side in shape[1:])
        return contextlib.nullcontext() if is_even else cutting_upsamplers(self.model.unet)


def solve(guided: Guided, noise: PictureNoise, alphas_bar: Tensor, settings: PictureSettings) -> Tensor:
    """From noise to finished latents with the sampler asked for."""
    table = SigmaTable(alphas_bar)
    if settings.sampler == "ddim":
        timesteps = ddim_timesteps(settings.steps, len(alphas_bar))
        return ddim(guided.noise_at, noise.first, alphas_bar, timesteps)
    if settings.sampler == "unipc":
        return unipc(guided.noise_at, noise.first, alphas_bar, settings.steps)
    is_karras = SAMPLERS[settings.sampler].schedule_title == "Karras"
    levels = table.karras(settings.steps) if is_karras else table.uniform(settings.steps)
    x = noise.first * levels[0]
    denoise = guided.denoiser(table)
    if settings.sampler == "euler":
        return euler(denoise, x, levels)
    if settings.sampler == "euler a":
        return euler_ancestral(denoise, x, levels, noise.next, settings.eta)
    assert settings.sampler == "dpm++ 2m karras", settings.sampler
    return dpmpp_2m(denoise, x, levels)


def numbered_requests(requests: Sequence[Request], settings: PictureSettings) -> list[Request]:
    """The requests with a seed each."""
    return [
        request if request.seed is not None else replace(request, seed=settings.seed + number)
        for number, request in enumerate(requests)
    ]


def batches(shapes: Sequence[object], size: int) -> Iterator[tuple[int, int]]:
    """Where neighbours of the same shape begin and end, at most `size` at a time."""
    start = 0
    while start < len(shapes):
        end = start + 1
        while end < min(len(shapes), start + size) and shapes[end] == shapes[start]:
            end += 1
        yield start, end
        start = end
