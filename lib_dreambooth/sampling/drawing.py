"""Pictures into a folder, from a checkpoint's file and a handful of choices."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.files import folder_made, unwritable
from lib_dreambooth.formats.checkpoint import identify, require_part
from lib_dreambooth.formats.keymap import VAE
from lib_dreambooth.formats.lora import read_adapter
from lib_dreambooth.models.families import native_side
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from lib_dreambooth.sampling.generator import Generator, Request
from lib_dreambooth.sampling.infotext import infotext, save_picture
from lib_dreambooth.sampling.loras import LoraUse
from lib_dreambooth.sampling.picture_settings import PictureSettings
from lib_dreambooth.sampling.words import read_all, words_from

PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class DrawJob:
    """What to draw with what; empty precision, device and size are chosen to fit."""

    base: Path
    prompts: tuple[str, ...]
    loras: tuple[LoraUse, ...] = ()
    embeddings: tuple[Path, ...] = ()  # words by the names of their files
    negative: str = ""
    vae: Path | None = None
    sampler: str = "euler a"
    steps: int = 20
    guidance: float = 7.0
    size_wh: tuple[int, int] | None = None
    seed: int = 0
    clip_skip: int = 1
    noise_source: str = "GPU"
    batch_size: int = 1
    is_striped: bool = False
    precision: str = ""
    device: str = ""


def draw_to_folder(job: DrawJob, folder: Path) -> Iterator[Path]:
    """Draws one picture after the other; yields the path of each once it is written."""
    device = chosen_device(job.device)
    # What costs little to find out is found out before a checkpoint of gigabytes is read.
    settings_of(job, job.size_wh or (512, 512)).check()
    for use in job.loras:
        read_adapter(use.path)
    read_all(job.embeddings)
    if job.vae is not None:
        require_part(identify(job.vae), VAE, job.vae)
    with folder_made(folder):
        require_writable(folder)
        yield from drawn(job, folder, device)


def drawn(job: DrawJob, folder: Path, device: torch.device) -> Iterator[Path]:
    """The pictures of a job whose settings are good, in a folder that is there."""
    dtype = PRECISIONS[job.precision] if job.precision else default_precision(device)
    model = read_model(job.base, device=device, dtype=dtype, vae_path=job.vae)
    settings = settings_of(job, job.size_wh or default_size(model))
    requests = [Request(prompt, job.negative, job.seed + number) for number, prompt in enumerate(job.prompts)]
    words = words_from(job.embeddings, model)
    pictures = Generator(model, words).draw(requests, settings, loras=job.loras)
    for request, picture in zip(requests, pictures, strict=True):
        seed = request.seed or 0
        text = infotext(
            request.prompt,
            request.negative,
            seed,
            settings,
            model=model.source.name,
            model_hash=model.source.sha256,
            loras=job.loras,
        )
        path = free_name(folder, seed)
        save_picture(path, picture, text)
        yield path


def settings_of(job: DrawJob, size_wh: tuple[int, int]) -> PictureSettings:
    return PictureSettings(
        sampler=job.sampler,
        steps=job.steps,
        guidance=job.guidance,
        width=size_wh[0],
        height=size_wh[1],
        seed=job.seed,
        noise_source=job.noise_source,
        clip_skip=job.clip_skip,
        vae=job.vae.name if job.vae is not None else "",
        batch_size=job.batch_size,
        is_striped=job.is_striped,
    )


def chosen_device(name: str) -> torch.device:
    """The named device, or the best there is."""
    if not name:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"there is no device {name!r} here ({str(error).splitlines()[0]}).",
            where="--device",
            todo="Leave it out, or name cpu, cuda or cuda:1.",
            code="no-device",
        ) from error
    return device


def default_precision(device: torch.device) -> torch.dtype:
    return torch.float16 if device.type == "cuda" else torch.float32


def default_size(model: LoadedModel) -> tuple[int, int]:
    """The size that the model was trained at."""
    side = native_side(model.source.kind)
    return side, side


def require_writable(folder: Path) -> None:
    """Refuses a folder that was there before and may not be written to."""
    if not os.access(folder, os.W_OK):
        raise unwritable(folder, PermissionError(errno.EACCES, "Permission denied"))


def free_name(folder: Path, seed: int) -> Path:
    """A name in the folder that nothing has yet, with a running number and the seed."""
    number = 1
    while any(folder.glob(f"{number:05d}-*")):
        number += 1
    return folder / f"{number:05d}-{seed}.png"
