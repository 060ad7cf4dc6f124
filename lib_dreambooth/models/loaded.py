"""A checkpoint in memory, ready to draw or to train."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lib_dreambooth.base.hashing import remembered_sha256_of
from lib_dreambooth.diffusion.schedule import NoiseSchedule
from lib_dreambooth.formats.keymap import TEXT, TEXT_2, UNET, VAE
from lib_dreambooth.formats.kinds import FileKind
from lib_dreambooth.models.build import move
from lib_dreambooth.models.encode import NO_EMBEDDINGS, Embeddings
from lib_dreambooth.models.families import Family, TextRule
from lib_dreambooth.models.text_encoder import TextEncoder
from lib_dreambooth.models.tokenizer import Tokenizer, clip_tokenizer

HALVES = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Source:
    """The file that a model came from."""

    path: Path
    kind: FileKind

    @functools.cached_property
    def sha256(self) -> str:
        """The whole file's SHA-256, 64 hex digits; read when first asked for. Empty for a folder."""
        return remembered_sha256_of(self.path) if self.path.is_file() else ""

    @property
    def name(self) -> str:
        """What the WebUI calls the model."""
        return self.path.stem


@dataclass(eq=False)
class LoadedModel:
    """The modules of a checkpoint. Parts that were not asked for are absent.

    Weights are frozen and modules in evaluation mode; whoever trains changes that and changes it back.
    """

    family: Family
    schedule: NoiseSchedule
    prediction: str  # "epsilon", "v" or "sample"
    source: Source
    modules: dict[str, nn.Module] = field(default_factory=dict)  # by part
    rules: dict[str, TextRule] = field(default_factory=dict)  # by text encoder
    vae_source: Path | None = None  # where the VAE came from if not from the model's own file
    words: Embeddings = NO_EMBEDDINGS  # words that are in training; captions and pictures know them

    @property
    def unet(self) -> Any:
        """diffusers' UNet2DConditionModel."""
        return self.modules[UNET]

    @property
    def vae(self) -> Any:
        """diffusers' AutoencoderKL."""
        return self.modules[VAE]

    @property
    def encoders(self) -> tuple[TextEncoder, ...]:
        """The text encoders in the order in which their states stand side by side."""
        return tuple(
            TextEncoder(part, self.modules[part], self.rules[part])
            for part in (TEXT, TEXT_2)
            if part in self.modules
        )

    @property
    def tokenizer(self) -> Tokenizer:
        return clip_tokenizer()

    @property
    def latent_channels(self) -> int:
        return int(self.unet.config.out_channels)

    @property
    def latent_scale(self) -> float:
        return self.family.latent_scale

    def device_of(self, part: str) -> torch.device:
        """Where a part lives."""
        return next(self.modules[part].parameters()).device

    def dtype_of(self, part: str) -> torch.dtype:
        """The precision that a part computes in."""
        return next(p.dtype for p in self.modules[part].parameters() if p.is_floating_point())

    def to(self, part: str, device: torch.device | str, dtype: torch.dtype | None = None) -> None:
        """Moves one part; its parameters stay the same objects. A VAE unsafe in float16 never goes there."""
        if part == VAE and dtype is not None:
            dtype = safe_vae_dtype(self.family, dtype)
        move(self.modules[part], torch.device(device), dtype)

    def to_all(self, device: torch.device | str) -> None:
        """Moves every part."""
        for part in self.modules:
            self.to(part, device)


def safe_vae_dtype(family: Family, dtype: torch.dtype) -> torch.dtype:
    """The precision for a VAE where `dtype` was asked for: SDXL's overflows in float16."""
    return torch.float32 if dtype == torch.float16 and not family.is_half_vae_safe else dtype
