"""Pictures to latents and captions to states, with the modules of a loaded model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lib_dreambooth.formats.keymap import VAE
from lib_dreambooth.models.encode import TextStates, TextStyle, encode_prompts
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.settings.schema import Run


def latent_encoder(
    model: LoadedModel, come: Callable[[], object] = lambda: None
) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Pixels of -1 to 1 to mean and deviation of the scaled latents, float32 on the CPU.

    `come` is called ahead of each: it brings the VAE to where it works.
    """

    @torch.no_grad()
    def encode(pixels: Tensor) -> tuple[Tensor, Tensor]:
        come()
        found = model.vae.encode(pixels.to(model.device_of(VAE), model.dtype_of(VAE))).latent_dist
        return tuple((values.float() * model.latent_scale).cpu() for values in (found.mean, found.std))  # type: ignore[return-value]

    return encode


def text_style(run: Run) -> TextStyle:
    """How a run's captions become states; its previews have to read their prompts in the same way."""
    captions = run.captions
    weighted = "Original" if captions.long_prompts == "webui" else "No norm"
    return TextStyle(
        kind=captions.long_prompts,
        emphasis=weighted if captions.weights else "None",
        clip_skip=run.model.clip_skip,
        max_tokens=captions.max_tokens,
        cut_at=captions.max_tokens,
    )


def caption_states(model: LoadedModel, captions: Sequence[str], style: TextStyle) -> TextStates:
    """The states of a batch's captions; gradients flow where the encoders or words are trained."""
    return encode_prompts(model.encoders, captions, style, model.words)
