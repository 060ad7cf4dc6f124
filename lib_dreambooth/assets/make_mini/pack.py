"""From the trained networks to the asset: one Stable Diffusion 1 file in half precision."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from lib_dreambooth.assets.make_mini.denoiser import Denoiser, Spread
from lib_dreambooth.formats.checkpoint_write import write_checkpoint
from lib_dreambooth.formats.keymap import TEXT, UNET, VAE
from lib_dreambooth.formats.kinds import FileKind

LATENT_SCALE = 0.18215
MAX_BYTES = 20_000_000
METADATA = {
    "modelspec.title": "Dreambooth miniature",
    "modelspec.description": "A small Stable Diffusion 1 that draws a coloured shape on a plain background.",
    "modelspec.architecture": "stable-diffusion-v1",
    "modelspec.license": "CC0-1.0",
}


def pack(path: Path, vae: AutoencoderKL, denoiser: Denoiser, spread: Spread) -> None:
    """Writes the asset."""
    parts = {
        UNET: denoiser.unet.state_dict(),
        VAE: folded(vae.state_dict(), spread),
        TEXT: with_prefix(denoiser.text.state_dict()),
    }
    write_checkpoint(
        path, parts, FileKind(family="sd1", role="checkpoint"), dtype=torch.float16, metadata=METADATA
    )
    assert path.stat().st_size <= MAX_BYTES, f"{path.stat().st_size} bytes are too many for an asset"


def folded(state: dict[str, Tensor], spread: Spread) -> dict[str, Tensor]:
    """The VAE with the normalisation inside, so that Stable Diffusion's latent scale holds."""
    state = {key: value.clone() for key, value in state.items()}
    mean = spread.mean
    factor = (spread.deviation * LATENT_SCALE).reshape(-1, 1, 1, 1)
    channels = len(mean)
    weight, bias = state["quant_conv.weight"], state["quant_conv.bias"]
    weight[:channels] /= factor
    bias[:channels] = (bias[:channels] - mean) / factor.flatten()
    # The other half of the channels is the logarithm of the latent's variance.
    bias[channels:] -= 2 * factor.flatten().log()
    weight, bias = state["post_quant_conv.weight"], state["post_quant_conv.bias"]
    bias += weight[:, :, 0, 0] @ mean
    weight *= factor.reshape(1, -1, 1, 1)
    return state


def with_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Newer versions of transformers leave `text_model.` out of the names."""
    return {
        key if key.startswith("text_model.") else f"text_model.{key}": value for key, value in state.items()
    }
